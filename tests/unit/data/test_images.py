from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import reid.data.images as images
from reid.data.images import ImageFacts, ImageTable, read_image
from reid.data.storage import open_storage
from reid.errors import DataError


def write(path: Path, value: int) -> Path:
    Image.new("L", (6, 10), value).save(path)
    return path


def table(folder: Path) -> ImageTable:
    paths = [write(folder / f"{value}.png", value).name for value in (10, 20, 30)]
    facts = ImageFacts(*(torch.tensor([1, 2, 3]) * k for k in (1, 10, 100, 1000)))
    return ImageTable(open_storage(folder), paths, facts, 4, 2, Image.Resampling.BILINEAR)


def test_grey_becomes_rgb_of_the_asked_size(tmp_path: Path) -> None:
    write(tmp_path / "a.png", 7)
    pixels = read_image(open_storage(tmp_path), "a.png", 4, 2, Image.Resampling.BICUBIC)
    assert pixels.shape == (4, 2, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 7).all()


@pytest.mark.parametrize("preload", [0, 1 << 20])
def test_batches_follow_the_indices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, preload: int
) -> None:
    monkeypatch.setattr(images, "PRELOAD_BYTES", preload)
    made = table(tmp_path)
    assert made.preloaded == bool(preload)
    batch = made.__getitems__([2, 0])
    assert batch.images.shape == (2, 3, 4, 2)
    assert batch.images[:, 0, 0, 0].tolist() == [30, 10]
    assert made.modalities == [1000, 2000, 3000]
    assert [f.tolist() for f in batch[1:]] == [[3, 1], [30, 10], [300, 100], [3000, 1000]]


def test_damaged_image_is_one_line_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "bad.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"bad\.jpg: cannot be decoded .* expected a readable"):
        read_image(open_storage(tmp_path), path.name, 4, 2, Image.Resampling.BILINEAR)
