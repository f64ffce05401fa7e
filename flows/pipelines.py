"""The flows. All are the same walk over the graph; they differ in the stages that they ask for."""

from collections.abc import Sequence
from typing import Annotated, Any, cast

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic import Field

from flows.environment import stored_studies
from flows.notifications import notify
from flows.walker import walk
from reid.errors import ReidError

ACTIVE = "active"
# In the schema alone, which the page shows as a list and the server checks before a run is made: on
# the command line `reid study use` says it better, with the nearest name. The active
# study has a name of its own there, since the page shows None as an empty field.
Study = Annotated[str, Field(json_schema_extra={"enum": [ACTIVE, *stored_studies()]})]
Run = Annotated[str, Field(json_schema_extra={"pattern": r"^\w+$"})]
# how much runs at once is decided by the slots of the machine, not here
THREADS = 64


def stage_flow(name: str, description: str, kinds: Sequence[str] = ()) -> Flow[..., State[None]]:
    """Return the flow that runs the stages of some kinds and all that these depend on.

    Args:
        name: Name of the flow.
        description: One line for the user interface.
        kinds: Names before the `@` in `dvc.yaml`; empty means the whole graph.
    """

    def stages(
        study: Study = ACTIVE,
        runs: list[Run] | None = None,
        force: bool = False,
        share: bool = False,
    ) -> State[None]:
        """Run the stages.

        Args:
            study: Study to put in place first; `active` leaves the one that is.
            runs: Only these runs of the study, and what they need; none means all.
            force: Run the stages of this flow even if nothing changed.
            share: Take from DVC's default remote what other machines computed, give it what this
                one does, and divide the stages with those that run them at the same time.
        """
        try:
            walk(kinds, None if study == ACTIVE else study, runs, force, share)
        except ReidError as error:
            # returned, not raised: the message says all, a traceback would bury it
            return Failed(message=str(error), data=error)
        return Completed()

    threads = ThreadPoolTaskRunner[Any](max_workers=THREADS)
    runner = cast(TaskRunner[PrefectFuture[Any]], threads)
    return flow(
        name=name,
        description=description,
        task_runner=runner,
        on_completion=[notify],
        on_failure=[notify],
        on_crashed=[notify],
        on_cancellation=[notify],
    )(stages)


pipeline = stage_flow("pipeline", "Every stage, from the data to the comparison of all runs.")
validate = stage_flow("validate", "Make or index the datasets and gate them.", ["validate"])
pretrain = stage_flow("pretrain", "Pretrain the backbones of the runs.", ["pretrain"])
train = stage_flow("train", "Train the runs.", ["train"])
evaluate = stage_flow("evaluate", "Train, embed and score the runs.", ["evaluate", "shortlist"])
register = stage_flow("register", "Register the scored runs in MLflow.", ["register"])

FLOWS = {each.name: each for each in (pipeline, validate, pretrain, train, evaluate, register)}
