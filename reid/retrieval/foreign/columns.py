"""Columns of another toolkit turned into those of `Embeddings`: ids, roles, modalities, sides."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.errors import DataError
from reid.retrieval.features import FloatArray, IntArray
from reid.retrieval.foreign.names import MODALITIES, ROLES

Array = npt.NDArray[Any]
_EXACT = 2**53  # from here on a float skips whole numbers
_JUNK = "-1"


@dataclass(frozen=True, eq=False)
class Column:
    """Values with the name under which they were found, for messages.

    Args:
        label: For example `market.npz: q_pids and g_pids`.
        values: One per image.
    """

    label: str
    values: Array


def one_per_row(label: str, values: Array, rows: int, features: str) -> Array:
    """Return `values` as a vector of `rows` entries; [N, 1] and [1, N] are taken too.

    Args:
        label: Name of the values.
        values: Any array.
        rows: Number of feature rows.
        features: Name of the features.

    Raises:
        DataError: Another number of entries, or Python objects.
    """
    if values.dtype.hasobject:
        raise DataError(f"{label}: Python objects", "numbers or text", "Save one type throughout.")
    entries = values.size if max(values.shape, default=0) == values.size else len(values)
    if values.ndim == 0 or entries != rows or values.size != rows:
        raise DataError(
            f"{label}: an array of shape {values.shape} for {features} of {rows} rows",
            "one entry per row",
            "Save one entry per image, in the order of the features.",
        )
    return values.reshape(rows)


def joined(columns: tuple[Column, ...]) -> Column:
    """Put the entries of both sides one after the other.

    Raises:
        DataError: Text on one side and numbers on the other.
    """
    label = " and ".join(column.label for column in columns)
    kinds = {column.values.dtype.kind in "US" for column in columns}
    if len(kinds) > 1:
        raise DataError(f"{label}: text and numbers", "one type", "Save both alike.")
    return Column(label, np.concatenate([column.values for column in columns]))


def joined_features(columns: tuple[Column, ...]) -> Array:
    """Stack the features of both sides, of which mapped ones are read once.

    Raises:
        DataError: Rows of different length, or bits of bfloat16 on one side only.
    """
    first, second = (column.values for column in columns)
    label = " and ".join(column.label for column in columns)
    if first.shape[1] != second.shape[1]:
        raise DataError(
            f"{label}: rows of {first.shape[1]} and of {second.shape[1]} values",
            "equal sizes",
            "Embed both with the same model.",
        )
    if (first.dtype == np.uint16) != (second.dtype == np.uint16):
        raise DataError(f"{label}: {first.dtype} and {second.dtype}", "one type", "Save both alike")
    stacked = np.empty((len(first) + len(second), first.shape[1]), np.result_type(first, second))
    stacked[: len(first)], stacked[len(first) :] = first, second
    return stacked


def matrix(column: Column) -> Array:
    """Return features [N, D], still mapped where they were.

    Raises:
        DataError: No matrix of numbers, or an empty one.
    """
    values = column.values
    if values.dtype.kind not in "fu" or (values.dtype.kind == "u" and values.dtype != np.uint16):
        raise DataError(
            f"{column.label}: features of type {values.dtype}",
            "float32, float16, float64, or the bits of bfloat16 as uint16",
            "Convert the features to float32.",
        )
    if values.ndim != 2 or not values.size:
        raise DataError(
            f"{column.label}: features of shape {values.shape}",
            "a matrix [images, feature size] that is not empty",
            "Give each image one row, for example features.reshape(len(features), -1).",
        )
    return values


def whole_numbers(column: Column, what: str, notes: list[str]) -> IntArray:
    """Return ids as whole numbers; text that is none is numbered in sorted order.

    Args:
        column: Whole numbers of any type, or text.
        what: `person` or `camera`.
        notes: Told when text was numbered.

    Raises:
        DataError: Fractions, or negative ids other than -1.
    """
    values = column.values
    if values.dtype.kind in "US":
        found = _numbers_of_text(values.astype(np.str_), what, notes)
    elif values.dtype.kind in "iu" or (values.dtype.kind == "f" and _whole(values).all()):
        found = values.astype(np.int64)
    else:
        example = f" such as {values[~_whole(values)][0]}" if values.dtype.kind == "f" else ""
        raise DataError(
            f"{column.label}: {what} ids of type {values.dtype}{example}",
            "whole numbers or text",
            "Convert them to int64.",
        )
    if found.min() < -1:
        meaning = "junk" if what == "person" else "unknown"
        raise DataError(
            f"{column.label}: {what} id {found.min()}",
            f"ids from 0, and -1 for {meaning}",
            "Number them anew.",
        )
    return found


def _whole(values: Array) -> npt.NDArray[np.bool_]:
    whole: npt.NDArray[np.bool_] = (values == np.rint(values)) & (np.abs(values) < _EXACT)
    return whole


def _numbers_of_text(values: npt.NDArray[np.str_], what: str, notes: list[str]) -> IntArray:
    try:
        return values.astype(np.int64)
    except (ValueError, OverflowError):
        names, numbers = np.unique(values, return_inverse=True)
    first = 1 if what == "person" else 0
    kept = names[names != _JUNK]  # -1 keeps its meaning among names
    places = np.where(names == _JUNK, -1, first + np.searchsorted(kept, names))
    notes.append(
        f"{len(kept)} {what} ids are text and were numbered from {first} in sorted order, "
        f"'{kept[0]}' first"
    )
    numbered: IntArray = places[numbers.reshape(-1)]
    return numbered


def roles_of(columns: Mapping[str, Column]) -> npt.NDArray[np.str_] | None:
    """Return roles from text or from the mask of queries; None where neither is there.

    Raises:
        DataError: Unknown words, a mask that is none, or both columns.
    """
    if "roles" in columns and "is_query" in columns:
        raise DataError(
            f"{columns['roles'].label} and {columns['is_query'].label}", "one of them", "Drop one."
        )
    if "is_query" in columns:
        mask = columns["is_query"]
        if mask.values.dtype.kind not in "biuf" or not np.isin(mask.values, (0, 1)).all():
            raise DataError(f"{mask.label}: {_shown(mask)}", "true or false", "Save a mask.")
        return np.where(mask.values.astype(bool), "query", "gallery")
    return in_words(columns["roles"], ROLES) if "roles" in columns else None


def modalities_of(columns: Mapping[str, Column]) -> npt.NDArray[np.str_] | None:
    """Return `rgb` or `ir` of each row; None where the file does not say.

    Raises:
        DataError: Unknown words.
    """
    return in_words(columns["modalities"], MODALITIES) if "modalities" in columns else None


def in_words(column: Column, words: Mapping[str, tuple[str, ...]]) -> npt.NDArray[np.str_]:
    """Translate the spellings of `words` into its keys, letter case aside.

    Raises:
        DataError: A word that is not among them.
    """
    known = {spelling: word for word, spellings in words.items() for spelling in spellings}
    found, numbers = np.unique(column.values.astype(np.str_), return_inverse=True)
    translated = [known.get(word.strip().lower()) for word in found.tolist()]
    if None in translated:
        wrong = found[translated.index(None)]
        raise DataError(f"{column.label}: '{wrong}'", f"one of {', '.join(known)}", "Correct it.")
    return np.array(translated, np.str_)[numbers.reshape(-1)]


def numbers(column: Column) -> FloatArray:
    """Return a column of shares as float32.

    Raises:
        DataError: Text.
    """
    if column.values.dtype.kind not in "fiu":
        raise DataError(f"{column.label}: type {column.values.dtype}", "numbers", "Save numbers.")
    return column.values.astype(np.float32)


def draws_of(column: Column, rows: int) -> IntArray:
    """Return the places in official draws [N, T].

    Raises:
        DataError: No matrix of whole numbers with a row for each image.
    """
    values = column.values
    if values.dtype.kind not in "iu" or values.ndim != 2 or len(values) != rows:
        raise DataError(
            f"{column.label}: {values.dtype} of shape {values.shape}",
            f"whole numbers [{rows}, trials]",
            "Save the place of each image in the draw of each trial, -1 where it is not drawn.",
        )
    return values.astype(np.int64)


def _shown(column: Column) -> str:
    values = column.values
    return f"{values.dtype} {np.unique(values)[:3].tolist()}"
