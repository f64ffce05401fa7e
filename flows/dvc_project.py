"""What DVC knows of a project: its graph, and which stages have changed."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import networkx as nx
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage

from flows.errors import FlowError
from flows.graph import StageGraph


class DvcProject:
    """A project as DVC reads it, once: the graph and the changed stages come from one index.

    Args:
        repo: The opened project.
    """

    def __init__(self, repo: Repo) -> None:
        self._repo = repo

    @cached_property
    def graph(self) -> StageGraph:
        """The named stages."""
        graph = self._repo.index.graph
        # nodes without a name are .dvc files of data: they are never run
        stages = {stage.name: stage for stage in graph if getattr(stage, "name", None)}
        edges = {
            name: sorted({d.name for d in graph.successors(stage) if getattr(d, "name", None)})
            for name, stage in stages.items()
        }
        # by name where the graph leaves the order open, so that every walk is the same
        order: Iterator[str] = nx.lexicographical_topological_sort(nx.DiGraph(edges).reverse())
        return StageGraph({name: tuple(edges[name]) for name in order})

    def stale(self, graph: StageGraph) -> set[str]:
        """Return the stages that DVC would run, or might since one upstream of them will.

        In this process and once for the whole graph. A stage below a stale one may turn out to be
        unchanged, which only `dvc repro` can tell once its inputs are there.
        """
        with lock_repo(self._repo):
            changed = [stage.name for stage in self._stages(graph) if _changed(stage)]
        return graph.with_downstream(changed)

    def shareable(self, graph: StageGraph) -> set[str]:
        """Return the stages whose outputs one machine can take from another.

        All of them are in DVC's cache: of other stages DVC does not remember which inputs gave
        which outputs. And none is below such a stage, as it reads what each machine made itself.
        """
        stages = self._stages(graph)
        own = {stage.name for stage in stages if not all(out.use_cache for out in stage.outs)}
        return set(graph.names) - graph.with_downstream(own)

    def _stages(self, graph: StageGraph) -> list[PipelineStage]:
        names = graph.dependencies
        return [s for s in self._repo.index.stages if getattr(s, "name", None) in names]


@contextmanager
def open_project(folder: Path) -> Iterator[DvcProject]:
    """Open the DVC project in `folder`.

    Raises:
        FlowError: DVC cannot read it; here, or later inside the block.
    """
    try:
        with Repo(str(folder), _wait_for_lock=True) as repo:
            yield DvcProject(repo)
    except DvcException as error:
        raise FlowError(
            f"DVC cannot read the graph: {' '.join(str(error).split())}",
            f"a valid dvc.yaml and dvc.lock in {folder}",
            "Mend what DVC names; `dvc dag` shows whether it can read the graph. A dvc.lock that a "
            "killed `dvc repro` left empty may be deleted: DVC takes what was computed from its "
            "cache.",
        ) from None


def _changed(stage: PipelineStage) -> bool:
    try:
        return bool(stage.status())
    except LockError:
        # another process runs it or writes what it reads: the task will wait its turn
        return True
