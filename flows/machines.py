"""What may run side by side on this machine, and for how long: `params/machines.yaml`."""

import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from flows.environment import GRAPH_FILE
from flows.errors import FlowError
from flows.graph import kind_of
from reid.params import Params, nearest, parse_params, read_yaml

FILE = "params/machines.yaml"
DEFAULT = "default"


class StageNeeds(Params):
    """What a stage takes.

    Attributes:
        slots: How many of each kind of slot.
        hours: After how many it is ended.
    """

    slots: dict[str, PositiveInt] = Field(default={"cpu": 1})
    hours: PositiveFloat = 12.0


class MachinesFile(Params):
    """Schema of `params/machines.yaml`."""

    machines: dict[str, dict[str, PositiveInt]] = Field(default={DEFAULT: {"cpu": 1}})
    stages: dict[str, StageNeeds] = Field(default={DEFAULT: StageNeeds()})


@dataclass(frozen=True)
class Machine:
    """The machine that a walk runs on.

    Attributes:
        name: What `hostname` prints.
        slots: How many of each kind it has.
    """

    name: str
    slots: Mapping[str, int]
    _stages: Mapping[str, StageNeeds] = field(default_factory=dict)

    def needs(self, stage: str) -> StageNeeds:
        """Return what a stage such as `train@bot` takes."""
        of_all = self._stages.get(DEFAULT, StageNeeds())
        return self._stages.get(kind_of(stage), of_all)

    def require_slots_for(self, stages: Iterable[str]) -> None:
        """Check that each of the stages can run here at all.

        Raises:
            FlowError: One needs more slots than there are.
        """
        for stage in stages:
            for slot, count in self.needs(stage).slots.items():
                if count > self.slots.get(slot, 0):
                    raise FlowError(
                        f"stage '{stage}' needs {count} {slot} of the {self.slots.get(slot, 0)} "
                        f"of machine {self.name}",
                        "no more than there are",
                        f"Correct `stages` or `machines` in {FILE}.",
                    )


def load_machine(project: Path) -> Machine:
    """Read what this machine has; without the file it runs one stage at a time.

    Raises:
        ParamsError: The file has an unknown key or a wrong value.
        FlowError: It names a kind of stage that there is not.
    """
    path = project / FILE
    given = parse_params(read_yaml(path) if path.exists() else {}, MachinesFile, FILE)
    # not those of the graph: a study without shortlists has no stage of that kind
    known = {*read_yaml(project / GRAPH_FILE)["stages"], DEFAULT}
    for kind in given.stages.keys() - known:
        raise FlowError(
            f"{FILE}: no stage of kind '{kind}'{nearest(kind, known)}",
            f"one of {', '.join(sorted(known))}",
            "Correct the key below `stages`.",
        )
    name = socket.gethostname()
    slots = given.machines.get(name) or given.machines.get(DEFAULT) or {"cpu": 1}
    return Machine(name, slots, given.stages)
