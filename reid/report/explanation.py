"""Pictures of what a transformer looks at: attention, parts, and matching patches of two images.

A patch is drawn as its share of the picture, although overlapping patches reach beyond it.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw

from reid.methods.explanation import FloatArray, IntArray, Matches
from reid.report.page import (
    CAPTION,
    FAINT,
    GAP,
    INK,
    PAPER,
    PIXELS,
    Pixels,
    Shown,
    ShownPair,
    corner,
    font,
    images_per_line,
    new_page,
    save_page,
    tile_size,
)

PARTS = (
    *("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00"),
    *("#cc79a7", "#555555", "#8c510a", "#b2df8a", "#6a3d9a", "#f5f5f5"),
)
"""Colours of parts; the first seven are told apart by colour-blind readers too."""

_ATTENTION_TILE = (72, 112)  # least and largest width
_PART_TILE = 150
_MATCH_TILE = 150
_BETWEEN = 64  # two images whose patches are matched
_SPREAD = 0.7  # of the height of a patch, over which the lines of a row are spread
_DOT = 4  # radius of an end
_SMOOTH = 3  # lines are drawn this much larger, then reduced
_HEAT = colormaps["inferno"]
_HUES = colormaps["turbo"]


def draw_attention(shown: Sequence[Shown], attention: FloatArray, path: Path, title: str) -> None:
    """Draw each image, the mean attention of its class token, and that of each head.

    Each panel has its own scale; the number below it says how far the largest value rises above
    attention that is spread evenly, for a scale of its own makes a pattern of any trifle.

    Args:
        attention: [M, heads, h, w].
        path: PNG to write.
    """
    panels = attention.shape[1] + 2
    least, largest = _ATTENTION_TILE
    per_line = images_per_line(len(shown), (least + GAP) * panels + 2 * GAP)
    width = min(largest, ((PIXELS - GAP) // per_line - 2 * GAP) // panels - GAP)
    tile = tile_size(shown, width)
    step = (panels * (width + GAP) + 2 * GAP, tile[1] + CAPTION + GAP)
    page, draw = new_page(len(shown), per_line, step, title, head=CAPTION)
    _draw_scale(page, draw)
    names = ("image", "mean", *(f"head {head + 1}" for head in range(panels - 2)))
    for number, (image, heads) in enumerate(zip(shown, attention, strict=True)):
        left, top = corner(number, per_line, step, head=CAPTION)
        picture = Image.fromarray(image.pixels).resize(tile, Image.Resampling.LANCZOS)
        maps = (heads.mean(axis=0), *heads)
        pictures = [picture, *(_heated(picture, heat) for heat in maps)]
        below = [image.caption, *(f"{_peak(heat):.2f}x" for heat in maps)]
        for column, panel in enumerate(pictures):
            x = left + column * (width + GAP)
            page.paste(panel, (x, top))
            ink = FAINT if column else INK
            draw.text((x, top + tile[1] + 2), below[column], fill=ink, font=font(13))
            if number < per_line:
                draw.text((x, top - 18), names[column], fill=FAINT, font=font(13))
    save_page(page, path)


def draw_parts(shown: Sequence[Shown], labels: IntArray, path: Path, title: str) -> None:
    """Draw each image beside itself in the colours of its parts.

    Args:
        labels: [M, h, w], the part of each patch, an index of `PARTS`.
        path: PNG to write.
    """
    tile = tile_size(shown, _PART_TILE)
    step = (2 * tile[0] + 3 + 2 * GAP, tile[1] + CAPTION + GAP)
    per_line = images_per_line(len(shown), step[0])
    page, draw = new_page(len(shown), per_line, step, title)
    shares = np.bincount(labels.ravel()) / labels.size
    left = GAP
    for part in np.flatnonzero(shares).tolist():
        text = f"{part + 1}: {shares[part]:.0%}"
        draw.rectangle((left, 36, left + 14, 50), fill=PARTS[part], outline=FAINT)
        draw.text((left + 20, 35), text, fill=INK, font=font(13))
        left += 20 + round(draw.textlength(text, font=font(13))) + 2 * GAP
    draw.text((left, 35), "of the patches shown", fill=FAINT, font=font(13))
    for number, (image, parts) in enumerate(zip(shown, labels, strict=True)):
        x, y = corner(number, per_line, step)
        picture = Image.fromarray(image.pixels).resize(tile, Image.Resampling.LANCZOS)
        page.paste(picture, (x, y))
        page.paste(_painted(picture, parts), (x + tile[0] + 3, y))
        draw.text((x, y + tile[1] + 2), image.caption, fill=INK, font=font(13))
    save_page(page, path)


def draw_correspondences(
    pairs: Sequence[ShownPair],
    matches: Sequence[Matches],
    grid: tuple[int, int],
    path: Path,
    title: str,
    legend: str,
    centre: float = 0.5,
) -> None:
    """Draw lines between the matching patches of two images, in colours from top to bottom.

    An end is not quite in the middle of its patch, but higher in the left columns than in the
    right ones, so that lines within one row do not hide one another.

    Args:
        matches: What to draw of each pair.
        grid: Patches per column and per row of an image.
        path: PNG to write.
        legend: What a line says.
        centre: Where in its share of the picture a patch has its middle, 0 at its first pixel.
    """
    tile = tile_size([image for pair in pairs for image in pair[:2]], _MATCH_TILE)
    size = (2 * tile[0] + _BETWEEN, tile[1])
    step = (size[0] + 2 * GAP, tile[1] + 2 * CAPTION + GAP)
    per_line = max(1, min(len(pairs), PIXELS // step[0]))
    page, draw = new_page(len(pairs), per_line, step, title)
    draw.text((GAP, 35), f"{legend}; colours go from top to bottom", fill=FAINT, font=font(13))
    for number, (pair, found) in enumerate(zip(pairs, matches, strict=True)):
        left, top = corner(number, per_line, step)
        panel = _joined(pair.first.pixels, pair.second.pixels, size, tile, found, (*grid, centre))
        page.paste(panel, (left, top))
        right = left + tile[0] + _BETWEEN
        for x, text in ((left, pair.first.caption), (right, pair.second.caption)):
            draw.text((x, top + tile[1] + 2), text, fill=INK, font=font(13))
        draw.text((left, top + tile[1] + 20), pair.caption, fill=FAINT, font=font(13))
    save_page(page, path)


def _heated(picture: Image.Image, heat: FloatArray) -> Image.Image:
    """Lay a map over a grey picture, scaled from its least to its largest value."""
    least, span = float(heat.min()), float(np.ptp(heat))
    scaled = Image.fromarray(((heat - least) / max(span, 1e-12)).astype(np.float32))
    smooth = np.asarray(scaled.resize(picture.size, Image.Resampling.BILINEAR)).clip(0, 1)
    colours = 255 * _HEAT(smooth)[:, :, :3]
    grey = np.asarray(picture.convert("L"), np.float32)[:, :, None]
    return Image.fromarray((0.35 * grey + 0.65 * colours).astype(np.uint8))


def _peak(heat: FloatArray) -> float:
    """Return the largest value over that of a map spread evenly."""
    return float(heat.max() / max(float(heat.mean()), 1e-12))


def _painted(picture: Image.Image, parts: IntArray) -> Image.Image:
    """Colour the patches of a picture by their part, so that it still shows through."""
    palette = np.array([_rgb(colour) for colour in PARTS], np.uint8)
    flat = Image.fromarray(palette[parts]).resize(picture.size, Image.Resampling.NEAREST)
    return Image.blend(picture.convert("L").convert("RGB"), flat, 0.6)


def _joined(
    first: Pixels,
    second: Pixels,
    size: tuple[int, int],
    tile: tuple[int, int],
    found: Matches,
    grid: tuple[int, int, float],
) -> Image.Image:
    large = (tile[0] * _SMOOTH, tile[1] * _SMOOTH)
    panel = Image.new("RGB", (size[0] * _SMOOTH, size[1] * _SMOOTH), PAPER)
    beside = (size[0] - tile[0]) * _SMOOTH
    for pixels, left in ((first, 0), (second, beside)):
        picture = Image.fromarray(pixels).resize(large, Image.Resampling.LANCZOS)
        panel.paste(picture, (left, 0))
    draw = ImageDraw.Draw(panel)
    ends = sorted(zip(found.first.tolist(), found.second.tolist(), strict=True))
    for number, (start, end) in enumerate(ends):
        colour = _hue(number / max(len(ends) - 1, 1))
        a, b = (_spot(place, grid, large) for place in (start, end))
        b = (b[0] + beside, b[1])
        draw.line((a, b), fill=colour, width=2 * _SMOOTH)
        for x, y in (a, b):
            r = _DOT * _SMOOTH
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=PAPER, width=_SMOOTH)
    return panel.resize(size, Image.Resampling.LANCZOS)


def _spot(
    place: Sequence[int], grid: tuple[int, int, float], size: tuple[int, int]
) -> tuple[float, float]:
    """Return where the line of a patch ends, inside the patch and the picture.

    Args:
        grid: Patches per column and per row, and where each has its middle.
    """
    rows, columns, centre = grid
    across = (place[1] + centre) / columns
    down = (place[0] + centre + _SPREAD * (across - 0.5)) / rows
    edge = _DOT * _SMOOTH
    return max(across * size[0], edge), max(down * size[1], edge)


def _draw_scale(page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    ramp = (255 * _HEAT(np.linspace(0, 1, 120))[None, :, :3]).astype(np.uint8)
    draw.text((GAP, 35), "attention: least", fill=INK, font=font(13))
    left = GAP + round(draw.textlength("attention: least", font=font(13))) + GAP
    page.paste(Image.fromarray(ramp).resize((120, 14)), (left, 37))
    text = "most, in each panel; below it, how many times an even spread that is"
    draw.text((left + 128, 35), text, fill=INK, font=font(13))


def _hue(share: float) -> tuple[int, int, int]:
    # the ends of the scale are too dark to be seen on clothes
    red, green, blue = (round(255 * value) for value in _HUES(0.08 + 0.84 * share)[:3])
    return red, green, blue


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))
