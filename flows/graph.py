"""The stages of `dvc.yaml`: their names, what they depend on, and selections of them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from flows.errors import FlowError

# what `runs` names: the instances of these stages
RUN_KINDS = ("pretrain", "train", "shortlist")


@dataclass(frozen=True)
class StageGraph:
    """Named stages and what they depend on.

    Attributes:
        dependencies: Stage name, such as `train@bot` or `compare`, to the names of the stages whose
            outputs it reads. Every stage stands after its dependencies.
    """

    dependencies: Mapping[str, tuple[str, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """All stages in an order in which they can run."""
        return tuple(self.dependencies)

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs of the study."""
        found = (instance_of(name) for name in self.names if kind_of(name) in RUN_KINDS)
        return tuple(dict.fromkeys(found))

    def select(self, kinds: Sequence[str] = (), runs: Sequence[str] | None = None) -> "StageGraph":
        """Return the graph of the targets and of everything that they depend on."""
        return self.with_upstream(self.targets(kinds, runs))

    def targets(
        self, kinds: Sequence[str] = (), runs: Sequence[str] | None = None
    ) -> tuple[str, ...]:
        """Return the stages that are asked for, without those they need.

        Args:
            kinds: Names before the `@`; empty means every kind.
            runs: Only stages of these runs and stages that these depend on; None means all.

        Raises:
            FlowError: A run is not in the study, or no stage is of these kinds.
        """
        within = self.names if runs is None else self.with_upstream(self._of_runs(runs)).names
        found = tuple(name for name in within if not kinds or kind_of(name) in kinds)
        if not found:
            raise FlowError(
                f"no stage of kind {', '.join(kinds) or 'any'} among {len(within)} stages",
                "at least one",
                "Look at the graph with `dvc dag`.",
            )
        return found

    def with_upstream(self, names: Iterable[str]) -> "StageGraph":
        """Return the graph of `names` and of everything that they depend on."""
        wanted = set(names)
        for name in reversed(self.names):
            if name in wanted:
                wanted.update(self.dependencies[name])
        return StageGraph({n: needs for n, needs in self.dependencies.items() if n in wanted})

    def with_downstream(self, names: Iterable[str]) -> set[str]:
        """Return `names` and everything that depends on them."""
        reached = set(names) & set(self.names)
        for name, needs in self.dependencies.items():
            if reached.intersection(needs):
                reached.add(name)
        return reached

    def _of_runs(self, runs: Sequence[str]) -> list[str]:
        for run in runs:
            if run not in self.runs:
                close = difflib.get_close_matches(run, self.runs, n=1)
                raise FlowError(
                    f"no run '{run}' in the active study"
                    + (f" (did you mean '{close[0]}'?)" if close else ""),
                    f"one of {', '.join(self.runs)}",
                    "Correct the name, or give the study that has it.",
                )
        return [name for name in self.names if instance_of(name) in runs]


def kind_of(name: str) -> str:
    """Return the part of a stage name before the `@`: `train` of `train@bot`."""
    return name.partition("@")[0]


def instance_of(name: str) -> str:
    """Return the part of a stage name after the `@`: `bot` of `train@bot`, else the empty text."""
    return name.partition("@")[2]
