"""The walk over the DVC graph that every flow is: stages as tasks, as soon as they can run."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from flows.dvc_project import open_project
from flows.environment import project_root
from flows.errors import FlowError, StageError
from flows.flow_runs import LiveFlowRun, settle_dead_runs
from flows.graph import StageGraph
from flows.machines import Machine, load_machine
from flows.processes import ProcessGroups
from flows.progress import Progress
from flows.slots import Slots
from flows.stages import activate_study, run_stage
from flows.study import ACTIVE, ActiveStudy
from flows.summary import StageOutcome, publish_summary
from reid.params import read_yaml

# how soon a slot is asked for again that another flow has
ASK_AGAIN_SECONDS = 2.0


@dataclass(frozen=True)
class Plan:
    """What a walk has to do.

    Attributes:
        graph: The stages to show, each after its dependencies.
        stale: Those that DVC might have to run, the forced ones among them.
        forced: Those that run even if nothing changed.
        machine: Where.
        divided: Stages that are left to one machine at a time, to the names of their limits.
    """

    graph: StageGraph
    stale: set[str]
    forced: set[str]
    machine: Machine
    divided: Mapping[str, str]


def walk(
    kinds: Sequence[str],
    study: str | None = None,
    runs: Sequence[str] | None = None,
    force: bool = False,
    share: bool = False,
) -> None:
    """Run the stages of some kinds and all that they depend on, inside the current flow run.

    A failed stage stops those below it; the others go on.

    Args:
        kinds: Names before the `@`; empty means the whole graph.
        study: Study to activate first; None leaves the active one.
        runs: Only for these runs; None means all.
        force: Run the stages of these kinds even if nothing changed; what they depend on runs only
            if it is stale.
        share: Take from DVC's default remote what other machines computed, and give it what this
            one does; what one of them is computing just now is left to it.

    Raises:
        FlowError: The graph cannot be read, another flow is in the way, or a stage failed.
    """
    project = project_root()
    for dead in settle_dead_runs(project):
        get_run_logger().warning("Flow run %s had died; it is marked as crashed", dead)
    with (
        _this_flow_run(project) as flow_run,
        ActiveStudy(project) as active,
        ProcessGroups(project) as processes,
    ):
        if study is not None and not active.is_unchanged(study):
            with active.alone():
                activate_study(study, processes)
        plan = _plan(project, kinds, runs, force, share)
        with Slots(plan.machine, flow_run, plan.divided) as slots:
            outcomes = _Walk(project, plan, processes, slots, share).finish()
    publish_summary(project, outcomes)
    _raise_failures(outcomes)


@contextmanager
def _this_flow_run(project: Path) -> Iterator[LiveFlowRun]:
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise FlowError("no flow run", "a walk inside one", "Call one of the flows.")
    with LiveFlowRun(project, context.flow_run.id) as flow_run:
        yield flow_run


def _plan(
    project: Path, kinds: Sequence[str], runs: Sequence[str] | None, force: bool, share: bool
) -> Plan:
    with open_project(project) as dvc:
        machine = load_machine(project)
        forced = dvc.graph.targets(kinds, runs) if force else ()
        graph = dvc.graph.select(kinds, runs)
        # whatever runs again makes everything below it suspect
        stale = dvc.stale(graph) | graph.with_downstream(forced)
        divided = (dvc.shareable(graph) & stale).difference(forced) if share else ()
    machine.require_slots_for(sorted(stale))
    return Plan(graph, stale, set(forced), machine, _limits(project, divided))


def _limits(project: Path, divided: Iterable[str]) -> dict[str, str]:
    """Return what the server shows instead of a stage that only one machine computes at a time."""
    names = sorted(divided)
    study = read_yaml(project / ACTIVE)["study"] if names else ""
    return {name: f"{name} of study {study}" for name in names}


class _Walk:
    """One run through a plan: of the stages that can start, the first in the graph's order does.

    Queueing here and not in the task runner brings one run of a study to its end before the next
    one starts, leaves no worker idle behind a stage that waits, and nothing queued at a sudden end.
    """

    def __init__(
        self, project: Path, plan: Plan, processes: ProcessGroups, slots: Slots, share: bool
    ) -> None:
        self._plan = plan
        self._processes = processes
        self._slots = slots
        self._share = share
        at_once = plan.machine.slots.get("cpu", 1)
        self._progress = Progress(project, plan.graph.names, plan.stale, at_once)
        self._futures: dict[str, PrefectFuture[Any]] = {}
        self._outcomes: dict[str, StageOutcome] = {}
        self._ended: SimpleQueue[str] = SimpleQueue()
        self._told: set[str] = set()

    def finish(self) -> list[StageOutcome]:
        """Run everything and return the outcomes in the order of the graph."""
        logger = get_run_logger()
        names = self._plan.graph.names
        logger.info("%d stages, %d of them may have to run", len(names), len(self._plan.stale))
        while len(self._outcomes) < len(names):
            waiting = self._submit_ready()
            try:
                name = self._ended.get(timeout=ASK_AGAIN_SECONDS if waiting else None)
            except Empty:
                continue
            self._slots.give_back(name)
            self._outcomes[name] = outcome = _outcome(name, self._futures[name])
            logger.info("%d of %d stages: %s", len(self._outcomes), len(names), outcome)
            self._progress.note(outcome)
        return [self._outcomes[name] for name in names]

    def _submit_ready(self) -> bool:
        """Start what can start; tell whether something waits for slots alone."""
        waiting = False
        for name, needs in self._plan.graph.dependencies.items():
            if name in self._futures or not self._outcomes.keys() >= set(needs):
                continue
            if name in self._plan.stale and self._may_run(name) and not self._slots.take(name):
                waiting = True
                self._tell_once(name)
                continue
            self._submit(name, needs)
        return waiting

    def _tell_once(self, name: str) -> None:
        idle = len(self._futures) == len(self._outcomes)
        if idle and name not in self._told:
            self._told.add(name)
            other = ", or another machine is at it" if name in self._plan.divided else ""
            get_run_logger().info("%s waits for slots that another flow has%s", name, other)

    def _may_run(self, name: str) -> bool:
        """Whether what a stage needs is there; if not, its task ends before it begins."""
        return all(self._outcomes[need].done for need in self._plan.graph.dependencies[name])

    def _submit(self, name: str, needs: Sequence[str]) -> None:
        future = run_stage.submit(
            name,
            stale=name in self._plan.stale,
            force=name in self._plan.forced,
            share=self._share,
            hours=self._plan.machine.needs(name).hours,
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
