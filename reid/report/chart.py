"""Small charts as SVG for a page: axes, lines and numbered marks, with a name to be read out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from markupsafe import Markup, escape

from reid.report.cost import prefixed

COLOURS = (
    *("#0072b2", "#c44e00", "#00785a", "#a3297a"),
    *("#5b3fa0", "#7a5200", "#37474f", "#b3261e"),
)
"""Of runs in their order; told apart by colour-blind readers, and dark enough for white numbers."""
_DASHES = ("", "6 3", "2 3")
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 40
_MARK = 9
_TICKS = 5


def colour(number: int) -> str:
    """Return the colour of a run by its place from 0."""
    return COLOURS[number % len(COLOURS)]


@dataclass(frozen=True)
class Axis:
    """A range of numbers and what it is called."""

    name: str
    low: float
    high: float
    logarithmic: bool = False

    @classmethod
    def around(cls, name: str, values: Iterable[float], logarithmic: bool) -> "Axis":
        """Return an axis with room at both ends; logarithmic only if all values are above 0."""
        low, high = min(values := list(values)), max(values)
        if logarithmic and low > 0:
            room = max(1.25, (high / low) ** 0.08)
            return cls(name, low / room, high * room, True)
        room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        return cls(name, low - room, high + room)

    def place(self, value: float) -> float:
        """Return where a value stands, from 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round numbers within."""
        if self.logarithmic:
            return self._decades()
        rough = (self.high - self.low) / _TICKS
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]

    def _decades(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
            values = [factor * 10.0**power for power in powers for factor in factors]
            ticks = [value for value in values if self.low <= value <= self.high]
            if len(ticks) >= 3:
                break
        return ticks[:: -(-len(ticks) // (_TICKS + 2)) or 1]


@dataclass
class Chart:
    """A chart that is drawn part by part.

    Args:
        name: What it shows, with its main numbers; for those who cannot see it.
        across, up: Its axes.
        size: Width and height in pixels.
    """

    name: str
    across: Axis
    up: Axis
    size: tuple[int, int] = (320, 260)
    _parts: list[Markup] = field(default_factory=list)

    def line(self, points: Iterable[tuple[float, float]], number: int, title: str) -> None:
        """Draw the line of a run by its place from 0."""
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (self._at(*point) for point in points))
        dash = _DASHES[number // len(COLOURS) % len(_DASHES)]
        self._parts.append(
            Markup(
                '<path d="M{}" fill="none" stroke="{}" stroke-width="2"{}><title>{}</title></path>'
            ).format(
                path,
                colour(number),
                Markup(' stroke-dasharray="{}"').format(dash) if dash else "",
                title,
            )
        )

    def mark(self, across: float, up: float, number: int, title: str) -> None:
        """Put a disc with the place of a run, counted from 1."""
        x, y = self._at(across, up)
        self._parts.append(
            Markup(
                '<g><title>{}</title><circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}"/>'
                '<text x="{:.1f}" y="{:.1f}" class="number">{}</text></g>'
            ).format(title, x, y, _MARK, colour(number), x, y + 4, number + 1)
        )

    def svg(self) -> Markup:
        """Return the element."""
        width, height = self.size
        return Markup(
            '<svg role="img" aria-label="{}" viewBox="0 0 {} {}" width="{}" height="{}">{}{}</svg>'
        ).format(
            self.name, width, height, width, height, self._frame(), Markup("").join(self._parts)
        )

    def _at(self, across: float, up: float) -> tuple[float, float]:
        width, height = self.size
        return (
            _LEFT + self.across.place(across) * (width - _LEFT - _RIGHT),
            height - _BOTTOM - self.up.place(up) * (height - _TOP - _BOTTOM),
        )

    def _frame(self) -> Markup:
        """Draw the grid, the numbers beside it and the names of the axes."""
        (left, bottom), (right, top) = (
            self._at(self.across.low, self.up.low),
            self._at(self.across.high, self.up.high),
        )
        parts = []
        for value in self.up.ticks():
            y = self._at(self.across.low, value)[1]
            parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
            parts.append(f'<text x="{left - 5:.1f}" y="{y + 4:.1f}" class="up">{value:g}</text>')
        for value in self.across.ticks():
            x = self._at(value, self.up.low)[0]
            parts.append(f'<path class="grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
            text = prefixed(value)
            parts.append(f'<text x="{x:.1f}" y="{bottom + 15:.1f}" class="across">{text}</text>')
        middle = (left + right) / 2
        parts.append(
            f'<text x="{middle:.1f}" y="{bottom + 32:.1f}" class="across">'
            f"{escape(self.across.name)}</text>"
        )
        parts.append(f'<text x="{left - 20:.1f}" y="{top - 12:.1f}">{escape(self.up.name)}</text>')
        return Markup("".join(parts))  # noqa: S704 - numbers, and names that are escaped
