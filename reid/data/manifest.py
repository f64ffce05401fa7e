"""The manifest: one table that says what every image of a data set is.

A manifest holds one row per image in the canonical schema, and a little metadata about the whole.
It knows paths only relative to a root that the caller names: an image lies at `root / path`. The
file holds neither a wall-clock time nor an absolute path, so equal data give equal bytes.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reid.errors import DataError
from reid.files import whole_file

SCHEMA_VERSION = 1

SPLITS = ("train", "val", "query", "gallery", "test_pool", "pretrain", "ignored")
FLAGS = ("ok", "junk", "distractor", "broken")
MODALITIES = ("rgb", "ir")
BANDS = ("visible", "nir", "thermal")
OBJECTS = ("person", "vehicle")

_WORD = pa.dictionary(pa.int32(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("dataset", _WORD, nullable=False),
        pa.field("variant", _WORD, nullable=False),
        pa.field("path", pa.string(), nullable=False),
        pa.field("alias_paths", pa.list_(pa.string()), nullable=False),
        pa.field("split", _WORD, nullable=False),
        pa.field("trial_roles", pa.map_(pa.string(), pa.string())),
        pa.field("flag", _WORD, nullable=False),
        pa.field("pid", pa.int64()),
        pa.field("pid_key", pa.string()),
        pa.field("label", pa.int32()),
        pa.field("noisy_label", pa.bool_(), nullable=False),
        pa.field("camid", pa.int16()),
        pa.field("cam_raw", pa.string()),
        pa.field("viewid", pa.int8(), nullable=False),
        pa.field("modality", _WORD, nullable=False),
        pa.field("band", _WORD, nullable=False),
        pa.field("object", _WORD, nullable=False),
        pa.field("session", pa.string()),
        pa.field("frame", pa.int64()),
        pa.field("timestamp", pa.float64()),
        pa.field("track_id", pa.string()),
        pa.field("occluded", pa.bool_()),
        pa.field("occ_fraction", pa.float32()),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("mode", _WORD, nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
        pa.field("phash64", pa.uint64()),
        pa.field("attrs", pa.string()),
    ]
)
"""The canonical columns, in order."""

# Columns that may be null stay integer or boolean in pandas instead of turning into floats.
_NULLABLE: dict[str, pd.api.extensions.ExtensionDtype] = {
    "pid": pd.Int64Dtype(),
    "label": pd.Int32Dtype(),
    "camid": pd.Int16Dtype(),
    "frame": pd.Int64Dtype(),
    "occluded": pd.BooleanDtype(),
    "phash64": pd.UInt64Dtype(),
}
_BLOCK = 20_000
_REBUILD = "Build the manifest again with `reid data build`."


WITHDRAWN = "withdrawn"
"""Status of data that its authors took back."""


@dataclasses.dataclass(frozen=True)
class EthicsRecord:
    """Under which terms the people shown may be used.

    Args:
        licence: Terms of the data set, in words.
        status: `open`, `research`, `agreement` or `withdrawn`.
        consent: Whether the people shown agreed: `yes`, `no`, `synthetic` or `unknown`.
        acknowledged_by: Who uses withdrawn data all the same, and why; empty otherwise.
    """

    licence: str
    status: str
    consent: str
    acknowledged_by: str = ""


@dataclasses.dataclass(frozen=True)
class ManifestMeta:
    """What holds for a data set as a whole.

    Args:
        dataset: Key of the data set, such as `market1501` or `synth_tiny_a`.
        layout: Reader that parsed the folder.
        parser_version: Version of the reader's rules.
        root_fingerprint: SHA-256 over the sorted paths and the SHA-256 of each file.
        counts: Per split the number of images (without junk), ids, cameras, junk, distractors
            and broken images.
        benchmark: Public data set of which this is a copy or a part; None if there is none.
        camera_count: Cameras that the data set has by its definition; None if it states none.
        ethics: Terms of use; None if nobody stated them.
        tool_version: Version of this package at creation.
        unlisted: Image files that the layout does not account for.
        generator: For synthetic data, what the generator recorded about itself.
        schema_version: Version of `SCHEMA`.
    """

    dataset: str
    layout: str
    parser_version: int
    root_fingerprint: str
    counts: Mapping[str, Mapping[str, int]]
    benchmark: str | None
    camera_count: int | None
    ethics: EthicsRecord | None
    tool_version: str
    unlisted: tuple[str, ...] = ()
    generator: Mapping[str, Any] | None = None
    schema_version: int = SCHEMA_VERSION


@dataclasses.dataclass(frozen=True, eq=False)
class Manifest:
    """The rows of a data set and what holds for all of them.

    Args:
        frame: One row per image, the columns of `SCHEMA`, sorted by path. Columns that may be null
            have pandas' nullable types.
        meta: Facts about the whole.
    """

    frame: pd.DataFrame
    meta: ManifestMeta

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], meta: ManifestMeta) -> "Manifest":
        """Build a manifest from one sequence per column of `SCHEMA`, in any order of rows."""
        plain = {field.name: columns[field.name] for field in SCHEMA}
        table = pa.Table.from_pydict(plain, schema=plain_schema()).sort_by("path")
        return cls(_to_frame(table), meta)

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Read a manifest.

        Raises:
            DataError: The file is missing, is no Parquet file, or has another schema.
        """
        meta = load_meta(path)
        with _readable(path):
            table = pq.read_table(path)
        if not table.schema.remove_metadata().equals(SCHEMA):
            wrong = sorted(set(SCHEMA.names) ^ set(table.column_names)) or ["types"]
            raise DataError(
                f"{path}: columns differ ({', '.join(wrong)})",
                f"the manifest schema {SCHEMA_VERSION}",
                _REBUILD,
            )
        return cls(_to_frame(table), meta)

    def save(self, path: Path) -> None:
        """Write the manifest as one Parquet file; an interrupted write leaves the old file."""
        fields = {
            name: json.dumps(value, sort_keys=True) for name, value in metadata_fields(self.meta)
        }
        table = _to_table(self.frame).cast(SCHEMA).replace_schema_metadata(fields)
        with whole_file(path) as part:
            pq.write_table(table, part, compression="zstd")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the rows, the same for every version of the Parquet writer."""
        hasher = hashlib.sha256(f"{SCHEMA_VERSION}\n".encode())
        for start in range(0, max(len(self.frame), 1), _BLOCK):
            block = self.frame.iloc[start : start + _BLOCK]
            options = pacsv.WriteOptions(include_header=start == 0)
            buffer = io.BytesIO()
            pacsv.write_csv(_as_text(block), buffer, options)
            hasher.update(buffer.getbuffer())
        return hasher.hexdigest()

    def rows(self, split: str) -> pd.DataFrame:
        """Return the rows of a split, with junk, distractors and broken images.

        Raises:
            DataError: There is no split of this name in the schema.
        """
        if split not in SPLITS:
            raise DataError(
                f"{self.meta.dataset}: split '{split}'",
                f"one of {', '.join(SPLITS)}",
                "Correct the name.",
            )
        return self.frame[self.frame["split"] == split]

    @cached_property
    def train(self) -> pd.DataFrame:
        """The rows to train on: split `train`, flag `ok`."""
        return self.rows("train").query("flag == 'ok'")

    @cached_property
    def num_classes(self) -> int:
        """Number of identities in `train`; labels run from 0 to one less."""
        return int(self.train["label"].nunique())

    @cached_property
    def train_cameras(self) -> tuple[int, ...]:
        """Cameras seen in `train`, ascending."""
        return tuple(sorted(int(camera) for camera in self.train["camid"].dropna().unique()))

    @property
    def num_cameras(self) -> int:
        """Number of cameras seen in `train`."""
        return len(self.train_cameras)

    @cached_property
    def num_views(self) -> int:
        """Number of distinct known views in `train`, at least 1."""
        views = self.train["viewid"]
        return max(1, int(views[views >= 0].nunique()))

    def camera_labels(self, rows: pd.DataFrame) -> NDArray[np.int64]:
        """Rank the cameras of `rows` among the training cameras.

        Args:
            rows: Rows of this data set.

        Returns:
            One number per row, from 0 to `num_cameras` - 1; -1 for a camera unseen in training.
        """
        rank = {camera: label for label, camera in enumerate(self.train_cameras)}
        cameras = rows["camid"].fillna(-1).to_numpy(dtype=np.int64)
        return np.array([rank.get(int(camera), -1) for camera in cameras], dtype=np.int64)


def load_meta(path: Path) -> ManifestMeta:
    """Read what holds for a data set as a whole, without its rows.

    Raises:
        DataError: The file is missing, is no Parquet file, or says something else.
    """
    with _readable(path):
        stored = pq.read_metadata(path).metadata or {}
    return _read_meta(stored, path)


def count_splits(frame: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count per split.

    Junk is in no count but its own; distractors are images, but their id 0 is no identity.

    Returns:
        Split name to `images`, `ids`, `cams`, `junk`, `distractors`, `broken`.
    """
    counts = {}
    for split, rows in frame.groupby("split", sort=True, observed=True):
        scored = rows[rows["flag"] != "junk"]
        counts[str(split)] = {
            "images": len(scored),
            "ids": int(scored.loc[scored["flag"] == "ok", "pid_key"].nunique()),
            "cams": int(scored["camid"].nunique()),
            "junk": len(rows) - len(scored),
            "distractors": int((rows["flag"] == "distractor").sum()),
            "broken": int((rows["flag"] == "broken").sum()),
        }
    return counts


