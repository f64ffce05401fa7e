from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reid.report.evaluation_sheet import (
    PIXELS,
    Sheet,
    draw_sheet,
    sheet_figure,
)
from reid.retrieval.breakdown import CameraTable
from reid.retrieval.roc import Roc
from reid.retrieval.verification import PairStatistics

RERANKED = "rerank_k20_6_0.3"
PAIRS = PairStatistics(
    roc=Roc(
        thresholds=np.array([0.25, 0.75, 1.25]),
        genuine=np.array([5, 4, 1]),
        impostors_below=np.array([0, 1, 10]),
        impostors_equal=np.array([0, 0, 0]),
        impostors=100,
    ),
    edges=np.linspace(0, 4, 9),
    genuine_counts=np.array([5, 4, 1, 0, 0, 0, 0, 0]),
    impostor_counts=np.array([0, 5, 16, 60, 19, 0, 0, 0]),
)
CAMERAS = CameraTable(
    query_cameras=np.array([0, 1]),
    gallery_cameras=np.array([0, 1, 2]),
    queries=np.array([[0, 2, 8], [4, 0, 1]]),
    mAP=np.array([[np.nan, 0.5, 0.625], [0.25, np.nan, 1.0]]),
    rank1=np.array([[np.nan, 0.5, 0.5], [0.25, np.nan, 1.0]]),
)


def sheet() -> Sheet:
    precision = np.array([0.1, 0.9, np.nan, 1.0])
    return Sheet(
        title="market1501/market",
        lines=("4 queries of which 3 have a match",),
        curves={"plain": np.linspace(0.6, 1, 20), RERANKED: np.linspace(0.7, 1, 20)},
        precisions={"plain": precision, RERANKED: precision},
        mean={"plain": 0.6667, RERANKED: 0.75},
    )


def titles(figure: Figure) -> list[str]:
    found = [axes.get_title(loc="left") for axes in figure.axes]
    return [title for title in found if title]


@pytest.mark.parametrize(
    ("shown", "panels"),
    [
        (sheet(), 2),
        (replace(sheet(), cameras=CAMERAS), 3),
        (replace(sheet(), pairs=PAIRS), 4),
        (replace(sheet(), pairs=PAIRS, cameras=CAMERAS), 5),
    ],
)
def test_panels_are_those_whose_data_are_there(shown: Sheet, panels: int) -> None:
    assert len(titles(sheet_figure(shown))) == panels


def test_reranked_never_stands_under_a_plain_name() -> None:
    figure = sheet_figure(replace(sheet(), pairs=PAIRS, cameras=CAMERAS))
    curves, precisions, *others = figure.axes
    for axes, plain, reranked in (
        (curves, "plain: rank-1 60.00", "re-ranked k20_6_0.3: rank-1 70.00"),
        (precisions, "plain: mAP 66.67", "re-ranked k20_6_0.3: mAP 75.00"),
    ):
        legend = axes.get_legend()
        assert [text.get_text() for text in legend.get_texts()] == [plain, reranked]
    for axes in others[:3]:
        assert "plain" in axes.get_title(loc="left")
    # one impostor pair of 100 before one genuine pair of 10: the lines meet on the way there
    assert f"EER {100 * PAIRS.roc.equal_error_rate:.2f} %" in others[0].get_title(loc="left")
    assert f"AUC {100 * (1 - (4 * 1 + 1 * 10) / 1000):.2f} %" in others[1].get_title(loc="left")


def test_values_stand_in_the_cells_of_few_cameras() -> None:
    few = sheet_figure(replace(sheet(), cameras=CAMERAS, first_camera=1))
    names = [label.get_text() for label in few.axes[2].get_xticklabels()]
    assert names == ["1", "2", "3"]
    texts = [text.get_text() for text in few.axes[2].texts]
    assert texts == ["50.0", "62.5", "25.0", "100.0"]
    half = np.full((30, 30), 0.5)
    many = CameraTable(np.arange(30), np.arange(30), np.ones((30, 30), int), half, half)
    assert not sheet_figure(replace(sheet(), cameras=many)).axes[2].texts


def test_a_picture_without_a_match_or_a_second_rank(tmp_path: Path) -> None:
    shown = replace(
        sheet(),
        curves={"plain": np.array([0.5])},
        cameras=CameraTable(*(np.zeros(1, int),) * 2, *(np.full((1, 1), np.nan),) * 3),
    )
    draw_sheet(shown, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.width == PIXELS


def test_equal_sheets_are_equal_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        draw_sheet(sheet(), tmp_path / f"{name}.png")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
