"""Layouts on disk: which images a kind of world has, and which files lie beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from reid.data.synthetic.luperson import luperson_shots
from reid.data.synthetic.market import market_shots
from reid.data.synthetic.shots import Shot
from reid.data.synthetic.sysu import sysu_companions, sysu_shots
from reid.data.synthetic.world import WorldSpec


@dataclass(frozen=True)
class Layout:
    """A family of real datasets: its images, and the content of other files by name, if any."""

    shots: Callable[[WorldSpec], tuple[Shot, ...]]
    companions: Callable[[WorldSpec, Sequence[Shot]], dict[str, bytes]] | None = None


MARKET = Layout(market_shots)

LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "colour": MARKET,
        "occluded": MARKET,
        "cross_modal": Layout(sysu_shots, sysu_companions),
        "unlabelled": Layout(luperson_shots),
    }
)
"""Layout of each kind of world."""


def schedule(spec: WorldSpec) -> tuple[Shot, ...]:
    """All images of a world, in the order in which they are painted."""
    return LAYOUTS[spec.kind].shots(spec)
