"""Generated features of test sets as large as the public ones, and of galleries up to a million.

Persons are clusters in a space of few dimensions, several of which lie close together, seen through
cameras that each shift them; some images are much noisier than others. Written block by block, so
that memory stays small.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reid.retrieval.precision import Precision, as_float32, rounded

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

FEATURE_SIZE = 768
CAMERAS = 6
_LATENT_SIZE = 48
_BLOCK = 8192
_IMAGES_EACH = 20
_DISTRACTORS = 0.17  # share of Market-1501's gallery
_ALIKE = 8  # persons who look alike


@dataclass(frozen=True)
class Scale:
    """Size of a test set.

    Args:
        queries: Number of query images.
        gallery: Number of gallery images.
    """

    queries: int
    gallery: int


SCALES = {
    "small": Scale(300, 2_000),
    "market": Scale(3_368, 15_913),
    "msmt17": Scale(11_659, 82_161),
}
# larger than any tile, so that each kernel is compiled for the kinds of array it will get
WARM_UP = Scale(600, 2_500)


@dataclass(frozen=True, eq=False)
class Problem:
    """A test set in memory, queries first.

    Args:
        features: Rows of length 1 [Q + G, D].
        person_ids: From 1; 0 for distractors [Q + G].
        camera_ids: From 0 [Q + G].
        queries: Number of queries Q.
    """

    features: FloatArray
    person_ids: IntArray
    camera_ids: IntArray
    queries: int

    @property
    def query(self) -> tuple[FloatArray, IntArray, IntArray]:
        """Features, persons and cameras of the queries."""
        rows = slice(0, self.queries)
        return self.features[rows], self.person_ids[rows], self.camera_ids[rows]

    @property
    def gallery(self) -> tuple[FloatArray, IntArray, IntArray]:
        """Features, persons and cameras of the gallery."""
        rows = slice(self.queries, None)
        return self.features[rows], self.person_ids[rows], self.camera_ids[rows]


@dataclass(frozen=True)
class Outcome:
    """What a code finds.

    Args:
        mAP: Mean average precision.
        rank1: Share of queries whose nearest image that counts is a match; None if not computed.
    """

    mAP: float  # noqa: N815 - the name in every paper
    rank1: float | None


def write_problem(folder: Path, scale: Scale, seed: int = 0) -> None:
    """Write a test set with as many images of each person and distractors as Market-1501 has."""
    generator = np.random.default_rng([seed, 1])
    distractors = round(_DISTRACTORS * scale.gallery)
    persons = max(2, (scale.gallery - distractors) // _IMAGES_EACH)
    gallery = np.concatenate(
        [np.arange(scale.gallery - distractors) % persons + 1, np.zeros(distractors, np.int64)]
    )
    query = np.arange(scale.queries) % persons + 1
    person_ids = np.concatenate([query, generator.permutation(gallery)])
    _write(folder, person_ids, scale.queries, "float32", seed)


def write_growing(folder: Path, queries: int, largest: int, seed: int = 0) -> None:
    """Write a test set whose first gallery rows hold all matches, in bfloat16.

    A larger part of the gallery has more persons, not more matches for each query.
    """
    query = np.arange(queries) + 1
    gallery = (
        np.arange(largest) // (queries * _IMAGES_EACH) * queries + np.arange(largest) % queries
    )
    _write(folder, np.concatenate([query, gallery + 1]), queries, "bfloat16", seed)


def read_problem(folder: Path, gallery: int | None = None) -> Problem:
    """Read a test set, or its queries and the first `gallery` images."""
    card = json.loads((folder / "card.json").read_text())
    labels = np.load(folder / "labels.npy")
    queries = int(card["queries"])
    rows = labels.shape[1] if gallery is None else queries + gallery
    features = np.empty((rows, FEATURE_SIZE), np.float32)
    # read, not mapped: pages of a mapped file would count as memory of the process
    with (folder / "features.npy").open("rb") as file:
        np.lib.format.read_magic(file)
        kind = np.lib.format.read_array_header_1_0(file)[2]
        for start in range(0, rows, _BLOCK):
            part = features[start : start + _BLOCK]
            block = as_float32(np.fromfile(file, kind, part.size).reshape(part.shape))
            np.divide(block, np.linalg.norm(block, axis=1, keepdims=True), out=part)
    return Problem(features, labels[0, :rows].copy(), labels[1, :rows].copy(), queries)


def _write(
    folder: Path, person_ids: IntArray, queries: int, precision: Precision, seed: int
) -> None:
    """Write labels, a card, and the features drawn for the labels."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng([seed, 2])
    rows = len(person_ids)
    camera_ids = generator.integers(0, CAMERAS, rows)
    np.save(folder / "labels.npy", np.stack([person_ids, camera_ids]))
    (folder / "card.json").write_text(json.dumps({"queries": queries, "precision": precision}))
    # each distractor is somebody else
    looks = np.where(person_ids > 0, person_ids, person_ids.max() + 1 + np.arange(rows))
    _, looks = np.unique(looks, return_inverse=True)
    people = looks.max() + 1
    groups = generator.standard_normal((people // _ALIKE + 1, _LATENT_SIZE), np.float32)
    centres = groups[generator.integers(0, len(groups), people)]
    centres += 0.6 * generator.standard_normal((people, _LATENT_SIZE), np.float32)
    shifts = 0.45 * generator.standard_normal((CAMERAS, _LATENT_SIZE), np.float32)
    mixing = generator.standard_normal((_LATENT_SIZE, FEATURE_SIZE), np.float32)
    kind = np.uint16 if precision == "bfloat16" else np.dtype(precision)
    shape = (rows, FEATURE_SIZE)
    stored = np.lib.format.open_memmap(folder / "features.npy", "w+", kind, shape)
    for start in range(0, rows, _BLOCK):
        part = slice(start, min(start + _BLOCK, rows))
        draw = np.random.default_rng([seed, 3, start])
        middle = centres[looks[part]] + shifts[camera_ids[part]]
        noise = draw.standard_normal(middle.shape, np.float32)
        noise *= np.exp(draw.normal(-0.35, 0.35, (len(middle), 1))).astype(np.float32)
        block = (middle + noise) @ mixing
        block += 0.5 * draw.standard_normal(block.shape, np.float32)
        stored[part] = rounded(block, precision)
    stored.flush()
