"""The walk over the DVC graph that every flow is: stages as tasks, as soon as they can run."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger
from prefect.settings import get_current_settings

from flows.environment import project_root
from flows.errors import FlowError, StageError
from flows.graph import StageGraph, read_graph, stale_stages
from flows.processes import ProcessGroups
from flows.stages import activate_study, run_stage
from flows.study import ActiveStudy
from flows.summary import StageOutcome, publish_summary

# one, since a training takes all cores; PREFECT_TASKS_RUNNER_THREAD_POOL_MAX_WORKERS says more
STAGES_AT_ONCE = get_current_settings().tasks.runner.thread_pool_max_workers or 1


@dataclass(frozen=True)
class Plan:
    """What a walk has to do.

    Attributes:
        graph: The stages to show, each after its dependencies.
        stale: Those that DVC might have to run, the forced ones among them.
        forced: Those that run even if nothing changed.
    """

    graph: StageGraph
    stale: set[str]
    forced: set[str]


def walk(kinds: Sequence[str], study: str | None, runs: Sequence[str] | None, force: bool) -> None:
    """Run the stages of some kinds and all that they depend on, inside the current flow run.

    A failed stage stops those below it; the others go on.

    Args:
        kinds: Names before the `@`; empty means the whole graph.
        study: Study to activate first; None leaves the active one.
        runs: Only for these runs; None means all.
        force: Run the stages of these kinds even if nothing changed; what they depend on runs only
            if it is stale.

    Raises:
        FlowError: The graph cannot be read, another flow is in the way, or a stage failed.
    """
    project = project_root()
    with ActiveStudy(project) as active, ProcessGroups(project) as processes:
        if study is not None and not active.is_unchanged(study):
            with active.alone():
                activate_study(study, processes)
        graph = read_graph(project)
        forced = graph.targets(kinds, runs) if force else ()
        plan = _plan(graph.select(kinds, runs), forced, project)
        outcomes = _Walk(plan, processes).finish()
    publish_summary(project, outcomes)
    _raise_failures(outcomes)


def _plan(graph: StageGraph, forced: Sequence[str], project: Path) -> Plan:
    # whatever runs again makes everything below it suspect
    stale = stale_stages(graph, project) | graph.with_downstream(forced)
    return Plan(graph, stale, set(forced))


class _Walk:
    """One run through a plan: of the stages that can start, the first in the graph's order does.

    Queueing here and not in the task runner brings one run of a study to its end before the next
    one starts, leaves no worker idle behind a stage that waits, and nothing queued at a sudden end.
    """

    def __init__(self, plan: Plan, processes: ProcessGroups) -> None:
        self._plan = plan
        self._processes = processes
        self._futures: dict[str, PrefectFuture[Any]] = {}
        self._outcomes: dict[str, StageOutcome] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()

    def finish(self) -> list[StageOutcome]:
        """Run everything and return the outcomes in the order of the graph."""
        logger = get_run_logger()
        names = self._plan.graph.names
        logger.info("%d stages, %d of them may have to run", len(names), len(self._plan.stale))
        progress = cast(
            UUID, create_progress_artifact(0.0, key="progress", description="Stages done")
        )
        self._submit_ready()
        while len(self._outcomes) < len(names):
            name = self._ended.get()
            self._outcomes[name] = outcome = _outcome(name, self._futures[name])
            done = len(self._outcomes)
            logger.info("%d of %d stages: %s", done, len(names), outcome)
            # a row of cached stages ends within a second: only what took time is worth a call
            if outcome.seconds or done == len(names):
                update_progress_artifact(progress, 100 * done / len(names))
            self._submit_ready()
        return [self._outcomes[name] for name in names]

    def _submit_ready(self) -> None:
        for name, needs in self._plan.graph.dependencies.items():
            if len(self._futures) - len(self._outcomes) == STAGES_AT_ONCE:
                return
            if name in self._futures or not self._outcomes.keys() >= set(needs):
                continue
            future = run_stage.submit(
                name,
                stale=name in self._plan.stale,
                force=name in self._plan.forced,
                processes=self._processes,
                return_state=False,
                # shown as edges; a failed one leaves this task in state `NotReady`
                wait_for=[self._futures[need] for need in needs],
            )
            self._futures[name] = future
            future.add_done_callback(partial(self._note_end, name))

    def _note_end(self, name: str, _future: PrefectFuture[Any]) -> None:
        self._ended.put(name)


def _outcome(name: str, future: PrefectFuture[Any]) -> StageOutcome:
    # its thread has ended; this takes over the final state, which would else be asked of the server
    future.wait()
    state = future.state
    result = None if state.is_pending() else state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        seconds = result.seconds if isinstance(result, StageError) else None
        return StageOutcome(name, state.name or "", seconds, str(result))
    return StageOutcome(name, state.name or "", result)


def _raise_failures(outcomes: Sequence[StageOutcome]) -> None:
    failures = [outcome.failure for outcome in outcomes if outcome.failure is not None]
    if failures:
        ended = sum(outcome.done for outcome in outcomes)
        raise FlowError(
            f"{len(failures)} of {len(outcomes)} stages failed and {ended} are done",
            "all done",
            "\n".join(failures),
        )
