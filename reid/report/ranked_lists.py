"""Pictures of ranked lists: a query and its nearest gallery images, right and wrong."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from reid.data.storage import Storage

State = Literal["match", "wrong", "junk", "distractor"]

TILE = (96, 192)  # width and height of a picture, inside its frame
FRAME = 4
GAP = 10
CAPTION = 34  # two lines below a picture
TITLE = 54  # the title and, below it, the legend
ROWS_PER_PAGE = 12
HITS_PER_ROW = 10

BLUE = "#1f5fbf"
COLOURS: dict[State, str] = {
    "match": "#1a8a34",
    "wrong": "#cc2222",
    "junk": "#8a8a8a",
    "distractor": "#c77700",
}
_WORDS: dict[State, str] = {
    "match": "same person",
    "wrong": "another person",
    "junk": "excluded",
    "distractor": "distractor",
}
_INK = "#111111"
_PAPER = "#ffffff"
_STEP = TILE[0] + 2 * FRAME + GAP
_ROW = TILE[1] + 2 * FRAME + CAPTION + GAP


@dataclass(frozen=True)
class RankedHit:
    """One gallery image in a ranked list.

    Args:
        path: Relative to the root of the images.
        distance: Smaller is nearer; after re-ranking, the re-ranked distance.
        state: `match` and `wrong` count; `junk` was excluded (same camera, or no identity);
            `distractor` counts as wrong and shows nobody of the data set.
        modality: `rgb` or `ir`; said below the pictures of a list with infrared ones.
    """

    path: str
    person_id: int
    camera_id: int
    distance: float
    state: State
    modality: str = "rgb"


@dataclass(frozen=True)
class RankedRow:
    """A query, its average precision in [0, 1], and its nearest gallery images in order."""

    path: str
    person_id: int
    camera_id: int
    average_precision: float
    hits: tuple[RankedHit, ...]
    modality: str = "rgb"


def draw_ranked_lists(
    rows: Sequence[RankedRow], storage: Storage, path: Path, title: str, note: str = ""
) -> tuple[Path, ...]:
    """Draw one row per query: the query in blue, then up to ten gallery images by distance.

    Excluded images are shown in grey where they would stand and take no rank.

    Args:
        storage: Where the images of the rows lie.
        path: The first page, a PNG; further pages of twelve rows get `_2`, `_3` … in their name.
        title: Run, data set, protocol and setting (plain or the name of the re-ranking).
        note: What the lists are not, such as those of every trial; beside the legend.

    Returns:
        The written pages; none without rows.
    """
    lit = [modality for row in rows for modality in (row.modality, *(h.modality for h in row.hits))]
    spectra = "ir" in lit
    if spectra:
        note = "; ".join(filter(None, (note, "vis visible, ir infrared")))
    pages = []
    for start in range(0, len(rows), ROWS_PER_PAGE):
        number = start // ROWS_PER_PAGE + 1
        file = path if number == 1 else path.with_stem(f"{path.stem}_{number}")
        part = rows[start : start + ROWS_PER_PAGE]
        page = _draw_page(part, storage, (title, note), spectra)
        file.parent.mkdir(parents=True, exist_ok=True)
        # a tenth larger than at the default level 6, in four tenths of the time
        page.save(file, format="PNG", compress_level=3)
        pages.append(file)
    return tuple(pages)


def _draw_page(
    rows: Sequence[RankedRow], storage: Storage, words: tuple[str, str], spectra: bool
) -> Image.Image:
    """Draw a page below its title and a note."""
    columns = 1 + HITS_PER_ROW
    size = (columns * _STEP + 2 * GAP, TITLE + len(rows) * _ROW + GAP)
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((GAP, 6), words[0], fill=_INK, font=_font(17))
    _draw_legend(draw, words[1])
    for index, row in enumerate(rows):
        _draw_row(page, draw, row, storage, TITLE + index * _ROW, spectra)
    return page


def _draw_legend(draw: ImageDraw.ImageDraw, note: str) -> None:
    left = GAP
    for word, colour in [("query", BLUE), *((_WORDS[s], COLOURS[s]) for s in COLOURS)]:
        draw.rectangle((left, 34, left + 11, 45), outline=colour, width=3)
        draw.text((left + 16, 32), word, fill=colour, font=_font(13))
        left += 16 + round(draw.textlength(word, font=_font(13))) + 2 * GAP
    draw.text((left, 32), note, fill=_INK, font=_font(13))


def _draw_row(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    row: RankedRow,
    storage: Storage,
    top: int,
    spectra: bool,
) -> None:
    _draw_tile(page, draw, storage.read(row.path), (GAP, top), BLUE)
    lines = (f"query  AP {row.average_precision:.3f}", _who(row, spectra))
    _draw_caption(draw, lines, (GAP, top), BLUE)
    rank = 0
    for column, hit in enumerate(row.hits[:HITS_PER_ROW], start=1):
        rank += hit.state != "junk"
        corner = (2 * GAP + column * _STEP, top)
        colour = COLOURS[hit.state]
        _draw_tile(page, draw, storage.read(hit.path), corner, colour)
        place = "excl." if hit.state == "junk" else f"#{rank}"
        lines = (f"{place}  d {hit.distance:.2g}", _who(hit, spectra))
        _draw_caption(draw, lines, corner, colour)


def _who(shown: RankedRow | RankedHit, spectra: bool) -> str:
    camera = "" if shown.camera_id < 0 else f"  cam {shown.camera_id}"
    spectrum = f"  {'vis' if shown.modality == 'rgb' else 'ir'}" if spectra else ""
    return f"id {shown.person_id}{camera}{spectrum}"


def _draw_tile(
    page: Image.Image,
    draw: ImageDraw.ImageDraw,
    data: bytes,
    corner: tuple[int, int],
    colour: str,
) -> None:
    left, top = corner
    with Image.open(io.BytesIO(data)) as image:
        page.paste(image.convert("RGB").resize(TILE), (left + FRAME, top + FRAME))
    end = (left + TILE[0] + 2 * FRAME - 1, top + TILE[1] + 2 * FRAME - 1)
    draw.rectangle((corner, end), outline=colour, width=FRAME)


def _draw_caption(
    draw: ImageDraw.ImageDraw, lines: tuple[str, str], corner: tuple[int, int], colour: str
) -> None:
    left, top = corner[0], corner[1] + TILE[1] + 2 * FRAME + 2
    draw.text((left, top), lines[0], fill=colour, font=_font(13))
    draw.text((left, top + 15), lines[1], fill=_INK, font=_font(13))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
