"""Embeddings of one test set: features, who and where, and a card of how they were made.

On disk: `<stem>.npy` holds the features and can be mapped into memory, `<stem>.parquet` the rows,
with the card as JSON in its metadata. Features in bfloat16 are stored as uint16 (see `precision`).
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from reid.errors import DataError
from reid.files import whole_file
from reid.retrieval.features import DoubleArray, FloatArray, IntArray
from reid.retrieval.precision import Precision, Stored, as_stored, rounded

ROLES = ("query", "gallery", "pool")
MODALITIES = ("rgb", "ir")
_CARD = b"reid.card"
_SHAPE = b"reid.features"
_COLUMNS = {
    "person_ids": np.int64,
    "camera_ids": np.int64,
    "roles": np.str_,
    "paths": np.str_,
    "modalities": np.str_,
    "occlusions": np.float32,
    "seconds": np.float64,
    "draws": np.int64,
}


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Features of all images of one test set.

    Args:
        features: [N, D] float32, float16 or the bits of bfloat16 (see `precision`).
        person_ids: -1 junk, never scored; 0 distractor, a negative only [N].
        camera_ids: From 0; -1 unknown [N].
        roles: `query`, `gallery`, or `pool` where the protocol takes both from all images [N].
        paths: POSIX path of each image below the root of its dataset [N].
        card: How they were made: dataset, manifest and model digests, recipe, precision, flip,
            uses_camera_ids, feature_size, images_per_second, device, backends ...
        modalities: `rgb` or `ir`; by default all `rgb` [N].
        occlusions: Share of the person that is hidden, NaN where unknown (the default) [N].
        seconds: When each image was taken, on one clock for all cameras; NaN where unknown (the
            default) [N].
        draws: Place of each image in the gallery draw of each official trial, from 0, among the
            images of its person and camera; -1 where it is not drawn. By default no trial [N, T].

    Raises:
        DataError: Sizes do not fit, or a role or a modality is unknown.
        EvaluationError: The features are no floating-point numbers.
    """

    features: Stored
    person_ids: IntArray
    camera_ids: IntArray
    roles: npt.NDArray[np.str_]
    paths: npt.NDArray[np.str_]
    card: dict[str, Any] = field(default_factory=dict)
    modalities: npt.NDArray[np.str_] = field(default_factory=lambda: np.empty(0, np.str_))
    occlusions: FloatArray = field(default_factory=lambda: np.empty(0, np.float32))
    seconds: DoubleArray = field(default_factory=lambda: np.empty(0, np.float64))
    draws: IntArray = field(default_factory=lambda: np.empty((0, 0), np.int64))

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", as_stored(self.features))
        rows = len(self.features)
        defaults = {
            "modalities": np.full(rows, "rgb"),
            "occlusions": np.full(rows, np.nan),
            "seconds": np.full(rows, np.nan),
            "draws": np.empty((rows, 0)),
        }
        for name, default in defaults.items():
            if not len(getattr(self, name)):
                object.__setattr__(self, name, default)
        for name, kind in _COLUMNS.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        sizes = {name: len(getattr(self, name)) for name in _COLUMNS}
        if self.features.ndim != 2 or self.draws.ndim != 2 or set(sizes.values()) != {rows}:
            raise DataError(
                f"features of shape {self.features.shape} with rows {sizes}",
                "a matrix with one row for each image",
                "Embed the test set again.",
            )
        for name, known in (("roles", ROLES), ("modalities", MODALITIES)):
            unknown = sorted(set(np.unique(getattr(self, name)).tolist()) - set(known))
            if unknown:
                one = name.removesuffix("s").replace("modalitie", "modality")
                raise DataError(
                    f"{one} '{unknown[0]}'", f"one of {', '.join(known)}", "Correct it."
                )

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
        columns: dict[str, Any] = {name: getattr(self, name)[rows] for name in _COLUMNS}
        return Embeddings(features=self.features[rows], card=self.card, **columns)

    def save(self, stem: Path) -> None:
        """Write `<stem>.npy` and `<stem>.parquet`, each whole or not at all.

        Features that `new_features` mapped to this stem are where they belong already.
        """
        metadata = {
            _CARD: json.dumps(self.card, sort_keys=True).encode(),
            _SHAPE: json.dumps(self.features.shape).encode(),
        }
        flat = {name: getattr(self, name) for name in _COLUMNS if name != "draws"}
        draws = pa.array(list(self.draws), pa.list_(pa.int64()))
        table = pa.table({**flat, "draws": draws})
        table = table.replace_schema_metadata(metadata)
        if _is_mapped_to(self.features, _features_file(stem)):
            self.features.flush()
        else:
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
            draws = table.column("draws").combine_chunks().flatten().to_numpy()
            columns["draws"] = draws.reshape(len(table), len(draws) // max(len(table), 1))
        except (ValueError, KeyError, EOFError, pa.ArrowException) as error:
            raise _damaged(f"{stem}: cannot be read ({' '.join(str(error).split())})") from None
        if list(features.shape) != shape:
            raise _damaged(f"{stem}: features of shape {features.shape}, rows made for {shape}")
        return cls(features=features, card=card, **columns)


def new_features(stem: Path, shape: tuple[int, int], precision: Precision) -> Stored:
    """Map a new `<stem>.npy` into memory, so that features of any size can be filled in."""
    kind = rounded(np.zeros(1, np.float32), precision).dtype
    return np.lib.format.open_memmap(_features_file(stem), "w+", kind, shape)


def _is_mapped_to(features: Stored, path: Path) -> TypeGuard[np.memmap[Any, Any]]:
    if not isinstance(features, np.memmap) or features.filename is None:
        return False
    return Path(features.filename) == path.absolute()


def _features_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.npy")


def _rows_file(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.parquet")


def _save_array(path: Path, features: Stored) -> None:
    with path.open("wb") as file:
        np.save(file, features)


def _damaged(found: str) -> DataError:
    return DataError(
        found, "a .npy and a .parquet of the same images", "Run the embed stage again."
    )
