"""Identities: what a person looks like, drawn once and the same in every camera.

An attribute is one field of `Identity`; parts that change together (hair style and hair colour) are
one field, so "exactly one change" can be counted.
"""

from dataclasses import dataclass

import numpy as np

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.palette import (
    CLOTH,
    HAIR,
    LOWER,
    SHOES,
    SKIN,
    Colour,
    darkened,
    draw_colour,
)
from reid.data.synthetic.tables import Domain
from reid.data.synthetic.world import WorldSpec

HAIR_STYLES = ("short", "short", "long", "bun", "bald", "bob")
PATTERNS = ("stripes", "columns", "check", "block", "dots", "diagonal")
CLOTH_JITTER = 14.0
# below this largest channel difference two colours of one person cannot be told apart on camera
VISIBLE_DIFFERENCE = 70


@dataclass(frozen=True)
class Build:
    """Body measures; the unit is the body height, `height` is the share of the figure box."""

    height: float
    shoulder: float
    hip: float
    depth: float
    limb: float
    hip_line: float
    head: float


@dataclass(frozen=True)
class Hair:
    """Style and colour of the hair."""

    style: str
    colour: Colour


@dataclass(frozen=True)
class Pattern:
    """Pattern of the upper cloth; `plain` has no repeats."""

    kind: str
    repeats: int


@dataclass(frozen=True)
class Sleeve:
    """Sleeves: short or long, in the second colour or in that of the body."""

    short: bool
    second: bool


@dataclass(frozen=True)
class Logo:
    """Chest logo: colour, place on the chest (-1 to 1 across, 0 to 1 down) and half size."""

    colour: Colour
    across: float
    down: float
    size: float


@dataclass(frozen=True)
class Lower:
    """Trousers, skirt or shorts with an optional side stripe."""

    kind: str
    colour: Colour
    stripe: Colour | None


@dataclass(frozen=True)
class Shoes:
    """Shoes or boots."""

    colour: Colour
    boots: bool


@dataclass(frozen=True)
class Bag:
    """Nothing, backpack, shoulder bag or hand bag; `side` is -1 or 1 in body coordinates."""

    kind: str
    side: int
    colour: Colour


@dataclass(frozen=True)
class Identity:
    """All that stays the same on a person from camera to camera."""

    build: Build
    skin: Colour
    hair: Hair
    garment: str
    inner: Colour | None
    upper: Colour
    second: Colour
    pattern: Pattern
    sleeve: Sleeve
    logo: Logo | None
    lower: Lower
    belt: Colour | None
    shoes: Shoes
    bag: Bag
    hat: Colour | None
    scarf: Colour | None
    twin_of: int | None = None
    twin_detail: str | None = None

    def attributes(self) -> dict[str, str | int | None]:
        """Attributes in words, one entry a field, so that a twin differs in exactly one entry."""
        bag = self.bag
        plain = self.pattern.kind == "plain"
        logo = self.logo
        return {
            "build": f"height {self.build.height:.3f} shoulder {self.build.shoulder:.3f}",
            "skin": str(self.skin),
            "hair": f"{self.hair.style} {self.hair.colour}",
            "garment": self.garment,
            "inner": _or_none(self.inner),
            "upper": str(self.upper),
            "second": str(self.second),
            "pattern": "plain" if plain else f"{self.pattern.kind} {self.pattern.repeats}",
            "sleeve": f"{'short' if self.sleeve.short else 'long'} "
            f"{'second' if self.sleeve.second else 'upper'}",
            "logo": str(logo.colour) if logo else "none",
            "lower": f"{self.lower.kind} {self.lower.colour}",
            "stripe": _or_none(self.lower.stripe),
            "belt": _or_none(self.belt),
            "shoes": f"{'boots' if self.shoes.boots else 'shoes'} {self.shoes.colour}",
            "bag": "none"
            if bag.kind == "none"
            else f"{bag.kind} {'left' if bag.side < 0 else 'right'} {bag.colour}",
            "hat": _or_none(self.hat),
            "scarf": _or_none(self.scarf),
            "twin_of": self.twin_of,
            "twin_detail": self.twin_detail,
        }


def _or_none(colour: Colour | None) -> str:
    return "none" if colour is None else str(colour)


