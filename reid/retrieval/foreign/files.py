"""Arrays by name from a file of another toolkit: nothing is unpickled, nothing read twice.

An array is read when it is asked for. Uncompressed ones of `.npy` and `.npz` stay on disk.
"""

import pickle
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from reid.errors import DataError
from reid.retrieval.foreign.names import SUFFIXES

Array = npt.NDArray[Any]
Members = dict[str, Callable[[], Array]]
TABLES = (".csv", ".parquet")

# what the readers of the formats raise for a file that is none, or is cut short
_DAMAGE = (
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    pa.ArrowException,
)


@dataclass(frozen=True)
class FeatureFile:
    """A file that holds arrays by name.

    Args:
        path: For messages.
        members: Reader of each array.
    """

    path: Path
    members: Members

    @classmethod
    def open(cls, path: Path) -> "FeatureFile":
        """List the arrays of a file: `.npz`, `.npy`, `.parquet`, `.csv`, `.pt` or `.pth`.

        The only array of an `.npy` is called `features`.

        Raises:
            DataError: No such file, of an unknown kind, empty or damaged.
        """
        lister = _LISTERS.get(path.suffix.lower())
        if not path.is_file():
            raise _refused(f"{path}: no such file", "Check the path.")
        if lister is None:
            raise _refused(f"{path}: unknown kind of file '{path.suffix}'", "Save it as .npz.")
        if not path.stat().st_size:
            raise _refused(f"{path}: an empty file", "Write it again.")
        with _explained(path):
            return cls(path, lister(path))

    def load(self, name: str) -> Array:
        """Read one array.

        Raises:
            DataError: It holds Python objects or empty cells, or the file is damaged.
        """
        with _explained(self.path):
            return self.members[name]()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        text = " ".join(str(error).split())[:200]
        raise _refused(f"{path}: cannot be read ({text})", "Write it again.") from None


def _refused(found: str, remedy: str) -> DataError:
    return DataError(found, f"a file of features ({', '.join(SUFFIXES)}) or a table", remedy)


def _npy(path: Path) -> Members:
    # mapped at once, as it costs nothing and shows whether the file is one
    features = _mapped(path, 0, path.name)
    return {"features": lambda: features}


def _npz(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    return {info.filename.removesuffix(".npy"): partial(_member, path, info) for info in infos}


def _member(path: Path, info: zipfile.ZipInfo) -> Array:
    label = info.filename.removesuffix(".npy")
    if info.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            # the member follows its local header: 30 bytes, its name, and an extra field
            file.seek(info.header_offset + 26)
            lengths = np.frombuffer(file.read(4), "<u2")
        return _mapped(path, info.header_offset + 30 + int(lengths.sum()), label)
    with zipfile.ZipFile(path) as archive:
        with archive.open(info) as member:
            _header(member, path, label)
        with archive.open(info) as member:
            array: Array = np.lib.format.read_array(member, allow_pickle=False)
    return array


def _mapped(path: Path, start: int, label: str) -> Array:
    """Map the array whose header starts at byte `start` of a file."""
    with path.open("rb") as file:
        file.seek(start)
        shape, fortran, dtype = _header(file, path, label)
        offset = file.tell()
    if not np.prod(shape):
        return np.empty(shape, dtype)
    order = "F" if fortran else "C"
    return np.memmap(path, dtype, "r", offset, shape or (1,), order)  # type: ignore[call-overload, no-any-return]


def _header(file: IO[bytes], path: Path, label: str) -> tuple[tuple[int, ...], bool, Any]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise DataError(
            f"{path}: '{label}' holds pickled Python objects, which are never unpickled",
            "numbers or text",
            "Save it with its own type, such as np.array(values, dtype=str) or np.int64.",
        )
    return shape, fortran, dtype


def _csv(path: Path) -> Members:
    return _table(path, pyarrow.csv.read_csv(path))


def _parquet(path: Path) -> Members:
    return _table(path, pq.read_table(path))


def _table(path: Path, table: pa.Table) -> Members:
    return {
        name: partial(_column, path, name, column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _column(path: Path, name: str, column: pa.ChunkedArray) -> Array:
    if column.null_count:
        raise DataError(
            f"{path}: column '{name}' has {column.null_count} empty cells of {len(column)}",
            "a value in each row",
            "Fill them, or leave the column out.",
        )
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _matrix(path, name, column)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.to_pylist(), dtype=np.str_)
    array: Array = column.to_numpy()
    return array


def _matrix(path: Path, name: str, column: pa.ChunkedArray) -> Array:
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    values = np.concatenate(parts) if parts else np.empty(0, np.float32)
    lengths = np.unique(np.concatenate([_lengths(chunk) for chunk in column.chunks]))
    if len(lengths) > 1:
        raise DataError(
            f"{path}: column '{name}' has rows of {lengths[0]} to {lengths[-1]} values",
            "the same number in each row",
            "Embed all images with one model.",
        )
    return values.reshape(len(column), -1)


def _lengths(chunk: pa.Array) -> Array:
    lengths: Array = chunk.value_lengths().to_numpy()
    return lengths


def _torch(path: Path) -> Members:
    # seconds to import, and needed for this format only
    import torch

    try:
        # older files are no archive, and only an archive can be mapped
        mapped = zipfile.is_zipfile(path)
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError:
        data = None
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: holds Python objects other than a dict of tensors, which are never unpickled",
            "tensors and lists of numbers or text by name",
            "Save torch.save({'features': ..., 'person_ids': ...}, path).",
        )
    return {str(name): partial(_tensor, value) for name, value in data.items()}


def _tensor(value: Any) -> Array:
    import torch

    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    tensor = value.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    array: Array = tensor.numpy()
    return array


_LISTERS: dict[str, Callable[[Path], Members]] = {
    ".npz": _npz,
    ".npy": _npy,
    ".csv": _csv,
    ".parquet": _parquet,
    ".pt": _torch,
    ".pth": _torch,
}
