"""What a run costs: to train, to keep and to ask."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Quantity(NamedTuple):
    """A kind of cost.

    Attributes:
        name: At the head of a column.
        unit: Empty for what is counted.
        more: Whether more of it is better.
    """

    name: str
    unit: str = ""
    more: bool = False


COSTS = {
    "parameters": Quantity("parameters"),
    "flops_per_image": Quantity("FLOP per image"),
    "images_per_second": Quantity("images/s", more=True),
    "feature_bytes": Quantity("kept per image", "B"),
    "seconds_per_query": Quantity("per query", "s"),
    "training_seconds": Quantity("training", "s"),
}
NOTE = (
    "Parameters are those of the whole network with its training heads. FLOP per image, two for a "
    "multiplication with its addition, come from matrix products, convolutions and attention; "
    "what is named beside them was not counted. images/s: embedding, without decoding. Kept per "
    "image: what is stored of it to be found again. Per query: its distances to the whole "
    "gallery, without embedding and ranking. Training: all epochs of this run, without a "
    "pretraining. Times depend on the machine: compare those of one device."
)
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))
_MINUTE, _HOUR = 60, 3600


@dataclass(frozen=True)
class Cost:
    """What a run costs; None where its card does not say.

    Args:
        amounts: Each of `COSTS`, in its unit.
        without: Parts that `flops_per_image` leaves out.
    """

    amounts: Mapping[str, float | None]
    without: tuple[str, ...]

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "Cost":
        """Read a protocol card; older ones know the speed alone."""
        stated = card.get("cost", {})
        speed = stated.get("images_per_second", card.get("images_per_second"))
        amounts = {name: stated.get(name) for name in COSTS} | {"images_per_second": speed}
        return cls(amounts, tuple(stated.get("flops_without", ())))

    def whole(self, name: str) -> float | None:
        """Return an amount that nothing was left out of, else None."""
        return None if name == "flops_per_image" and self.without else self.amounts[name]


def cost_cell(cost: Cost, name: str) -> str:
    """Write an amount with three digits; empty where it is not known."""
    value = cost.amounts[name]
    if value is None:
        return ""
    text = _duration(value) if COSTS[name].unit == "s" else prefixed(value, COSTS[name].unit)
    if name == "flops_per_image" and cost.without:
        return f"{text}, {', '.join(cost.without)} not counted"
    return text


def prefixed(value: float, unit: str = "") -> str:
    """Write a number with three digits and a prefix of its unit."""
    scale, prefix = next((p for p in _PREFIXES if abs(value) >= p[0] * 0.9995), _PREFIXES[-1])
    if value == 0:
        scale, prefix = 1.0, ""
    number = value / scale
    digits = 0 if number >= 99.95 else 1 if number >= 9.995 else 2
    text = f"{number:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{text} {prefix}{unit}".strip()


def _duration(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return prefixed(seconds, "s")
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds / _HOUR:.1f} h"
