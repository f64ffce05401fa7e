"""Colouring of painted people: the palette of visible light, and any palette times shade.

Everything is done in bytes: the pictures are small, so that the number of calls is what costs time.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from reid.data.synthetic.paint import SHADES, Material
from reid.data.synthetic.palette import RGB, Colour
from reid.data.synthetic.person import Identity

DETAIL = Colour("dark", (44, 34, 34))
# bytes that stand for a shade and a light of 1; both can be brighter than that
_NEUTRAL_SHADE = 220
_NEUTRAL_LIGHT = 215
# the empty surroundings are darker than neutral, so that blurring rounds the outline off
_SHADE_BYTES = bytes([162] * 16 + [round(shade * _NEUTRAL_SHADE) for shade in SHADES] * 15)
_MASK_BYTES = bytes([0] * 16 + [255] * 240)
_WHITE = _NEUTRAL_SHADE * _NEUTRAL_LIGHT / 255


@lru_cache(maxsize=4096)
def cloth_palette(who: Identity) -> bytes:
    """Colour in visible light of each code of a person, 256 × RGB, not shaded."""
    return code_palette(
        {material: colour.rgb for material, colour in material_colours(who).items()}
    )


def material_colours(who: Identity) -> dict[Material, Colour]:
    """Visible colour of each material that a person shows."""
    colours = {
        Material.SKIN: who.skin,
        Material.HAIR: who.hair.colour,
        Material.UPPER: who.upper,
        Material.SECOND: who.second,
        Material.SLEEVE: who.second if who.sleeve.second else who.upper,
        Material.LOWER: who.lower.colour,
        Material.SHOES: who.shoes.colour,
        Material.BAG: who.bag.colour,
        Material.INNER: who.inner,
        Material.LOGO: who.logo.colour if who.logo else None,
        Material.HAT: who.hat,
        Material.SCARF: who.scarf,
        Material.STRIPE: who.lower.stripe,
        Material.BELT: who.belt,
        Material.DETAIL: DETAIL,
    }
    return {material: colour for material, colour in colours.items() if colour is not None}


def code_palette(colours: Mapping[Material, RGB]) -> bytes:
    """Spread the colours of materials over the shades of the code map, 256 × RGB."""
    table = np.zeros((len(Material), 3), np.uint8)
    for material, rgb in colours.items():
        table[material] = rgb
    return np.repeat(table, 16, axis=0).tobytes()


def side_light(slope: float, size: tuple[int, int]) -> Image.Image:
    """Brightness of light that comes from one side, as a picture for `lay_person`.

    Args:
        slope: Difference of brightness from the left edge to the right one.
        size: Width and height of the scene.
    """
    row = (1 + slope * np.linspace(-0.5, 0.5, size[0])) * _NEUTRAL_LIGHT
    return Image.fromarray(np.tile(np.rint(row).astype(np.uint8), (size[1], 1)))


def lay_person(
    scene: Image.Image, painted: Image.Image, palette: bytes, light: Image.Image
) -> Image.Image:
    """Paint a person over a scene, in place.

    Args:
        scene: RGB picture.
        painted: Code map of the person, of the size of the scene.
        palette: Colour of each code, 256 × RGB, in the light that the camera sees.
        light: `side_light` of the size of the scene.

    Returns:
        Mask of the size of the scene, 255 where the person is.
    """
    mask = _translated(painted, _MASK_BYTES)
    box = painted.getbbox()
    if box is None:
        return mask
    # a person fills less than half of the frame: work inside a window with room for the blur
    left, top = max(box[0] - 3, 0), max(box[1] - 3, 0)
    window = (left, top, min(box[2] + 3, scene.width), min(box[3] + 3, scene.height))
    codes = painted.crop(window)
    soft = _translated(codes, _SHADE_BYTES).filter(ImageFilter.BoxBlur(scene.height / 128))
    shade = ImageChops.multiply(soft, light.crop(window))
    codes.putpalette(palette)
    shaded = ImageChops.multiply(codes.convert("RGB"), Image.merge("RGB", (shade,) * 3))
    # adding a picture to itself is the one call that brightens by a fraction and clips
    lit = ImageChops.add(shaded, shaded, 2 * _WHITE / 255)
    scene.paste(lit, (left, top), mask.crop(window))
    return mask


def _translated(picture: Image.Image, table: bytes) -> Image.Image:
    return Image.frombytes("L", picture.size, picture.tobytes().translate(table))
