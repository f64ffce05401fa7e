from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reid.retrieval.embeddings import Embeddings
from reid.retrieval.modality_gap import Seen
from reid.stages.gap_pictures import draw_gap, draw_gaps


def embeddings(spectra: tuple[str, str] = ("rgb", "ir"), **card: Any) -> Embeddings:
    """Three people with two images in either of two spectra, each of another camera."""
    people = np.repeat([1, 2, 3], 4)
    return Embeddings(
        features=np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32),
        person_ids=people,
        camera_ids=np.tile([0, 1, 2, 3], 3),
        roles=np.full(12, "pool"),
        paths=np.array([f"{number}.jpg" for number in range(12)]),
        card=card,
        modalities=np.tile(np.repeat(spectra, 2), 3),
    )


def test_two_spectra_are_drawn(tmp_path: Path) -> None:
    draw_gap(embeddings(), tmp_path / "gap.png", "bot on sysu")
    with Image.open(tmp_path / "gap.png") as picture:
        picture.load()


@pytest.mark.parametrize(
    "given", [embeddings(("rgb", "rgb")), embeddings(scored_in_pairs=True)], ids=["one", "pairs"]
)
def test_one_spectrum_or_rows_that_are_no_vectors_are_not_drawn(
    given: Embeddings, tmp_path: Path
) -> None:
    draw_gap(given, tmp_path / "gap.png", "bot on market")
    assert not list(tmp_path.iterdir())


def test_the_record_says_what_was_compared(tmp_path: Path) -> None:
    given = embeddings()
    sets = {"before": given.features, "after": given.features * 2}
    found = draw_gaps(Seen.of(given), sets, tmp_path / "gap.png", "bot on sysu", 0)
    assert found is not None
    assert (found["images"], found["people_in_both_spectra"]) == (12, 3)
    assert found["within_between_cameras"] is True
    before, after = found["features"].values()
    assert list(found["features"]) == ["before", "after"]
    assert before == after
    assert before["pairs"] == 6 + 12 + 24


def test_three_images_of_one_person_are_enough(tmp_path: Path) -> None:
    given = embeddings().take(np.array([0, 1, 2, 6]))  # the last is infrared and of somebody else
    assert draw_gaps(Seen.of(given), {"a": given.features}, tmp_path / "gap.png", "b", 0)
