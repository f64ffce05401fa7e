"""Painting of a person: one code map that holds the material and the shade of every pixel.

The upper four bits of a code are the material, the lower four the shade. Painting once and
colouring later lets one drawing serve every spectrum, and the covered share can be counted.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from math import cos, hypot, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid.data.synthetic.person import Build
from reid.data.synthetic.skeleton import Joint, Point, View

Codes = NDArray[np.uint8]

SHADE_FAR = 7
SHADE_DARK = 9
SHADE_PLAIN = 12
SHADE_NEAR = 14
SHADES = tuple(0.52 + 0.04 * level for level in range(16))
"""Brightness of each shade; `SHADE_PLAIN` is 1."""

_CAP = tuple((cos(n * pi / 6), sin(n * pi / 6)) for n in range(-3, 4))


class Material(IntEnum):
    """What a pixel shows; `DETAIL` is eyes, soles and seams."""

    NONE = 0
    SKIN = 1
    HAIR = 2
    UPPER = 3
    SECOND = 4
    SLEEVE = 5
    LOWER = 6
    SHOES = 7
    BAG = 8
    INNER = 9
    LOGO = 10
    HAT = 11
    SCARF = 12
    STRIPE = 13
    BELT = 14
    DETAIL = 15


@dataclass(frozen=True)
class Painter:
    """A picture in progress with the brushes that body parts need."""

    picture: Image.Image
    build: Build
    view: View

    @cached_property
    def pen(self) -> ImageDraw.ImageDraw:
        """The drawing pen of the picture."""
        return ImageDraw.Draw(self.picture)

    @property
    def facing(self) -> float:
        """Facing of the view."""
        return self.view.facing

    @property
    def sideways(self) -> float:
        """Walking direction of the view."""
        return self.view.sideways

    def pixels(self, length: float) -> float:
        """Body heights as pixels."""
        return length * self.view.height

    def polygon(self, points: list[Point], material: Material, shade: int = SHADE_PLAIN) -> None:
        """Fill a polygon given in pixels."""
        self.pen.polygon(points, fill=material << 4 | shade)

    def ellipse(
        self,
        centre: Point,
        across: float,
        down: float,
        material: Material,
        shade: int = SHADE_PLAIN,
    ) -> None:
        """Fill an ellipse given by its centre and half axes in pixels."""
        x, y = centre
        box = (x - across, y - down, x + across, y + down)
        self.pen.ellipse(box, fill=material << 4 | shade)

    def disc(
        self, joint: Joint, radius: float, material: Material, shade: int = SHADE_PLAIN
    ) -> None:
        """Fill a disc around a joint; radius in body heights."""
        length = self.pixels(radius)
        self.ellipse(self.view.place(joint), length, length, material, shade)

    def capsule(
        self,
        ends: tuple[Joint, Joint],
        radii: tuple[float, float],
        material: Material,
        shade: int = SHADE_PLAIN,
    ) -> None:
        """Fill a tapered limb between two joints; radii in body heights."""
        (x0, y0), (x1, y1) = self.view.place(ends[0]), self.view.place(ends[1])
        length = hypot(x1 - x0, y1 - y0)
        # a limb that points at the camera is a disc; any direction will do
        dx, dy = ((x1 - x0) / length, (y1 - y0) / length) if length > 1e-6 else (0.0, 1.0)
        r0, r1 = self.pixels(radii[0]), self.pixels(radii[1])
        # one polygon with two round caps takes a third of the time of two ellipses and a bar
        outline = [
            (x1 + r1 * (dx * along - dy * aside), y1 + r1 * (dy * along + dx * aside))
            for along, aside in _CAP
        ]
        outline += [
            (x0 - r0 * (dx * along - dy * aside), y0 - r0 * (dy * along + dx * aside))
            for along, aside in _CAP
        ]
        self.polygon(outline, material, shade)

    def band(
        self,
        rows: list[tuple[float, float, float]],
        material: Material,
        shade: int = SHADE_PLAIN,
        span: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        """Fill a body section: rows of (y, half width, half depth), between two shares across."""
        left, right = [], []
        for y, side, front in rows:
            x_middle, y_pixel = self.view.place((0.0, y, 0.0))
            half = self.view.half_width(side, front)
            left.append((x_middle + half * span[0], y_pixel))
            right.append((x_middle + half * span[1], y_pixel))
        self.polygon(left + right[::-1], material, shade)
