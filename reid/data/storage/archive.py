"""Members of one big file, found by offset: what zip and tar archives share.

The file is opened for each read, which costs little beside decoding an image: so nothing is shared
between threads or processes, and a thousand shards need no thousand open files.
"""

import io
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

import numpy as np

from reid.data.storage.base import Storage, in_byte_order
from reid.errors import DataError

LARGEST_MEMBER = 1 << 30
"""Bytes beyond which a compressed member is refused: no re-ID image or list is that large."""

RESTORE = "Download or copy the archive again."


class Entry(NamedTuple):
    """A member as its archive lists it; `kind` says how it is stored."""

    name: str
    start: int
    size: int
    kind: int = 0
    checksum: int = 0


class MemberIndex:
    """Where each member lies, in arrays: a million members take about their names' length.

    Args:
        entries: The members in byte order of their names.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        names = [entry.name.encode() for entry in entries]
        self._names = b"".join(names)  # an array of names would be as wide as the longest one
        self._bounds = np.cumsum([0, *map(len, names)])
        self.starts = np.array([entry.start for entry in entries], np.int64)
        self.sizes = np.array([entry.size for entry in entries], np.int64)
        self.kinds = np.array([entry.kind for entry in entries], np.int16)
        self.checksums = np.array([entry.checksum for entry in entries], np.uint32)

    def __len__(self) -> int:
        return len(self.starts)

    def name(self, row: int) -> bytes:
        """The name of the member in a row, in UTF-8."""
        return self._names[self._bounds[row] : self._bounds[row + 1]]

    def find(self, name: str) -> int | None:
        """Find the row of a member; None if there is none of that name."""
        wanted = name.encode()
        row = bisect_left(range(len(self)), wanted, key=self.name)
        return row if row < len(self) and self.name(row) == wanted else None


def read_range(path: Path, start: int, size: int) -> bytes:
    """Read bytes of an archive.

    Raises:
        DataError: The archive is not there or ends before, or the disk fails.
    """
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read(size)
            while len(data) < size and (more := file.read(size - len(data))):
                data += more  # the system gives at most 2 GiB at once
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})",
            "an archive",
            "Check the path and the rights.",
        ) from None
    if len(data) < size:
        raise damaged(path, f"it ends at byte {start + len(data)}, inside a member")
    return data


def damaged(path: Path, reason: object) -> DataError:
    """Say that an archive cannot be read."""
    return DataError(f"{path}: damaged archive ({reason})", "a whole archive", RESTORE)


class ArchiveStorage(Storage):
    """An archive that is read in place.

    Raises:
        DataError: The file is not there, or may not be read.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        read_range(root, 0, 1)

    @abstractmethod
    def entries(self) -> list[Entry]:
        """List the members that are files.

        Raises:
            DataError: The archive is damaged.
        """

    @abstractmethod
    def extract(self, row: int) -> bytes:
        """Read the member in a row of the index."""

    @cached_property
    def index(self) -> MemberIndex:
        """Where the members lie; read once."""
        entries = {}
        for entry in self.entries():
            path = self._plain_path(entry.name)
            entries[path] = entry._replace(name=path)  # the last of equal names counts
        return MemberIndex([entries[path] for path in in_byte_order(entries, self.root)])

    def files(self) -> list[str]:  # noqa: D102 - as in the base
        return [self.index.name(row).decode() for row in range(len(self.index))]

    def has_file(self, path: str) -> bool:  # noqa: D102 - as in the base
        return self.index.find(path) is not None

    def read_file(self, path: str) -> bytes:  # noqa: D102 - as in the base
        row = self.index.find(path)
        if row is None:
            raise self.missing(path)
        return self.extract(row)

    def open_file(self, path: str) -> BinaryIO:  # noqa: D102 - as in the base
        return io.BytesIO(self.read_file(path))

    def file_stamp(self, path: str) -> str:  # noqa: D102 - as in the base
        row = self.index.find(path)
        if row is None:
            raise self.missing(path)
        state = self.root.stat()
        return f"{state.st_size}:{state.st_mtime_ns}:{self.index.starts[row]}"

    def damaged(self, reason: object) -> DataError:
        """Say that the archive cannot be read."""
        return damaged(self.root, reason)

    def _plain_path(self, name: str) -> str:
        """Refuse a path that leads elsewhere, and drop the dots of `./a.jpg`."""
        if name.startswith("/") or ".." in name.split("/"):
            raise DataError(
                f"{self.root}: member {name!r} points outside of the archive",
                "paths below the archive's root",
                "Do not use this archive; get it from the authors of the data set.",
            )
        if "\\" in name:
            raise DataError(
                f"{self.root}: member {name!r} has backslashes",
                "paths with forward slashes",
                "Unpack the archive and point to the folder.",
            )
        return str(PurePosixPath(name)) if "./" in name or "//" in name else name
