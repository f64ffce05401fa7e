"""A zip archive."""

import stat
import struct
import zipfile
import zlib

from reid.data.storage.archive import LARGEST_MEMBER, ArchiveStorage, Entry, read_range
from reid.errors import DataError

_LOCAL_HEADER = 30
_ENCRYPTED = 0x1

# What the library raises for damaged archives, depending on where the damage is.
_DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    EOFError,
    ValueError,
    OverflowError,
    struct.error,
    NotImplementedError,
)


class ZipStorage(ArchiveStorage):
    """The members of a zip archive, stored or deflated; symbolic links are not among them."""

    def entries(self) -> list[Entry]:
        """List the members that are files."""
        try:
            with zipfile.ZipFile(self.root) as archive:
                infos = archive.infolist()
        except _DAMAGE as error:
            raise self.damaged(error) from None
        if not all(info.filename for info in infos):
            raise self.damaged("a member without a name")
        return [self._entry(info) for info in infos if not (info.is_dir() or _is_link(info))]

    def _entry(self, info: zipfile.ZipInfo) -> Entry:
        if info.flag_bits & _ENCRYPTED:
            raise DataError(
                f"{self.root}: {info.filename!r} is encrypted", "a plain archive", "Decrypt it."
            )
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(
                f"{self.root}: {info.filename!r} is compressed in a rare way",
                "stored or deflated members",
                "Unpack the archive and point to the folder.",
            )
        return Entry(
            info.filename, info.header_offset, info.compress_size, info.compress_type, info.CRC
        )

    def extract(self, row: int) -> bytes:  # noqa: D102 - as in the base
        start, size = int(self.index.starts[row]), int(self.index.sizes[row])
        header = read_range(self.root, start, _LOCAL_HEADER)
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        data = read_range(self.root, start + _LOCAL_HEADER + name_length + extra_length, size)
        content = data if self.index.kinds[row] == zipfile.ZIP_STORED else self._inflate(data, row)
        if zlib.crc32(content) != self.index.checksums[row]:
            raise self.damaged(f"the checksum of {self._shown(row)} is wrong")
        return content

    def file_stamp(self, path: str) -> str:  # noqa: D102 - as in the base
        row = self.index.find(path)
        if row is None:
            raise self.missing(path)
        return f"crc32 {self.index.checksums[row]:08x}"

    def _inflate(self, data: bytes, row: int) -> bytes:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = inflater.decompress(data, LARGEST_MEMBER + 1)
        except zlib.error as error:
            raise self.damaged(f"{self._shown(row)}: {error}") from None
        if len(content) > LARGEST_MEMBER:
            raise DataError(
                f"{self.root}: {self._shown(row)} unpacks to more than {LARGEST_MEMBER} bytes",
                "images and lists",
                "Unpack the archive, if you trust it, and point to the folder.",
            )
        return content

    def _shown(self, row: int) -> str:
        return repr(self.index.name(row).decode())


def _is_link(info: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(info.external_attr >> 16)
