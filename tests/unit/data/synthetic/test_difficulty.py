"""The cheap bands: how far matching without learning gets under the Market-1501 protocol."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from reid.data.synthetic import WorldSpec, schedule
from reid.data.synthetic.render import scene_of

Tests = list[tuple[str, int, int, Image.Image]]


def images_of(spec: WorldSpec) -> Tests:
    """Split, person, camera and picture of every test image but junk."""
    scene = scene_of(spec)
    images: Tests = []
    for shot in schedule(spec):
        split = shot.file.split("/")[0]
        if split != "bounding_box_train" and shot.key.kind != "junk":
            person = shot.key.number if shot.key.kind == "person" else 0
            picture = Image.open(BytesIO(scene.render(shot.key).jpeg))
            images.append((split, person, shot.key.camera, picture.convert("RGB")))
    return images


def mean_average_precision(features: np.ndarray, images: Tests) -> float:
    """Percent, by cosine; images of the query's person and camera are left out."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    query = np.array([split == "query" for split, *_ in images])
    person = np.array([image[1] for image in images])
    camera = np.array([image[2] for image in images])
    precisions = []
    for row in np.flatnonzero(query):
        kept = ~query & ~((person == person[row]) & (camera == camera[row]))
        order = np.argsort(-features[kept] @ features[row], kind="stable")
        hits = np.flatnonzero(person[kept][order] == person[row]) + 1
        precisions.append((np.arange(1, len(hits) + 1) / hits).mean())
    return 100 * float(np.mean(precisions))


def raw_pixels(images: Tests) -> np.ndarray:
    """24 × 48 RGB with the mean of each image removed."""
    small = [np.asarray(image[3].resize((24, 48), Image.Resampling.BILINEAR)) for image in images]
    features = np.stack(small).reshape(len(small), -1).astype(np.float64)
    return features - features.mean(1, keepdims=True)


def strip_histograms(images: Tests) -> np.ndarray:
    """HSV 8 × 4 × 4 in six strips of the central half, square root."""
    rows = []
    for *_, picture in images:
        pixels = np.asarray(picture.convert("HSV")).astype(int)
        width = pixels.shape[1]
        hue, saturation, value = np.moveaxis(pixels[:, width // 4 : width - width // 4], -1, 0)
        bins = hue // 32 * 16 + saturation // 64 * 4 + value // 64
        strips = np.array_split(bins, 6)
        rows.append(
            np.concatenate([np.bincount(s.ravel(), minlength=128) / s.size for s in strips])
        )
    return np.sqrt(np.stack(rows))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bench_is_neither_trivial_nor_hopeless(seed: int) -> None:
    images = images_of(WorldSpec("bench", "A", seed))
    assert 5 <= mean_average_precision(raw_pixels(images), images) <= 25
    assert 5 <= mean_average_precision(strip_histograms(images), images) <= 45


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_demo_cannot_be_solved_by_raw_pixels(seed: int) -> None:
    images = images_of(WorldSpec("demo", "A", seed))
    assert 5 <= mean_average_precision(raw_pixels(images), images) <= 25


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_winter_is_dark_but_not_without_colour(seed: int) -> None:
    images = images_of(WorldSpec("bench", "B", seed))
    assert 5 <= mean_average_precision(raw_pixels(images), images) <= 25
    assert 4 <= mean_average_precision(strip_histograms(images), images) <= 45
