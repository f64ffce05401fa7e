from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reid.errors import DataError
from reid.methods.model_directory import LoadedModel
from reid.tracking.serving import embed_input


def test_rows_have_length_one_whatever_the_size(tiny: LoadedModel) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 31, 17, 3))
    rows = embed_input(tiny, pixels)
    assert rows.shape == (5, tiny.network.feature_size)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows[3:], embed_input(tiny, pixels[3:]), atol=1e-6)


def test_files_and_their_pixels_give_the_same(tiny: LoadedModel, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 40, 20, 3), dtype=np.uint8)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    frame = pd.DataFrame({"path": [str(path) for path in paths]})
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
