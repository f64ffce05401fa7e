from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageColor

from reid.methods.explanation import Matches
from reid.report.explanation import PARTS, draw_attention, draw_correspondences, draw_parts
from reid.report.page import CAPTION, GAP, PIXELS, TITLE, Shown, ShownPair

GREY = np.full((64, 32, 3), 128, np.uint8)


def shown(count: int) -> list[Shown]:
    return [Shown(GREY, f"id {number}") for number in range(count)]


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as page:
        return np.asarray(page.convert("RGB"), np.int64)


@pytest.mark.parametrize("heads", [1, 3, 6, 12, 16])
def test_no_page_is_too_wide(tmp_path: Path, heads: int) -> None:
    attention = np.random.default_rng(0).random((6, heads, 4, 2), np.float32)
    draw_attention(shown(6), attention, tmp_path / "a.png", "run on data")
    draw_parts(shown(6), np.zeros((6, 4, 2), np.int64), tmp_path / "p.png", "run on data")
    for name in ("a.png", "p.png"):
        with Image.open(tmp_path / name) as page:
            assert PIXELS / 3 < page.width <= PIXELS


def test_the_most_attended_patch_is_the_brightest(tmp_path: Path) -> None:
    attention = np.full((2, 1, 4, 2), 0.1, np.float32)
    attention[:, :, 3, 1] = 0.4
    draw_attention(shown(2), attention, tmp_path / "a.png", "run on data")
    page = opened(tmp_path / "a.png")
    height = (page.shape[0] - TITLE - CAPTION) - CAPTION - GAP
    top, width = TITLE + CAPTION, height // 2
    mean = page[top : top + height, GAP + width + GAP : GAP + 2 * width + GAP].sum(axis=2)
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    assert row > 0.75 * height
    assert column > 0.5 * width
    assert (page[top + 5, GAP + 5] == 128).all()


def test_even_attention_is_drawn_without_a_division_by_zero(tmp_path: Path) -> None:
    with np.errstate(all="raise"):
        draw_attention(
            shown(2), np.full((2, 2, 4, 2), 0.125, np.float32), tmp_path / "a.png", "run on data"
        )
    assert (tmp_path / "a.png").exists()


def test_a_patch_has_the_colour_of_its_part(tmp_path: Path) -> None:
    labels = np.zeros((2, 4, 2), np.int64)
    labels[0, 2:] = 5
    draw_parts(shown(2), labels, tmp_path / "p.png", "run on data")
    page = opened(tmp_path / "p.png")
    width, height = 150, 300
    left = GAP + width + 3
    for share, part in ((0.2, 0), (0.8, 5)):
        found = page[TITLE + round(share * height), left + width // 2]
        blended = 0.4 * 128 + 0.6 * np.array(ImageColor.getrgb(PARTS[part]))
        np.testing.assert_allclose(found, blended, atol=2)
    assert (page[TITLE + height // 2, GAP + width // 2] == 128).all()


def test_a_line_joins_two_matching_patches(tmp_path: Path) -> None:
    found = Matches(np.array([[0, 0]]), np.array([[0, 1]]), np.array([0.9], np.float32))
    none = Matches(np.zeros((0, 2), int), np.zeros((0, 2), int), np.zeros(0, np.float32))
    pair = ShownPair(*shown(2), "one pair")
    path = tmp_path / "m.png"
    draw_correspondences([pair, pair], [found, none], (4, 2), path, "run on data", "lines")
    page = opened(path)[TITLE : TITLE + 300]
    between = page[:, GAP + 150 + 2 : GAP + 150 + 60]
    coloured = np.ptp(between, axis=2) > 60
    assert coloured.any(axis=0).all()
    assert np.flatnonzero(coloured.any(axis=1)).max() < 300 / 4
    second = page[:, GAP + 364 + 2 * GAP + 150 + 2 : GAP + 364 + 2 * GAP + 150 + 60]
    assert (second > 250).all()


@pytest.mark.parametrize("centre", [0.5, 0.0])
def test_an_end_is_in_the_middle_of_what_a_patch_sees(tmp_path: Path, centre: float) -> None:
    found = Matches(np.array([[2, 1]]), np.array([[0, 0]]), np.array([0.9], np.float32))
    path = tmp_path / "m.png"
    pair = ShownPair(*shown(2), "one pair")
    draw_correspondences([pair], [found], (4, 2), path, "run on data", "lines", centre)
    page = opened(path)[TITLE : TITLE + 300, GAP : GAP + 2 * 150 + 64]
    coloured = np.ptp(page[:, :150], axis=2) > 60
    assert np.flatnonzero(coloured.any(axis=0))[0] == pytest.approx((1 + centre) * 75 - 4, abs=2)
    in_second = np.ptp(page[:, 150 + 64 :], axis=2) > 60
    assert np.flatnonzero(in_second.any(axis=1))[0] >= 1
    last = max((0 + centre) * 75, 4) + 4
    assert np.flatnonzero(in_second.any(axis=0))[-1] == pytest.approx(last, abs=2)
