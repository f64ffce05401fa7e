from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from reid.errors import DataError
from reid.methods.embedding import embed_batch
from reid.methods.model_directory import LoadedModel
from reid.tracking import serving
from reid.tracking.serving import embed_input, predict


def saved(folder: Path, pixels: NDArray[np.uint8]) -> list[str]:
    paths = [folder / f"{number}.png" for number in range(len(pixels))]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    return [str(path) for path in paths]


def test_rows_have_length_one_whatever_the_size(tiny: LoadedModel) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 31, 17, 3))
    rows = embed_input(tiny, pixels)
    assert rows.shape == (5, tiny.network.feature_size)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows[3:], embed_input(tiny, pixels[3:]), atol=1e-6)


def test_files_and_their_pixels_give_the_same(tiny: LoadedModel, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 40, 20, 3), dtype=np.uint8)
    frame = pd.DataFrame({"path": saved(tmp_path, pixels)})
    np.testing.assert_array_equal(embed_input(tiny, frame), embed_input(tiny, pixels))


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (np.zeros((2, 3, 8, 4), np.uint8), "shape [2, 3, 8, 4]"),
        (np.zeros((2, 8, 4, 3)), "type float64"),
        (np.full((2, 8, 4, 3), 256), "type int64"),
        (np.zeros((0, 8, 4, 3), np.uint8), "shape [0, 8, 4, 3]"),
        (pd.DataFrame({"file": ["a.png"]}), "1 rows with columns file; expected image files"),
    ],
)
def test_other_input_is_refused(tiny: LoadedModel, images: object, found: str) -> None:
    with pytest.raises(DataError) as error:
        embed_input(tiny, images)
    assert found in str(error.value)


def test_a_network_of_vectors_scores_no_pairs(tiny: LoadedModel) -> None:
    with pytest.raises(DataError, match="columns query, gallery; expected image files in a column"):
        predict(tiny, pd.DataFrame({"query": ["a.png"], "gallery": ["b.png"]}))


def test_rows_of_a_pair_scorer_stay_as_they_are(pairs: LoadedModel) -> None:
    size = pairs.recipe.image
    shape = (3, size.height, size.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    rows = predict(pairs, pixels)
    raw = serving._raw_batch(list(pixels))
    np.testing.assert_array_equal(rows, embed_batch(pairs.network, pairs.recipe, raw))
    assert (np.abs(np.linalg.norm(rows, axis=1) - 1) > 0.1).all()


@pytest.mark.parametrize("block", [1, 3, 100])
def test_pairs_of_files_are_scored_in_their_order(
    pairs: LoadedModel, tmp_path: Path, block: int
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 50, 30, 3), dtype=np.uint8)
    files = saved(tmp_path, pixels)
    first, second = [2, 0, 2, 3, 0], [1, 3, 2, 0, 1]
    frame = pd.DataFrame(
        {"gallery": [files[i] for i in second], "query": [files[i] for i in first]},
        index=[7, 7, 8, 9, 0],
    )
    scorer = pairs.network.scorer()
    assert scorer is not None
    rows = predict(pairs, pixels)
    expected = scorer.scores(rows, rows)[first, second]
    small = pairs.recipe.model_copy(update={"embed_batch": block})
    found = predict(replace(pairs, recipe=small), frame)
    assert found.shape == (5,)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert np.ptp(expected) > 0.01


@pytest.mark.parametrize("frame", [pd.DataFrame({"query": ["a.png"]}), pd.DataFrame()])
def test_frames_without_pairs_are_refused(pairs: LoadedModel, frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"expected image files in columns 'query' and 'gallery' "):
        predict(pairs, frame)
