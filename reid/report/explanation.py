"""Pictures of what a transformer looks at: attention, parts, and matching patches of two images.

A patch is drawn as its share of the picture, although overlapping patches reach beyond it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from reid.files import whole_file
from reid.methods.explanation import FloatArray, IntArray, Matches

Pixels = NDArray[np.uint8]

PIXELS = 1600  # no page is wider
GAP = 8
NARROWEST = 660  # has room for every legend
TITLE = 62  # the title and, below it, the legend
CAPTION = 22
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
_SMOOTH = 3  # lines are drawn this much larger, then reduced
_INK, _PAPER, _FAINT = "#111111", "#ffffff", "#666666"
_HEAT = colormaps["inferno"]
_HUES = colormaps["turbo"]


class Shown(NamedTuple):
    """An image [H, W, 3] and what is said of it. All images of a picture have one size."""

    pixels: Pixels
    caption: str


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
    per_line = _per_line(len(shown), (least + GAP) * panels + 2 * GAP)
    width = min(largest, ((PIXELS - GAP) // per_line - 2 * GAP) // panels - GAP)
    tile = _tile(shown, width)
    step = (panels * (width + GAP) + 2 * GAP, tile[1] + CAPTION + GAP)
    page, draw = _page(len(shown), per_line, step, title, head=CAPTION)
    _draw_scale(page, draw)
    names = ("image", "mean", *(f"head {head + 1}" for head in range(panels - 2)))
    for number, (image, heads) in enumerate(zip(shown, attention, strict=True)):
        left, top = _corner(number, per_line, step, head=CAPTION)
        picture = Image.fromarray(image.pixels).resize(tile, Image.Resampling.LANCZOS)
        maps = (heads.mean(axis=0), *heads)
        pictures = [picture, *(_heated(picture, heat) for heat in maps)]
        below = [image.caption, *(f"{_peak(heat):.2f}x" for heat in maps)]
        for column, panel in enumerate(pictures):
            x = left + column * (width + GAP)
            page.paste(panel, (x, top))
            ink = _FAINT if column else _INK
            draw.text((x, top + tile[1] + 2), below[column], fill=ink, font=_font(13))
            if number < per_line:
                draw.text((x, top - 18), names[column], fill=_FAINT, font=_font(13))
    _save(page, path)


def draw_parts(shown: Sequence[Shown], labels: IntArray, path: Path, title: str) -> None:
    """Draw each image beside itself in the colours of its parts.

    Args:
        labels: [M, h, w], the part of each patch, an index of `PARTS`.
        path: PNG to write.
    """
    tile = _tile(shown, _PART_TILE)
    step = (2 * tile[0] + 3 + 2 * GAP, tile[1] + CAPTION + GAP)
    per_line = _per_line(len(shown), step[0])
    page, draw = _page(len(shown), per_line, step, title)
    shares = np.bincount(labels.ravel()) / labels.size
    left = GAP
    for part in np.flatnonzero(shares).tolist():
        text = f"{part + 1}: {shares[part]:.0%}"
        draw.rectangle((left, 36, left + 14, 50), fill=PARTS[part], outline=_FAINT)
        draw.text((left + 20, 35), text, fill=_INK, font=_font(13))
        left += 20 + round(draw.textlength(text, font=_font(13))) + 2 * GAP
    draw.text((left, 35), "of the patches shown", fill=_FAINT, font=_font(13))
    for number, (image, parts) in enumerate(zip(shown, labels, strict=True)):
        x, y = _corner(number, per_line, step)
        picture = Image.fromarray(image.pixels).resize(tile, Image.Resampling.LANCZOS)
        page.paste(picture, (x, y))
        page.paste(_painted(picture, parts), (x + tile[0] + 3, y))
        draw.text((x, y + tile[1] + 2), image.caption, fill=_INK, font=_font(13))
    _save(page, path)


def draw_correspondences(
    pairs: Sequence[tuple[Shown, Shown]],
    matches: Sequence[Matches],
    grid: tuple[int, int],
    path: Path,
    title: str,
) -> None:
    """Draw lines between the matching patches of two images, in colours from top to bottom.

    An end is not quite in the middle of its patch, but higher in the left columns than in the
    right ones, so that lines within one row do not hide one another.

    Args:
        matches: What to draw of each pair.
        grid: Patches per column and per row of an image.
        path: PNG to write.
    """
    tile = _tile([image for pair in pairs for image in pair], _MATCH_TILE)
    size = (2 * tile[0] + _BETWEEN, tile[1])
    step = (size[0] + 2 * GAP, tile[1] + 2 * CAPTION + GAP)
    per_line = max(1, min(len(pairs), PIXELS // step[0]))
    page, draw = _page(len(pairs), per_line, step, title)
    legend = "lines join patches that are each other's nearest; colours go from top to bottom"
    draw.text((GAP, 35), legend, fill=_FAINT, font=_font(13))
    for number, ((first, second), found) in enumerate(zip(pairs, matches, strict=True)):
        left, top = _corner(number, per_line, step)
        page.paste(_joined(first.pixels, second.pixels, size, tile, found, grid), (left, top))
        right = left + tile[0] + _BETWEEN
        for x, text in ((left, first.caption), (right, second.caption)):
            draw.text((x, top + tile[1] + 2), text, fill=_INK, font=_font(13))
        draw.text((left, top + tile[1] + 20), _summary(found), fill=_FAINT, font=_font(13))
    _save(page, path)


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
    grid: tuple[int, int],
) -> Image.Image:
    large = (tile[0] * _SMOOTH, tile[1] * _SMOOTH)
    panel = Image.new("RGB", (size[0] * _SMOOTH, size[1] * _SMOOTH), _PAPER)
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
            r = 4 * _SMOOTH
            draw.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=_PAPER, width=_SMOOTH)
    return panel.resize(size, Image.Resampling.LANCZOS)


def _spot(
    place: Sequence[int], grid: tuple[int, int], size: tuple[int, int]
) -> tuple[float, float]:
    """Return where the line of a patch ends, inside the patch."""
    across = (place[1] + 0.5) / grid[1]
    return across * size[0], (place[0] + 0.5 + _SPREAD * (across - 0.5)) * size[1] / grid[0]


def _summary(found: Matches) -> str:
    if not len(found.cosine):
        return "no mutual pair"
    low, high = found.cosine.min(), found.cosine.max()
    return f"{len(found.cosine)} strongest pairs, cosine {low:.3f} to {high:.3f}"


def _draw_scale(page: Image.Image, draw: ImageDraw.ImageDraw) -> None:
    ramp = (255 * _HEAT(np.linspace(0, 1, 120))[None, :, :3]).astype(np.uint8)
    draw.text((GAP, 35), "attention: least", fill=_INK, font=_font(13))
    left = GAP + round(draw.textlength("attention: least", font=_font(13))) + GAP
    page.paste(Image.fromarray(ramp).resize((120, 14)), (left, 37))
    text = "most, in each panel; below it, how many times an even spread that is"
    draw.text((left + 128, 35), text, fill=_INK, font=_font(13))


def _page(
    count: int, per_line: int, step: tuple[int, int], title: str, head: int = 0
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    lines = -(-count // per_line)
    width = max(NARROWEST, GAP + per_line * step[0], round(_font(17).getlength(title)) + 2 * GAP)
    page = Image.new("RGB", (width, TITLE + head + lines * step[1]), _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 8), title, fill=_INK, font=_font(17))
    return page, draw


def _corner(number: int, per_line: int, step: tuple[int, int], head: int = 0) -> tuple[int, int]:
    line, column = divmod(number, per_line)
    return GAP + column * step[0], TITLE + head + line * step[1]


def _per_line(count: int, width: int) -> int:
    """Return how many images of this width stand in a line, so that pairs stay together."""
    return max(1, min(count, (PIXELS - GAP) // width // 2 * 2))


def _tile(shown: Sequence[Shown], width: int) -> tuple[int, int]:
    """Return width and height of a picture that is `width` wide."""
    height, breadth = shown[0].pixels.shape[:2]
    return width, round(width * height / breadth)


def _hue(share: float) -> tuple[int, int, int]:
    # the ends of the scale are too dark to be seen on clothes
    red, green, blue = (round(255 * value) for value in _HUES(0.08 + 0.84 * share)[:3])
    return red, green, blue


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def _save(page: Image.Image, path: Path) -> None:
    with whole_file(path) as part:
        page.save(part, format="PNG")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
