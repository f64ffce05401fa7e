"""Embeddings from the arrays of another toolkit, both together or queries and gallery apart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.errors import DataError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.features import IntArray
from reid.retrieval.foreign.columns import (
    Array,
    Column,
    draws_of,
    joined,
    joined_features,
    matrix,
    modalities_of,
    numbers,
    one_per_row,
    roles_of,
    whole_numbers,
)
from reid.retrieval.foreign.names import SIDES, Place


@dataclass(frozen=True)
class StoredArray:
    """An array that was recognised by its name and is not read yet.

    Args:
        label: Name for messages.
        load: Reads it.
    """

    label: str
    load: Callable[[], Array]

    def column(self) -> Column:
        """Read it."""
        return Column(self.label, self.load())


Arrays = dict[Place, StoredArray]


def assembled(arrays: Arrays, source: str, notes: list[str]) -> Embeddings:
    """Check the arrays, bring both sides together, and make embeddings of them.

    Args:
        arrays: What was recognised.
        source: Where it comes from, for messages.
        notes: Told what was done that is not plain from the arrays.

    Raises:
        DataError: Arrays are missing, or do not fit each other, or hold what they must not.
    """
    sides = sorted({side for side, _ in arrays if side}, reverse=True)
    if sides and any(not side for side, _ in arrays):
        both = next(arrays[place].label for place in arrays if not place[0])
        raise DataError(
            f"{source}: '{both}' beside arrays of queries and gallery apart",
            "either both together or both apart",
            "Drop one of the two.",
        )
    parts = [_part(arrays, side, source, notes) for side in (tuple(SIDES) if sides else ("",))]
    if not sides:
        features, columns = matrix(parts[0]["features"]), dict(parts[0])
    else:
        features, columns = _stacked(parts, source)
    return _converted(features, columns, notes)


def _part(arrays: Arrays, side: str, source: str, notes: list[str]) -> dict[str, Column]:
    """Read the columns of one side, or of both together, and compare their lengths."""
    columns = {column: stored for (owner, column), stored in arrays.items() if owner == side}
    for needed in ("features", "person_ids"):
        if needed not in columns:
            names = ", ".join(stored.label.split(": ")[-1] for stored in arrays.values())
            found = "; ".join([names, *notes] if names else notes)
            raise DataError(
                f"{source}: no {f'{side} {needed}'.strip().replace('_', ' ')} (found: {found})",
                f"{f'{side}_{needed}' if side else needed} or another of its names",
                "Add it, or name a table of labels; `reid evaluate --help` lists the names.",
            )
    part = {"features": columns.pop("features").column()}
    rows = len(matrix(part["features"]))
    for name, stored in columns.items():
        found_column = stored.column()
        if name != "draws":
            values = one_per_row(stored.label, found_column.values, rows, part["features"].label)
            found_column = Column(stored.label, values)
        part[name] = found_column
    return part


def _stacked(parts: list[dict[str, Column]], source: str) -> tuple[Array, dict[str, Column]]:
    """Bring queries and gallery together, queries first."""
    query, gallery = parts
    for name in query.keys() ^ gallery.keys():
        owner = "query" if name in query else "gallery"
        raise DataError(
            f"{source}: {name.replace('_', ' ')} of the {owner} alone",
            "the same arrays for queries and gallery",
            "Add the other, or drop this one.",
        )
    pairs = {name: (query[name], gallery[name]) for name in query}
    features = joined_features(pairs.pop("features"))
    columns = {name: joined(pair) for name, pair in pairs.items()}
    sizes = [len(part["features"].values) for part in parts]
    columns["roles"] = Column("roles", np.repeat(["query", "gallery"], sizes))
    return features, columns


def _converted(features: Array, columns: dict[str, Column], notes: list[str]) -> Embeddings:
    """Convert the columns, fill in those that are not there, and say what was done."""
    rows = len(features)
    card: dict[str, Any] = {}
    cameras = np.full(rows, -1)
    if "camera_ids" in columns:
        cameras = whole_numbers(columns["camera_ids"], "camera", notes)
        cameras = _from_zero(cameras, card, notes)
    paths = np.array([f"{row:08d}" for row in range(rows)])
    if "paths" in columns:
        paths = columns["paths"].values.astype(np.str_)
    more: dict[str, Any] = {}
    modalities = modalities_of(columns)
    if modalities is not None:
        more["modalities"] = modalities
    if "occlusions" in columns:
        more["occlusions"] = numbers(columns["occlusions"])
    if "draws" in columns:
        more["draws"] = draws_of(columns["draws"], rows)
    if features.dtype == np.uint16:
        notes.append("features of type uint16 are taken for the bits of bfloat16")
    persons = whole_numbers(columns["person_ids"], "person", notes)
    return Embeddings(features, persons, cameras, _roles(columns, rows), paths, card, **more)


def _roles(columns: dict[str, Column], rows: int) -> npt.NDArray[np.str_]:
    roles = roles_of(columns)
    if roles is None:
        return np.full(rows, "pool")
    missing = {"query", "gallery"} - set(roles.tolist())
    if missing and "pool" not in roles:
        label = columns["roles" if "roles" in columns else "is_query"].label
        raise DataError(
            f"{label}: no {' and no '.join(sorted(missing))} among {rows} rows",
            "queries and gallery",
            "Save the rows of both.",
        )
    return roles


def _from_zero(cameras: IntArray, card: dict[str, Any], notes: list[str]) -> IntArray:
    """Count cameras from 0 as everywhere here; protocols know some cameras by number."""
    known = cameras >= 0
    if known.any() and not known.all():
        notes.append(f"{(~known).sum()} images of camera -1: they count as one camera")
    if not known.any() or cameras[known].min() != 1:
        return cameras
    card["first_camera"] = 1
    return np.where(known, cameras - 1, cameras)
