from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reid.report.modality_gap import GapRow, draw_modality_gap, gap_figure, in_plane
from reid.retrieval.modality_gap import ModalityGap, Seen

PEOPLE = np.repeat(np.arange(3), 8)
SHOWN = Seen(PEOPLE, np.zeros(24, np.int64), np.arange(24) % 2 == 1)


def features(apart: float) -> np.ndarray:
    """People in three directions, and the infrared images of all moved in one more."""
    noise = np.random.default_rng(0).normal(scale=0.05, size=(24, 6))
    noise[np.arange(24), PEOPLE] += 1
    noise[SHOWN.infrared, 3] += apart
    return noise.astype(np.float32)


def row(name: str, apart: float = 0.5) -> GapRow:
    generator = np.random.default_rng(1)
    distances = [generator.uniform(0, level, 40) for level in (0.2, 0.2 + apart, 1.2)]
    return GapRow(name, ModalityGap(*distances), in_plane(features(apart), 0))


def panels(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left").strip() for axes in figure.axes]


def test_every_set_of_features_has_a_row() -> None:
    names = ["before training", "after training: shared branch"]
    found = panels(gap_figure([row(name) for name in names], SHOWN, "idkl on sysu"))
    assert found[::2] == names
    assert len(found) == 4


@pytest.mark.parametrize(
    ("between_cameras", "words"), [(True, "two cameras"), (False, "one camera or two")]
)
def test_the_numbers_stand_beside_the_distances(between_cameras: bool, words: str) -> None:
    gap = ModalityGap(np.array([0.1, 0.3]), np.array([0.5, 0.7]), np.array([0.9, 1.1]))
    shown = GapRow("after training", gap, in_plane(features(1), 0))
    axes = gap_figure([shown], SHOWN, "a run", between_cameras=between_cameras).axes[0]
    (said,) = [text.get_text() for text in axes.texts]
    assert said == (
        "gap, across minus within: +0.4 (50 % of the way to other people);"
        "  AUC of same or other: 1.000"
    )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        f"same person, one spectrum, {words}: 2 pairs, mean 0.2",
        "same person, across the spectra: 2 pairs, mean 0.6",
        "other people, across the spectra: 2 pairs, mean 1",
    ]


def test_marks_tell_spectra_and_colours_tell_people() -> None:
    figure = gap_figure([row("features")], SHOWN, "a run", ["24 images"])
    visible, infrared = figure.axes[1].collections
    assert len(visible.get_offsets()) == len(infrared.get_offsets()) == 12
    assert len(np.unique(visible.get_facecolors(), axis=0)) == 3
    assert len(np.unique(infrared.get_edgecolors(), axis=0)) == 3
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["visible", "infrared", "id 0", "id 1", "id 2"]


def test_near_features_stay_near_in_the_plane_whatever_their_length() -> None:
    given = features(0)
    plane = in_plane(given, 0)
    assert np.array_equal(plane, in_plane(given, 0))
    scaled = given * np.linspace(1, 9, 24, dtype=np.float32)[:, None]
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=2) + 1e9 * np.eye(24)
    assert (PEOPLE[distances.argmin(axis=1)] == PEOPLE).all()
    again = in_plane(scaled, 0)
    distances = np.linalg.norm(again[:, None] - again[None], axis=2) + 1e9 * np.eye(24)
    assert (PEOPLE[distances.argmin(axis=1)] == PEOPLE).all()


def test_four_images_are_enough_for_the_plane() -> None:
    assert np.isfinite(in_plane(np.eye(4, dtype=np.float32), 0)).all()


def test_equal_pictures_are_equal_files(tmp_path: Path) -> None:
    for path in (tmp_path / "a.png", tmp_path / "b.png"):
        draw_modality_gap([row("before"), row("after")], SHOWN, path, "a run", ["24 images"])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 1400
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