def stranger(spec: WorldSpec, *name: int | str) -> Identity:
    """An identity of its own: a person, a distractor or an extra, named by the key."""
    draw = spec.draw("id", *name)
    ranges = spec.ranges
    garment, inner, short, logo = _garment(draw, ranges)
    upper = draw_colour(draw, CLOTH, CLOTH_JITTER)
    if draw.random() < ranges.dark_upper:
        upper = darkened(upper, 0.35)
    return Identity(
        build=_build(draw),
        skin=draw_colour(draw, SKIN, 6.0),
        hair=draw_hair(draw),
        garment=garment,
        inner=inner,
        upper=upper,
        second=_unlike(draw, upper),
        pattern=_pattern(draw),
        sleeve=Sleeve(short, bool(draw.random() < 0.18)),
        logo=logo,
        lower=_lower(draw, ranges),
        belt=_sometimes(draw, 0.25),
        shoes=Shoes(draw_colour(draw, SHOES, CLOTH_JITTER), bool(draw.random() < 0.15)),
        bag=_bag(draw),
        hat=_sometimes(draw, ranges.hat),
        scarf=_sometimes(draw, ranges.scarf),
    )


def _build(draw: np.random.Generator) -> Build:
    return Build(
        height=uniform(draw, (0.86, 1.00)),
        shoulder=uniform(draw, (0.108, 0.142)),
        hip=uniform(draw, (0.082, 0.112)),
        depth=uniform(draw, (0.062, 0.098)),
        limb=uniform(draw, (0.85, 1.20)),
        hip_line=uniform(draw, (0.49, 0.54)),
        head=uniform(draw, (0.058, 0.066)),
    )


def draw_cloth(draw: np.random.Generator) -> Colour:
    """Draw a cloth colour."""
    return draw_colour(draw, CLOTH, CLOTH_JITTER)


def _sometimes(draw: np.random.Generator, rate: float) -> Colour | None:
    return draw_cloth(draw) if draw.random() < rate else None


def _unlike(draw: np.random.Generator, other: Colour) -> Colour:
    """A cloth colour that shows on top of another one."""
    colour = draw_cloth(draw)
    while colour.difference(other) < VISIBLE_DIFFERENCE:
        colour = draw_cloth(draw)
    return colour


def draw_hair(draw: np.random.Generator) -> Hair:
    """Draw a hair style and its colour."""
    style = HAIR_STYLES[int(draw.integers(len(HAIR_STYLES)))]
    return Hair(style, draw_colour(draw, HAIR, 8.0))


def _pattern(draw: np.random.Generator) -> Pattern:
    choice = int(draw.integers(9)) - 3
    return Pattern("plain" if choice < 0 else PATTERNS[choice], int(draw.integers(3, 8)))


def draw_logo(draw: np.random.Generator) -> Logo:
    """Draw a chest logo."""
    across, down = uniform(draw, (-0.45, 0.45)), uniform(draw, (0.18, 0.5))
    return Logo(draw_cloth(draw), across, down, uniform(draw, (0.018, 0.045)))


def _garment(
    draw: np.random.Generator, ranges: Domain
) -> tuple[str, Colour | None, bool, Logo | None]:
    """Garment, colour seen through an open front, short sleeves, logo."""
    choice = draw.random()
    if choice >= ranges.coat + 0.22:
        short = bool(draw.random() < ranges.short_sleeves)
        return "top", None, short, draw_logo(draw) if draw.random() < 0.35 else None
    return "coat" if choice < ranges.coat else "jacket", _sometimes(draw, 0.70), False, None


def _lower(draw: np.random.Generator, ranges: Domain) -> Lower:
    choice = draw.random()
    kind = "skirt" if choice < 0.14 else "shorts" if choice < 0.14 + ranges.shorts else "trousers"
    return Lower(kind, draw_colour(draw, LOWER, CLOTH_JITTER), _sometimes(draw, 0.15))


def _bag(draw: np.random.Generator) -> Bag:
    choice = draw.random()
    limits = ((0.42, "none"), (0.67, "backpack"), (0.87, "shoulder"), (1.0, "hand"))
    kind = next(name for limit, name in limits if choice < limit)
    return Bag(kind, 1 if draw.random() < 0.5 else -1, draw_cloth(draw))
