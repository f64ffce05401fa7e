"""Twins: people who differ from their neighbour in exactly one attribute, the hard pairs."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from reid.data.synthetic.palette import RGB, Colour
from reid.data.synthetic.person import (
    PATTERNS,
    VISIBLE_DIFFERENCE,
    Identity,
    Pattern,
    draw_cloth,
    draw_hair,
    draw_logo,
    stranger,
)
from reid.data.synthetic.world import WorldSpec

TWIN_RATE = 0.30


def person(spec: WorldSpec, person_id: int) -> Identity:
    """The identity of a person of the training or the test split, twins included."""
    train_ids = spec.counts.train_ids
    place = person_id - 1 if person_id <= train_ids else person_id - 1 - train_ids
    draw = spec.draw("twin", person_id)
    # only odd places copy, and only their even neighbour: no chains, and no twins across splits
    if place % 2 == 1 and draw.random() < TWIN_RATE:
        return _twin(draw, stranger(spec, person_id - 1), person_id - 1)
    return stranger(spec, person_id)


def _twin(draw: np.random.Generator, original: Identity, original_id: int) -> Identity:
    details = [name for name in TWIN_CHANGES if name != "logo" or original.garment == "top"]
    detail = details[int(draw.integers(len(details)))]
    changed = TWIN_CHANGES[detail](draw, original)
    return replace(changed, twin_of=original_id, twin_detail=detail)


def _visibly(colour: Colour, wanted: RGB) -> Colour:
    """The wanted change of a colour, or its light opposite where that would not be seen."""
    changed = Colour(f"other_{colour.name}", wanted)
    if changed.difference(colour) >= VISIBLE_DIFFERENCE:
        return changed
    level = 30 if sum(colour.rgb) > 3 * 128 else 225
    return Colour(f"other_{colour.name}", (level, level, level))


def _twin_shoes(_: np.random.Generator, who: Identity) -> Identity:
    red, green, blue = who.shoes.colour.rgb
    inverted = _visibly(who.shoes.colour, (255 - red, 255 - green, 255 - blue))
    return replace(who, shoes=replace(who.shoes, colour=inverted))


def _twin_bag(draw: np.random.Generator, who: Identity) -> Identity:
    kinds = [k for k in ("none", "backpack", "shoulder", "hand") if k != who.bag.kind]
    return replace(who, bag=replace(who.bag, kind=kinds[int(draw.integers(len(kinds)))]))


def _twin_logo(draw: np.random.Generator, who: Identity) -> Identity:
    return replace(who, logo=draw_logo(draw) if who.logo is None else None)


def _twin_hair(draw: np.random.Generator, who: Identity) -> Identity:
    hair = draw_hair(draw)
    while hair.style == who.hair.style or hair.colour.name == who.hair.colour.name:
        hair = draw_hair(draw)
    return replace(who, hair=hair)


def _twin_sleeve(_: np.random.Generator, who: Identity) -> Identity:
    return replace(who, sleeve=replace(who.sleeve, second=not who.sleeve.second))


def _twin_lower(_: np.random.Generator, who: Identity) -> Identity:
    red, green, blue = who.lower.colour.rgb
    rotated = _visibly(who.lower.colour, (green, blue, red))
    return replace(who, lower=replace(who.lower, colour=rotated))


def _twin_pattern(draw: np.random.Generator, who: Identity) -> Identity:
    kinds = [kind for kind in ("plain", *PATTERNS) if kind != who.pattern.kind]
    kind = kinds[int(draw.integers(len(kinds)))]
    return replace(who, pattern=Pattern(kind, who.pattern.repeats))


def _twin_hat(draw: np.random.Generator, who: Identity) -> Identity:
    return replace(who, hat=draw_cloth(draw) if who.hat is None else None)


TWIN_CHANGES: dict[str, Callable[[np.random.Generator, Identity], Identity]] = {
    "shoes": _twin_shoes,
    "bag": _twin_bag,
    "logo": _twin_logo,
    "hair": _twin_hair,
    "sleeve": _twin_sleeve,
    "lower": _twin_lower,
    "pattern": _twin_pattern,
    "hat": _twin_hat,
}
