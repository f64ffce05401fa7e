from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageColor, ImageDraw

from reid.data.storage import open_storage
from reid.report.ranked_lists import (
    BLUE,
    COLOURS,
    FRAME,
    GAP,
    HITS_PER_ROW,
    ROWS_PER_PAGE,
    TILE,
    TITLE,
    RankedHit,
    RankedRow,
    State,
    draw_ranked_lists,
)

STATES: tuple[State, ...] = ("match", "junk", "wrong", "distractor")
INK = (10, 20, 30)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    Image.new("RGB", (40, 90), INK).save(root / "a.png")
    Image.new("L", (64, 128), 200).save(root / "grey.png")
    return root


def row(states: tuple[State, ...] = STATES) -> RankedRow:
    hits = tuple(RankedHit("grey.png", 7, 2, 0.25 * i, state) for i, state in enumerate(states))
    return RankedRow("a.png", 7, 1, 0.5, hits)


def frame_colour(page: Image.Image, column: int, line: int = 0) -> tuple[int, int, int]:
    """Colour of the frame's left edge in the middle of a tile's height."""
    left = GAP if column == 0 else 2 * GAP + column * (TILE[0] + 2 * FRAME + GAP)
    colour = page.getpixel((left + 1, TITLE + TILE[1] // 2 + line))
    assert isinstance(colour, tuple)
    return colour  # type: ignore[return-value]


def test_frames_tell_the_state(images: Path, tmp_path: Path) -> None:
    (file,) = draw_ranked_lists([row()], open_storage(images), tmp_path / "out/page.png", "bot")
    with Image.open(file) as page:
        assert frame_colour(page, 0) == ImageColor.getrgb(BLUE)
        for column, state in enumerate(STATES, start=1):
            assert frame_colour(page, column) == ImageColor.getrgb(COLOURS[state])
        assert frame_colour(page, len(STATES) + 1) == (255, 255, 255)
        assert page.getpixel((GAP + FRAME + 20, TITLE + FRAME + 50)) == INK


def test_a_row_stops_after_ten(images: Path, tmp_path: Path) -> None:
    many: tuple[State, ...] = ("wrong",) * (HITS_PER_ROW + 5)
    (wide,) = draw_ranked_lists([row(many)], open_storage(images), tmp_path / "wide.png", "bot")
    (narrow,) = draw_ranked_lists(
        [row(many[:HITS_PER_ROW])], open_storage(images), tmp_path / "b.png", "bot"
    )
    assert wide.read_bytes() == narrow.read_bytes()


def test_an_excluded_image_takes_no_rank(images: Path, tmp_path: Path) -> None:
    """Swapping which image is excluded moves the rank numbers, so the captions differ."""
    first, second = row(("junk", "match")), row(("match", "match"))
    (a,) = draw_ranked_lists([first], open_storage(images), tmp_path / "a.png", "bot")
    (b,) = draw_ranked_lists([second], open_storage(images), tmp_path / "b.png", "bot")
    left = 2 * GAP + 2 * (TILE[0] + 2 * FRAME + GAP)
    box = (left, TITLE + TILE[1] + 2 * FRAME, left + 30, TITLE + TILE[1] + 2 * FRAME + 16)
    with Image.open(a) as page_a, Image.open(b) as page_b:
        assert page_a.crop(box).tobytes() != page_b.crop(box).tobytes()


def test_many_queries_fill_several_pages(images: Path, tmp_path: Path) -> None:
    rows = [row(("match",))] * (ROWS_PER_PAGE + 1)
    pages = draw_ranked_lists(rows, open_storage(images), tmp_path / "page.png", "bot")
    assert [page.name for page in pages] == ["page.png", "page_2.png"]
    with Image.open(pages[0]) as first, Image.open(pages[1]) as second:
        assert first.height > 5 * second.height


def test_no_query_gives_no_page(images: Path, tmp_path: Path) -> None:
    assert draw_ranked_lists([], open_storage(images), tmp_path / "page.png", "bot") == ()
    assert not (tmp_path / "page.png").exists()


def test_both_spectra_are_said_where_there_are_two(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    written = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: Any, words: str, *args: Any, **more: Any) -> None:
        said.append(words)
        written(self, xy, words, *args, **more)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    hit = RankedHit("grey.png", 7, 2, 0.25, "match")
    for modality in ("ir", "rgb"):
        shown = RankedRow("a.png", 7, 5, 0.5, (hit,), modality)
        draw_ranked_lists([shown], open_storage(images), tmp_path / "a.png", "idkl", "draw 1")
    both, one = said[: len(said) // 2], said[len(said) // 2 :]
    assert {"id 7  cam 5  ir", "id 7  cam 2  vis", "draw 1; vis visible, ir infrared"} <= set(both)
    assert {"id 7  cam 5", "id 7  cam 2", "draw 1"} <= set(one)


def test_infrared_and_known_cameras_are_said(images: Path, tmp_path: Path) -> None:
    """Below the query's picture; nothing is said of a camera that nobody knows."""
    pages = []
    for number, (camera, modality) in enumerate([(1, "rgb"), (1, "ir"), (-1, "rgb"), (-2, "rgb")]):
        shown = RankedRow("a.png", 7, camera, 0.5, (), modality)
        path = tmp_path / f"{number}.png"
        draw_ranked_lists([shown], open_storage(images), path, "idkl")
        pages.append(path.read_bytes())
    colour, infrared, nowhere, unknown = pages
    assert len({colour, infrared, nowhere}) == 3
    assert nowhere == unknown
