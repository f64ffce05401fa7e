"""Scores of images on disk: a table of `path` and `score`, or a plain list, best first."""

import io
import math
import pickle
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reid.errors import DataError
from reid.files import whole_file, write_whole
from reid.pretrain.selection import Scores

PICKLES = (".pkl", ".pickle")
FORMS = "a Parquet or CSV table of path and score, or a text list of paths, best first"
_PICKLE_MARK = b"\x80"  # no UTF-8 text begins with it
_COLUMNS = pa.schema([pa.field("path", pa.string()), pa.field("score", pa.float64())])
_RESTORE = "Write it again with `reid select` or `reid select-list`."

# what unpickling raises for bytes that are no pickle, are cut short or want what is not allowed
_DAMAGE = (
    *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError),
    *(AttributeError, ImportError, OverflowError, MemoryError, RecursionError),
)


def read_scores(path: Path) -> Scores:
    """Read scores: `.parquet` and `.csv` are tables, all else is a list whose order is the score.

    Raises:
        DataError: No such file, a pickle, a damaged file, no scores, one that is no number, or a
            path that stands twice.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file", FORMS, "Check the path.")
    suffix = path.suffix.lower()
    if suffix in PICKLES or _begins_as_pickle(path):
        raise DataError(
            f"{path}: a pickle, which could run code",
            FORMS,
            f"Convert it once: `reid select-list {path} --out list.txt`.",
        )
    names, values = _table(path) if suffix in (".parquet", ".csv") else _list(path)
    _require_names(names, path)
    wrong = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
    if wrong:
        raise DataError(
            f"{path}: {len(wrong)} scores are no finite number, first that of '{wrong[0]}'",
            "a number for each image",
            _RESTORE,
        )
    return Scores(str(path), dict(zip(names, values, strict=True)))


def write_scores(
    path: Path, names: Sequence[str], scores: NDArray[np.float64], facts: Mapping[str, str]
) -> None:
    """Write scores [N] as a Parquet table, best first; equal scores stand in the order of paths.

    Args:
        path: File to write.
        names: Paths of the images [N].
        scores: Higher is better.
        facts: How the scores were made, kept in the file's metadata.
    """
    order = sorted(range(len(names)), key=lambda index: (-scores[index], names[index]))
    table = pa.table([[names[k] for k in order], scores[order]], schema=_COLUMNS)
    with whole_file(path) as part:
        pq.write_table(table.replace_schema_metadata(dict(facts)), part, compression="zstd")


def convert_list(source: Path, target: Path) -> int:
    """Turn a pickled list of names into a text file, one a line; return their number.

    No class or function that the pickle names is looked up, so nothing in it can run.

    Raises:
        DataError: No such file, or it holds anything else than a list or tuple of text.
    """
    if not source.is_file():
        raise DataError(f"{source}: no such file", "a pickled list of names", "Check the path.")
    try:
        content = _PlainUnpickler(io.BytesIO(source.read_bytes()), encoding="utf-8").load()
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise _no_list(source, f"cannot be read as a plain list ({reason})") from None
    if not isinstance(content, list | tuple):
        raise _no_list(source, f"holds {type(content).__name__}")
    for name in content:
        if not isinstance(name, str):
            raise _no_list(source, f"a list with {type(name).__name__} in it")
        if not name.isprintable():
            raise _no_list(source, f"the name {name!r}, which makes no line of text")
    _require_names(content, source)
    write_whole(target, "".join(f"{name}\n" for name in content))
    return len(content)


class _PlainUnpickler(pickle.Unpickler):
    """Knows lists, tuples, text and numbers, and nothing that has a name."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it holds an object of {module}.{name}")

    def persistent_load(self, _key: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to objects outside of the file")


def _no_list(source: Path, found: str) -> DataError:
    return DataError(
        f"{source}: {found}",
        "a pickled list of names and nothing else",
        "Fetch the file again, or have somebody who trusts it write its names into a text file.",
    )


def _begins_as_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == _PICKLE_MARK


def _table(path: Path) -> tuple[list[str], list[float]]:
    try:
        if path.suffix.lower() == ".csv":
            types = pacsv.ConvertOptions(column_types=_COLUMNS)
            table = pacsv.read_csv(path, convert_options=types)
        else:
            table = pq.read_table(path)
        missing = [name for name in _COLUMNS.names if name not in table.column_names]
        if not missing:
            table = table.select(_COLUMNS.names).cast(_COLUMNS)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path}: cannot be read ({reason})", FORMS, _RESTORE) from None
    if missing:
        found = ", ".join(table.column_names)
        raise DataError(f"{path}: no column '{missing[0]}' among {found}", FORMS, _RESTORE)
    # an empty cell becomes a NaN, which is refused with the others
    scores = table.column("score").to_numpy().tolist()
    return table.column("path").to_pylist(), scores


def _list(path: Path) -> tuple[list[str], list[float]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text", FORMS, _RESTORE) from None
    names = [name for line in lines if (name := line.removesuffix("\r"))]
    return names, [-float(rank) for rank in range(len(names))]


def _require_names(names: Iterable[str | None], path: Path) -> None:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise DataError(f"{path}: an empty path", "a path for each image", _RESTORE)
        if name in seen:
            raise DataError(f"{path}: '{name}' stands twice", "each path once", _RESTORE)
        seen.add(name)
    if not seen:
        raise DataError(f"{path}: no images", FORMS, _RESTORE)
