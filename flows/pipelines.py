"""The flows. All are the same walk over the graph; they differ in the stages that they ask for."""

from collections.abc import Sequence
from typing import Any, cast

from prefect import Flow, flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.walker import walk
from reid.errors import ReidError

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
        study: str | None = None,
        runs: list[str] | None = None,
        force: bool = False,
        share: bool = False,
    ) -> State[None]:
        try:
            walk(kinds, study, runs, force, share)
        except ReidError as error:
            # returned, not raised: the message says all, a traceback would bury it
            return Failed(message=str(error), data=error)
        return Completed()

    threads = ThreadPoolTaskRunner[Any](max_workers=THREADS)
    runner = cast(TaskRunner[PrefectFuture[Any]], threads)
    return flow(name=name, description=description, task_runner=runner)(stages)


pipeline = stage_flow("pipeline", "Every stage, from the data to the comparison of all runs.")
validate = stage_flow("validate", "Make or index the datasets and gate them.", ["validate"])
pretrain = stage_flow("pretrain", "Pretrain the backbones of the runs.", ["pretrain"])
train = stage_flow("train", "Train the runs.", ["train"])
evaluate = stage_flow("evaluate", "Train, embed and score the runs.", ["evaluate", "shortlist"])
register = stage_flow("register", "Register the scored runs in MLflow.", ["register"])

FLOWS = {each.name: each for each in (pipeline, validate, pretrain, train, evaluate, register)}