def plain_schema() -> pa.Schema:
    """The schema with plain strings for dictionary columns, which is how a frame holds them."""
    plain = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in SCHEMA]
    return pa.schema(plain)


def metadata_fields(meta: ManifestMeta) -> list[tuple[str, Any]]:
    """Name and value of everything that a manifest file says of the whole, ready for JSON."""
    fields = dataclasses.fields(meta)
    return [(f"reid.{field.name}", _plain(getattr(meta, field.name))) for field in fields]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into one line."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path}: no such file", "a manifest", _REBUILD) from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: unreadable ({reason})", "a manifest", _REBUILD) from None


def _to_frame(table: pa.Table) -> pd.DataFrame:
    table = table.replace_schema_metadata(None).cast(plain_schema())
    columns = {}
    for name in SCHEMA.names:
        column = table.column(name)
        if name in ("alias_paths", "trial_roles"):
            columns[name] = pd.Series(column.to_pylist(), dtype=object)
        elif name in _NULLABLE:
            filled = pc.fill_null(column, pa.scalar(0, pa.int8()).cast(column.type))
            values = pd.Series(filled.to_numpy()).astype(_NULLABLE[name])
            columns[name] = values.mask(pc.is_null(column).to_numpy())
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def _to_table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, plain_schema(), preserve_index=False)


