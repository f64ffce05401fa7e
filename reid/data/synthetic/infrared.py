"""Infrared light: the reflectance of each material, which the visible colour hardly tells.

Near infrared shows fibres rather than dyes. A cloth has the reflectance of its fabric, drawn on its
own; `ir_tie` mixes in a function of the visible colour, so that the two spectra can share more or
less. What always survives is the shape of the clothes, and the patterns whose two dyes differ.
"""

import numpy as np

from reid.data.synthetic.colour import code_palette, material_colours
from reid.data.synthetic.keys import uniform
from reid.data.synthetic.paint import Material
from reid.data.synthetic.palette import RGB
from reid.data.synthetic.person import Identity
from reid.data.synthetic.world import WorldSpec

FABRICS = (0.18, 0.38, 0.55, 0.72, 0.88)
FABRIC_SD = 0.04
SAME_SECOND = 0.60
"""Share of people whose second colour reflects like the first: their pattern vanishes."""

SAME_SLEEVE = 0.80
"""Share of sleeves in the second colour that reflect like the body."""

SKIN = (0.67, 0.73)
HAIR = (0.20, 0.50)
DETAIL = 0.15

TIED_LIMITS = (0.06, 0.94)


def infrared_palette(spec: WorldSpec, who: Identity, *name: int | str) -> bytes:
    """Reflectance of each code of a person as grey, 256 × RGB with equal channels.

    Args:
        spec: A cross-modal world.
        who: The identity.
        name: Name of the identity in draws: kind and number.
    """
    levels = {
        material: round(255 * min(max(value, 0.04), 0.96))
        for material, value in reflectances(spec, who, *name).items()
    }
    return code_palette({material: (level, level, level) for material, level in levels.items()})


def reflectances(spec: WorldSpec, who: Identity, *name: int | str) -> dict[Material, float]:
    """Infrared reflectance of each material that a person shows, about 0 to 1."""
    tie = spec.ir_tie or 0.0
    # a twin wears the clothes of the original; only what was changed is drawn anew
    name = (*name[:-1], who.twin_of) if who.twin_of is not None else name
    colours = material_colours(who)
    fabrics = {
        material: _fabric(spec.draw("ir", *name, material.name, *colour.rgb))
        for material, colour in colours.items()
    }
    dyes = spec.draw("ir", *name, "dyes")
    same_second, same_sleeve = dyes.random() < SAME_SECOND, dyes.random() < SAME_SLEEVE
    if same_second:
        fabrics[Material.SECOND] = fabrics[Material.UPPER]
    cloth_of_body = same_sleeve or not who.sleeve.second
    fabrics[Material.SLEEVE] = fabrics[Material.UPPER if cloth_of_body else Material.SECOND]
    mixed = {
        material: tie * tied_reflectance(colour.rgb) + (1 - tie) * fabrics[material]
        for material, colour in colours.items()
    }
    body = spec.draw("ir", *name, "body")
    skin = uniform(body, SKIN)
    hair = uniform(spec.draw("ir", *name, "hair", *who.hair.colour.rgb), HAIR)
    return mixed | {Material.SKIN: skin, Material.HAIR: hair, Material.DETAIL: DETAIL}


def tied_reflectance(rgb: RGB) -> float:
    """The part of the reflectance that follows the visible colour: how much red exceeds the rest.

    Warm dyes let infrared through and cold ones do not, while black, grey and white reflect alike:
    a grey version of the picture says next to nothing about it.
    """
    red, green, blue = rgb
    low, high = TIED_LIMITS
    return min(max(0.5 + (red - (green + blue) / 2) / 255, low), high)


def _fabric(draw: np.random.Generator) -> float:
    return FABRICS[int(draw.integers(len(FABRICS)))] + float(draw.normal(0.0, FABRIC_SD))
