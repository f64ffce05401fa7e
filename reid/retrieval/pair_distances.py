"""Distances of single pairs, measured in float64."""

import numpy as np
import numpy.typing as npt

from reid.compiled import compiled, over_rows
from reid.retrieval.distance import squared_distance
from reid.retrieval.features import FeatureRows, FloatArray, IntArray

IndexArray = npt.NDArray[np.int32]
# images whose candidates are gathered at once where features are not held
GATHERED = 128


def sparse_distances(features: FeatureRows, offsets: IntArray, columns: IndexArray) -> FloatArray:
    """Measure squared distances of some pairs in float64, and round them once.

    Args:
        features: N rows.
        offsets: Start of each image's others in `columns`, and the end of the last [N + 1].
        columns: The others, image after image.

    Returns:
        One distance for each entry of `columns`.
    """
    distances = np.empty(len(columns), np.float32)
    if features.held is not None:
        arguments = (features.held, np.arange(len(features)), offsets, columns, distances)
        over_rows(_measure, len(features), *arguments)
        return distances
    # only the rows that some images need lie in memory at a time
    for start in range(0, len(features), GATHERED):
        images = np.arange(start, min(start + GATHERED, len(features)))
        entries = slice(offsets[start], offsets[images[-1] + 1])
        together = np.concatenate([images, columns[entries]])
        wanted, places = np.unique(together, return_inverse=True)
        rows = features.subset(wanted).take(slice(0, len(wanted)))
        mine, others = np.split(places, [len(images)])
        own = offsets[start : images[-1] + 2] - offsets[start]
        over_rows(_measure, len(images), rows, mine, own, others, distances[entries])
    return distances


def set_distances(
    features: FeatureRows,
    offsets: IntArray,
    columns: IndexArray,
    near: IndexArray,
    near_distances: FloatArray,
) -> FloatArray:
    """Return the distances of `sparse_distances`; those of neighbours are looked up.

    Args:
        features: N rows.
        offsets: See `sparse_distances`.
        columns: See `sparse_distances`.
        near: Neighbours of each image [N, k].
        near_distances: Their distances [N, k].
    """
    distances = np.full(len(columns), np.nan, np.float32)
    over_rows(_look_up, len(features), offsets, columns, near, near_distances, distances)
    missing = np.isnan(distances)
    before = np.concatenate([[0], np.cumsum(missing)])
    distances[missing] = sparse_distances(features, before[offsets], columns[missing])
    return distances


@compiled
def _measure(
    start: int,
    stop: int,
    rows: FloatArray,
    images: IntArray,
    offsets: IntArray,
    others: IndexArray,
    distances: FloatArray,
) -> None:
    """Measure the distances of images to others, both given by their places in `rows`."""
    for image in range(start, stop):
        mine = rows[images[image]]
        for entry in range(offsets[image], offsets[image + 1]):
            distances[entry] = squared_distance(mine, rows[others[entry]])


@compiled
def _look_up(
    start: int,
    stop: int,
    offsets: IntArray,
    columns: IndexArray,
    near: IndexArray,
    near_distances: FloatArray,
    distances: FloatArray,
) -> None:
    for image in range(start, stop):
        for entry in range(offsets[image], offsets[image + 1]):
            for place in range(near.shape[1]):
                if near[image, place] == columns[entry]:
                    distances[entry] = near_distances[image, place]
                    break
