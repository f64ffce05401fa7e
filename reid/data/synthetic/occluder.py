"""Things between the camera and the person: low walls, pillars, boxes and other people."""

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid.data.synthetic.colour import lay_person
from reid.data.synthetic.figure import paint_person
from reid.data.synthetic.keys import uniform
from reid.data.synthetic.palette import CLOTH, RGB, draw_colour
from reid.data.synthetic.person import Identity
from reid.data.synthetic.skeleton import View
from reid.data.synthetic.world import WorldSpec

EXTRAS = 24
"""Pool of people who only ever stand in the way."""

VARIANTS = 3


@dataclass(frozen=True)
class Extra:
    """Somebody who stands in the way, with the palette of the light that the camera sees."""

    who: Identity
    palette: bytes


def occluder_colours(spec: WorldSpec, camera: int) -> tuple[RGB, ...]:
    """Colours of the things in front of a camera, one for each variant."""
    colours = []
    for variant in range(VARIANTS):
        draw = spec.draw("occ", camera, variant)
        vivid = np.array(draw_colour(draw, CLOTH, 12.0).rgb, dtype=np.float64)
        share = min(0.45 * spec.background_colour, 1.0)
        level = uniform(draw, spec.camera_ranges(camera).wall) * 0.8
        colours.append(_shaded(vivid * share + level * (1 - share), 1.0))
    return tuple(colours)


def occlude(
    scene: Image.Image,
    draw: np.random.Generator,
    colours: tuple[RGB, ...],
    extras: tuple[Extra, ...],
    view: View,
    light: Image.Image,
) -> Image.Image:
    """Put something in front of the person, in place.

    Args:
        scene: RGB picture with the person.
        draw: Generator of this image.
        colours: Colours of this camera's things.
        extras: People who may stand in the way.
        view: View of the person.
        light: Light of this camera, as for `lay_person`.

    Returns:
        Mask of the size of the scene, 255 where something stands in front.
    """
    choice = draw.random()
    if choice < 0.75:
        return _thing(scene, draw, colours[int(draw.integers(VARIANTS))], choice)
    extra = extras[int(draw.integers(len(extras)))]
    side = 1.0 if draw.random() < 0.5 else -1.0
    beside = View(
        yaw=uniform(draw, (0, 2 * pi)),
        phase=uniform(draw, (0, 2 * pi)),
        elevation=view.elevation,
        centre=view.centre + side * scene.width * uniform(draw, (0.22, 0.42)),
        top=view.top + scene.height * uniform(draw, (0.02, 0.10)),
        height=view.height * uniform(draw, (0.97, 1.10)),
    )
    return lay_person(scene, paint_person(extra.who, beside, scene.height), extra.palette, light)


def _shaded(colour: NDArray[np.float64], factor: float) -> RGB:
    red, green, blue = np.clip(np.rint(colour * factor), 0, 255).astype(int).tolist()
    return red, green, blue


def _thing(
    scene: Image.Image, draw: np.random.Generator, colour: RGB, choice: float
) -> Image.Image:
    top, bottom, left, right = 0.0, 1.0, 0.0, 1.0
    if choice < 0.30:  # low wall
        top = uniform(draw, (0.50, 0.85))
    elif choice < 0.55:  # pillar
        wide = uniform(draw, (0.12, 0.40))
        left = uniform(draw, (0.05, 0.95 - wide))
        right = left + wide
    else:  # box
        wide, tall = uniform(draw, (0.30, 0.70)), uniform(draw, (0.18, 0.42))
        left, top = uniform(draw, (-0.1, 1.1 - wide)), uniform(draw, (0.40, 0.95 - tall))
        right, bottom = left + wide, top + tall
    width, height = scene.size
    x0, y0, x1, y1 = left * width, top * height, right * width, bottom * height
    pen, base = ImageDraw.Draw(scene), np.array(colour, dtype=np.float64)
    pen.rectangle((x0, y0, x1, y1), fill=colour)
    pen.rectangle((x1 - width / 16, y0, x1, y1), fill=_shaded(base, 0.78))
    pen.rectangle((x0, y0, x1, y0 + height / 64), fill=_shaded(base, 1.2))
    mask = Image.new("L", scene.size)
    ImageDraw.Draw(mask).rectangle((x0, y0, x1, y1), fill=255)
    return mask
