"""Embeddings of one test set: features, who and where, and a card of how they were made.

On disk: `<stem>.npy` holds the features and can be mapped into memory, `<stem>.parquet` the rows,
with the card as JSON in its metadata.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reid.errors import DataError
from reid.files import whole_file
from reid.retrieval.distance import FloatArray, IntArray

ROLES = ("query", "gallery")
_CARD = b"reid.card"
_SHAPE = b"reid.features"


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Features of all query and gallery images of one test set.

    Args:
        features: [N, D] float32.
        person_ids: -1 junk, never scored; 0 distractor, a negative only [N].
        camera_ids: From 0; -1 unknown [N].
        roles: `query` or `gallery` [N].
        paths: POSIX path of each image below the root of its dataset [N].
        card: How they were made: dataset, manifest and model digests, recipe, precision, flip,
            uses_camera_ids, feature_size, images_per_second, device ...

    Raises:
        DataError: Sizes do not fit, or a role is unknown.
    """

    features: FloatArray
    person_ids: IntArray
    camera_ids: IntArray
    roles: npt.NDArray[np.str_]
    paths: npt.NDArray[np.str_]
    card: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # asanyarray keeps a mapped file mapped
        object.__setattr__(self, "features", np.asanyarray(self.features, dtype=np.float32))
        for name in ("person_ids", "camera_ids"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.int64))
        for name in ("roles", "paths"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.str_))
        rows = {name: len(getattr(self, name)) for name in _COLUMNS}
        if self.features.ndim != 2 or set(rows.values()) != {len(self.features)}:
            raise DataError(
                f"features of shape {self.features.shape} with rows {rows}",
                "a matrix with one row for each image",
                "Embed the test set again.",
            )
        unknown = sorted(set(self.roles.tolist()) - set(ROLES))
        if unknown:
            raise DataError(f"role '{unknown[0]}'", f"one of {', '.join(ROLES)}", "Correct it.")

    @property
    def is_query(self) -> npt.NDArray[np.bool_]:
        """Whether each row is a query [N]."""
        is_query: npt.NDArray[np.bool_] = self.roles == "query"
        return is_query

    @property
    def query(self) -> "Embeddings":
        """The query rows."""
        return self.take(np.flatnonzero(self.is_query))

    @property
    def gallery(self) -> "Embeddings":
        """The gallery rows."""
        return self.take(np.flatnonzero(~self.is_query))

    def take(self, rows: IntArray) -> "Embeddings":
        """Return the given rows, with the same card."""
        columns = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return Embeddings(features=self.features[rows], card=self.card, **columns)

    def save(self, stem: Path) -> None:
        """Write `<stem>.npy` and `<stem>.parquet`, each whole or not at all."""
        metadata = {
            _CARD: json.dumps(self.card, sort_keys=True).encode(),
            _SHAPE: json.dumps(self.features.shape).encode(),
        }
        table = pa.table({name: getattr(self, name) for name in _COLUMNS})
        table = table.replace_schema_metadata(metadata)
        with whole_file(_features_file(stem)) as part:
            _save_array(part, self.features)
        with whole_file(_rows_file(stem)) as part:
            pq.write_table(table, part, compression="zstd")

    @classmethod
    def load(cls, stem: Path) -> "Embeddings":
        """Read what `save` wrote; features stay on disk until they are used.

        Raises:
            DataError: A file is missing or damaged, or the two do not belong together.
        """
        for path in (_features_file(stem), _rows_file(stem)):
            if not path.is_file():
                raise _damaged(f"{path}: no such file")
        try:
            features = np.load(_features_file(stem), mmap_mode="r")
            table = pq.read_table(_rows_file(stem))
            metadata = table.schema.metadata or {}
            card, shape = json.loads(metadata[_CARD]), json.loads(metadata[_SHAPE])
            columns = {name: table.column(name).to_numpy() for name in _COLUMNS}
        except (ValueError, KeyError, EOFError, pa.ArrowException) as error:
            raise _damaged(f"{stem}: cannot be read ({' '.join(str(error).split())})") from None
        if list(features.shape) != shape:
            raise _damaged(f"{stem}: features of shape {features.shape}, rows made for {shape}")
        return cls(features=features, card=card, **columns)


_COLUMNS = ("person_ids", "camera_ids", "roles", "paths")


def _features_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.npy")


def _rows_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.parquet")


def _save_array(path: Path, features: FloatArray) -> None:
    with path.open("wb") as file:
        np.save(file, features)


def _damaged(found: str) -> DataError:
    return DataError(
        found, "a .npy and a .parquet of the same images", "Run the embed stage again."
    )