def _as_text(frame: pd.DataFrame) -> pa.Table:
    """Write binary and nested cells as text, which is all that CSV knows."""
    table = _to_table(frame)
    for name, values in (
        ("sha256", [value.hex() for value in frame["sha256"]]),
        ("alias_paths", [json.dumps(list(value)) for value in frame["alias_paths"]]),
        ("trial_roles", [_roles_text(value) for value in frame["trial_roles"]]),
    ):
        table = table.set_column(table.schema.get_field_index(name), name, [values])
    return table


def _roles_text(value: Any) -> str | None:
    return None if value is None else json.dumps(sorted(dict(value).items()))


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if isinstance(value, EthicsRecord) else value


def _read_meta(stored: Mapping[bytes, bytes], path: Path) -> ManifestMeta:
    names = {field.name for field in dataclasses.fields(ManifestMeta)}
    keys = {key.decode(): value for key, value in stored.items()}
    fields = {name: json.loads(keys[f"reid.{name}"]) for name in names if f"reid.{name}" in keys}
    if set(fields) != names or fields["schema_version"] != SCHEMA_VERSION:
        version = fields.get("schema_version", "none")
        raise DataError(
            f"{path}: manifest schema {version}", f"manifest schema {SCHEMA_VERSION}", _REBUILD
        )
    if fields["ethics"] is not None:
        fields["ethics"] = EthicsRecord(**fields["ethics"])
    fields["unlisted"] = tuple(fields["unlisted"])
    return ManifestMeta(**fields)
