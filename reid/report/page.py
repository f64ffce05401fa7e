"""Pages with images in lines: the ground of all pictures that explain a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reid.files import whole_file

Pixels = NDArray[np.uint8]

PIXELS = 1600  # no page is wider
GAP = 8
NARROWEST = 660  # has room for every legend
TITLE = 62  # the title and, below it, the legend
CAPTION = 22
INK, PAPER, FAINT = "#111111", "#ffffff", "#666666"


class Shown(NamedTuple):
    """An image [H, W, 3] and what is said of it. All images of a picture have one size."""

    pixels: Pixels
    caption: str


class ShownPair(NamedTuple):
    """Two images and what is said of both together."""

    first: Shown
    second: Shown
    caption: str


def new_page(
    count: int, per_line: int, step: tuple[int, int], title: str, head: int = 0
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Make a page for `count` items of size `step`; `head` pixels are left above the first line."""
    lines = -(-count // per_line)
    width = max(NARROWEST, GAP + per_line * step[0], round(font(17).getlength(title)) + 2 * GAP)
    page = Image.new("RGB", (width, TITLE + head + lines * step[1]), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 8), title, fill=INK, font=font(17))
    return page, draw


def corner(number: int, per_line: int, step: tuple[int, int], head: int = 0) -> tuple[int, int]:
    """Return left and top of an item."""
    line, column = divmod(number, per_line)
    return GAP + column * step[0], TITLE + head + line * step[1]


def images_per_line(count: int, width: int) -> int:
    """Return how many images of this width stand in a line, so that pairs stay together."""
    return max(1, min(count, (PIXELS - GAP) // width // 2 * 2))


def tile_size(shown: Sequence[Shown], width: int) -> tuple[int, int]:
    """Return width and height of a picture that is `width` wide."""
    height, breadth = shown[0].pixels.shape[:2]
    return width, round(width * height / breadth)


def save_page(page: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    with whole_file(path) as part:
        page.save(part, format="PNG")


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all pages."""
    return ImageFont.load_default(size)
