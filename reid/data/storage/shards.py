"""A folder of files packed into tar shards with an index, written here and read in place.

Millions of small files burden every file system, backup and version control. A shard is a plain tar
archive that any tool unpacks; the index only saves reading all headers before the first image.
"""

import io
import tarfile
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from reid.data.storage.archive import RESTORE, Entry, MemberIndex, damaged, read_range
from reid.data.storage.base import Storage
from reid.errors import DataError

INDEX_FILE = "index.parquet"
SHARD_NAME = "{:05}.tar"
FILES_PER_SHARD = 10_000

_SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("shard", pa.int16()),
        ("start", pa.int64()),
        ("size", pa.int64()),
        ("crc32", pa.uint32()),
    ]
)


def is_packed(folder: Path) -> bool:
    """Tell whether a folder holds tar shards with their index."""
    return (folder / INDEX_FILE).is_file() and (folder / SHARD_NAME.format(0)).is_file()


class ShardStorage(Storage):
    """Files in the tar shards of a folder, under the paths that they had before.

    Raises:
        DataError: The index is damaged.
    """

    @cached_property
    def index(self) -> MemberIndex:
        """Where the files lie; the kind of an entry is the number of its shard."""
        try:
            table = pq.read_table(self.root / INDEX_FILE, schema=_SCHEMA)
        except (pa.ArrowInvalid, OSError) as error:
            reason = " ".join(str(error).split())
            raise DataError(
                f"{self.root / INDEX_FILE}: cannot be read ({reason})", "an index", RESTORE
            ) from None
        columns = ("name", "start", "size", "shard", "crc32")
        rows = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
        return MemberIndex([Entry(*row) for row in rows])

    def files(self) -> list[str]:  # noqa: D102 - as in the base
        return [self.index.name(row).decode() for row in range(len(self.index))]

    def has_file(self, path: str) -> bool:  # noqa: D102 - as in the base
        return self.index.find(path) is not None

    def read_file(self, path: str) -> bytes:  # noqa: D102 - as in the base
        row, index = self._row(path), self.index
        shard = self.root / SHARD_NAME.format(index.kinds[row])
        data = read_range(shard, int(index.starts[row]), int(index.sizes[row]))
        if zlib.crc32(data) != index.checksums[row]:
            raise damaged(shard, f"the checksum of {path!r} is wrong")
        return data

    def open_file(self, path: str) -> BinaryIO:  # noqa: D102 - as in the base
        return io.BytesIO(self.read_file(path))

    def file_stamp(self, path: str) -> str:  # noqa: D102 - as in the base
        return f"crc32 {self.index.checksums[self._row(path)]:08x}"

    def _row(self, path: str) -> int:
        row = self.index.find(path)
        if row is None:
            raise self.missing(path)
        return row


def pack_files(
    storage: Storage, paths: list[str], target: Path, progress: Callable[[int, int], None]
) -> None:
    """Pack files into tar shards with an index.

    Equal files give equal shards: times, owners and rights are not kept.

    Args:
        storage: Where the files lie.
        paths: Their paths, in byte order.
        target: Folder to make; it must not exist.
        progress: Called with the number of files done and of all files.
    """
    target.mkdir(parents=True)
    with pq.ParquetWriter(target / INDEX_FILE, _SCHEMA, compression="zstd") as index:
        for number, first in enumerate(range(0, len(paths), FILES_PER_SHARD)):
            chosen = paths[first : first + FILES_PER_SHARD]
            rows = _pack_shard(storage, chosen, target, number)
            index.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA))
            progress(first + len(chosen), len(paths))


def _pack_shard(
    storage: Storage, paths: list[str], folder: Path, number: int
) -> list[dict[str, str | int]]:
    """Write one shard; the rows of its files in the index."""
    rows: list[dict[str, str | int]] = []
    with tarfile.open(
        folder / SHARD_NAME.format(number), "w:", format=tarfile.PAX_FORMAT
    ) as archive:
        for path in paths:
            data = storage.read(path)
            header = tarfile.TarInfo(path)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
            # the content ends where the archive does, but for the filling of its last block
            start = archive.offset - -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
            place = {"shard": number, "start": start, "size": len(data)}
            rows.append({"name": path, **place, "crc32": zlib.crc32(data)})
            archive.members = []  # type: ignore[attr-defined]
    return rows
