"""The place that a camera looks at: wall, floor and a few things, painted once for each camera."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.palette import CLOTH, RGB, draw_colour
from reid.data.synthetic.tables import Bounds
from reid.data.synthetic.world import WorldSpec

WIDTH, HEIGHT = 512, 320
"""Canvas in pixels at a picture height of 256."""

WARM_GREY = np.array([1.05, 1.01, 0.94])
"""Channels of stone and plaster: a common hue that casts of the cameras shift but rarely turn."""


def paint_background(spec: WorldSpec, camera: int) -> Image.Image:
    """Background canvas of a camera at the painted resolution H, 2 H × 1.25 H."""
    draw = spec.draw("bg", camera)
    levels = spec.camera_ranges(camera).wall
    wall = _surface(draw, spec, levels)
    floor = _surface(draw, spec, levels, uniform(draw, (0.70, 0.95)))
    picture = Image.new("RGB", (WIDTH, HEIGHT), wall)
    pen = ImageDraw.Draw(picture)
    horizon = round(HEIGHT * uniform(draw, (0.30, 0.62)))
    _wall_panels(pen, draw, wall, horizon)
    pen.rectangle((0, horizon, WIDTH, HEIGHT), fill=floor)
    _floor_lines(pen, draw, floor, horizon)
    _things(pen, draw, spec, levels, horizon)
    scale = spec.counts.paint_height / 256
    size = (round(WIDTH * scale), round(HEIGHT * scale))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BOX), dtype=np.float32)
    clouded = np.clip(pixels + _clouds(draw, size), 0, 255).astype(np.uint8)
    return Image.fromarray(clouded)


def _surface(
    draw: np.random.Generator, spec: WorldSpec, levels: Bounds, factor: float = 1.0
) -> RGB:
    """A stony colour, warm grey with a tint; `background_colour` says how strong the tint is."""
    level = uniform(draw, levels) * factor
    tint = draw.normal(0.0, 4.0, 3) * spec.background_colour
    return _rgb(level * WARM_GREY + tint)


def _rgb(values: NDArray[np.float64]) -> RGB:
    red, green, blue = np.clip(np.rint(values), 0, 255).astype(int).tolist()
    return red, green, blue


def _wall_panels(
    pen: ImageDraw.ImageDraw, draw: np.random.Generator, wall: RGB, horizon: int
) -> None:
    for _ in range(int(draw.integers(8, 18))):
        x, y = uniform(draw, (-30, WIDTH)), uniform(draw, (-20, horizon))
        wide, tall = uniform(draw, (20, 110)), uniform(draw, (15, 90))
        panel = _rgb(np.array(wall) * uniform(draw, (0.72, 1.18)))
        pen.rectangle((x, y, x + wide, min(y + tall, horizon)), fill=panel)


def _floor_lines(
    pen: ImageDraw.ImageDraw, draw: np.random.Generator, floor: RGB, horizon: int
) -> None:
    line = _rgb(np.array(floor) * uniform(draw, (0.78, 0.92)))
    vanishing = uniform(draw, (0, WIDTH))
    for foot in range(-WIDTH, 2 * WIDTH, int(draw.integers(50, 110))):
        # lines meet 40 pixels above the horizon; only their part on the floor is drawn
        start = vanishing + (foot - vanishing) * 40 / (HEIGHT - horizon + 40)
        pen.line((start, horizon, foot, HEIGHT), fill=line, width=2)
    for step in np.linspace(0.15, 1.0, int(draw.integers(3, 6))):
        y = horizon + (HEIGHT - horizon) * float(step) ** 2
        pen.line((0, y, WIDTH, y), fill=line, width=2)


def _things(
    pen: ImageDraw.ImageDraw,
    draw: np.random.Generator,
    spec: WorldSpec,
    levels: Bounds,
    horizon: int,
) -> None:
    """Posts, signs and boxes in cloth colours faded towards grey."""
    for _ in range(int(draw.integers(2, 7))):
        vivid = np.array(draw_colour(draw, CLOTH, 12.0).rgb, dtype=np.float64)
        level = uniform(draw, levels) * 0.85
        share = min(0.35 * spec.background_colour, 1.0)
        colour = _rgb(level * (1 - share) + (vivid - vivid.mean() * 0.4) * share)
        x, base = uniform(draw, (0, WIDTH)), horizon + uniform(draw, (-15, 45))
        wide, tall = uniform(draw, (6, 46)), uniform(draw, (25, 120))
        pen.rectangle((x, base - tall, x + wide, base), fill=colour)
        shaded = _rgb(np.array(colour) * 0.8)
        pen.rectangle((x + wide * 0.7, base - tall, x + wide, base), fill=shaded)


def _clouds(draw: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Smooth noise of a standard deviation of a few grey levels, [H, W, 1]."""
    coarse = Image.fromarray(draw.normal(0.0, 9.0, (20, 32)).astype(np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))[..., None]
