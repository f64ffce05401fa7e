from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from reid.report.contributions import draw_contributions
from reid.report.page import GAP, PIXELS, TITLE, Shown, ShownPair

GREY = np.full((64, 32, 3), 128, np.uint8)
PAIR = ShownPair(Shown(GREY, "id 1"), Shown(GREY, "id 2"), "same person: score 1.00")
WIDTH, HEIGHT = 150, 300


def drawn(path: Path, *heat: tuple[np.ndarray, np.ndarray], centre: float = 0.5) -> np.ndarray:
    both = [(a.astype(np.float32), b.astype(np.float32)) for a, b in heat]
    draw_contributions([PAIR] * len(both), both, path / "c.png", "run on data", centre)
    with Image.open(path / "c.png") as page:
        assert page.width <= PIXELS
        return np.asarray(page.convert("RGB"), np.int64)


def panel(page: np.ndarray, number: int) -> np.ndarray:
    left = GAP + number * (WIDTH + GAP)
    return page[TITLE : TITLE + HEIGHT, left : left + WIDTH]


def test_what_adds_is_red_and_what_takes_is_blue(tmp_path: Path) -> None:
    first, second = np.zeros((4, 2)), np.zeros((4, 2))
    first[0, 0], second[3, 1] = 0.5, -0.5
    page = drawn(tmp_path, (first, second))
    assert (panel(page, 0) == 128).all()
    assert (panel(page, 2) == 128).all()
    red, _, blue = panel(page, 1)[10, 10]
    assert red > blue + 100
    red, _, blue = panel(page, 3)[HEIGHT - 10, WIDTH - 10]
    assert blue > red + 100
    assert (panel(page, 1)[HEIGHT - 10] == 128).all()


def test_all_pairs_of_a_page_have_one_scale(tmp_path: Path) -> None:
    strong, weak = np.full((4, 2), 1.0), np.full((4, 2), 0.1)
    page = drawn(tmp_path, (strong, weak), (weak, strong))
    there = 4 * (WIDTH + GAP) + 2 * GAP
    for number, expected in ((1, 1.0), (3, 0.1)):
        spread = np.ptp(panel(page, number)[9, 9])
        other = np.ptp(panel(page[:, there:], 4 - number)[9, 9])
        assert (spread > 100) == (expected == 1.0)
        assert spread == other


def test_pairs_without_heat_are_drawn_without_a_division_by_zero(tmp_path: Path) -> None:
    with np.errstate(all="raise"):
        page = drawn(tmp_path, (np.zeros((4, 2)), np.zeros((4, 2))))
    assert (panel(page, 1) == 128).all()


def test_heat_is_where_its_cell_looks(tmp_path: Path) -> None:
    heat = np.zeros((4, 2))
    heat[2, 1] = 1
    for centre in (0.5, 0.0):
        page = drawn(tmp_path, (heat, heat), centre=centre)
        red = np.ptp(panel(page, 1), axis=2)
        row, column = (np.flatnonzero(red.max(axis=axis) == red.max()).mean() for axis in (1, 0))
        assert row == pytest.approx((2 + centre) * HEIGHT / 4, abs=2)
        assert column >= (1 + centre) * WIDTH / 2 - 2
        assert red[round(row), round((1 + centre) * WIDTH / 2)] == pytest.approx(red.max(), abs=3)
