"""A picture of what every cell of two images adds to the score of the pair."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from reid.methods.explanation import FloatArray
from reid.report.page import (
    CAPTION,
    FAINT,
    GAP,
    INK,
    PIXELS,
    ShownPair,
    corner,
    font,
    new_page,
    save_page,
    tile_size,
)

_TILE = 150
_PANELS = 4
_STRONGEST = 0.8  # share of the colour where a cell adds or takes most
_ADDS, _TAKES = np.array([202, 0, 32]), np.array([5, 113, 176])  # red and blue


def draw_contributions(
    pairs: Sequence[ShownPair],
    heat: Sequence[tuple[FloatArray, FloatArray]],
    path: Path,
    title: str,
    centre: float = 0.5,
) -> None:
    """Draw both images of each pair, each beside its map of what the cells add to the score.

    All maps of a page have one scale, so that pairs can be compared.

    Args:
        heat: Of each pair, two maps [h, w] of positive and negative numbers.
        path: PNG to write.
        centre: Where in its share of the picture a cell has its middle, 0 at its first pixel.
    """
    tile = tile_size([image for pair in pairs for image in pair[:2]], _TILE)
    step = (_PANELS * (tile[0] + GAP) + 2 * GAP, tile[1] + 2 * CAPTION + GAP)
    per_line = max(1, min(len(pairs), PIXELS // step[0]))
    largest = max(max(float(np.abs(one).max()) for one in both) for both in heat) or 1.0
    page, draw = new_page(len(pairs), per_line, step, title)
    _draw_scale(page, draw, largest)
    for number, (pair, maps) in enumerate(zip(pairs, heat, strict=True)):
        left, top = corner(number, per_line, step)
        for side, (image, one) in enumerate(zip((pair.first, pair.second), maps, strict=True)):
            x = left + 2 * side * (tile[0] + GAP)
            picture = Image.fromarray(image.pixels).resize(tile, Image.Resampling.LANCZOS)
            page.paste(picture, (x, top))
            page.paste(_coloured(picture, one / largest, centre), (x + tile[0] + GAP, top))
            draw.text((x, top + tile[1] + 2), image.caption, fill=INK, font=font(13))
            text = f"adds {one.sum():+.2f}"
            draw.text((x + tile[0] + GAP, top + tile[1] + 2), text, fill=FAINT, font=font(13))
        draw.text((left, top + tile[1] + 20), pair.caption, fill=FAINT, font=font(13))
    save_page(page, path)


def _coloured(picture: Image.Image, heat: FloatArray, centre: float) -> Image.Image:
    """Lay a map from -1 to 1 over a grey picture, which shows through where it is near zero."""
    rows, columns = heat.shape
    start = 1.5 - centre  # of the picture, in a map with a border
    wide = Image.fromarray(np.pad(heat, 1, mode="edge").astype(np.float32))
    box = (start, start, start + columns, start + rows)
    smooth = np.asarray(wide.resize(picture.size, Image.Resampling.BILINEAR, box)).clip(-1, 1)
    share = _STRONGEST * np.abs(smooth)[:, :, None]
    grey = np.asarray(picture.convert("L"), np.float32)[:, :, None]
    colours = np.where(smooth[:, :, None] > 0, _ADDS, _TAKES)
    return Image.fromarray(((1 - share) * grey + share * colours).astype(np.uint8))


def _draw_scale(page: Image.Image, draw: ImageDraw.ImageDraw, largest: float) -> None:
    text = f"takes {largest:.2f}"
    draw.text((GAP, 35), text, fill=INK, font=font(13))
    left = 2 * GAP + round(draw.textlength(text, font=font(13)))
    ramp = np.linspace(-1, 1, 120, dtype=np.float32)[None]
    page.paste(_coloured(Image.new("L", (120, 14), 200), ramp, 0.5), (left, 37))
    text = f"adds {largest:.2f}, more than the same cell beside strangers of the first image"
    draw.text((left + 128, 35), text, fill=INK, font=font(13))
