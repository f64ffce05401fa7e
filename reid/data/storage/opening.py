"""From a path to the storage behind it, by content and not by suffix."""

from pathlib import Path

from reid.data.storage.archive import RESTORE
from reid.data.storage.base import Storage
from reid.data.storage.folder import FolderStorage
from reid.data.storage.shards import ShardStorage, is_packed
from reid.data.storage.tar import TarStorage
from reid.data.storage.zip import ZipStorage
from reid.errors import DataError

COMPRESSION = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"}
"""First bytes of what a tar archive may be wrapped in."""

_TAR_MAGIC = (257, b"ustar")


def open_storage(root: Path) -> Storage:
    """Open a folder, a zip archive or a plain tar archive.

    Raises:
        DataError: There is nothing at `root`, it is no archive, or it is damaged.
    """
    if root.is_dir():
        return ShardStorage(root) if is_packed(root) else FolderStorage(root)
    head = _head(root)
    if head.startswith(b"PK"):
        return ZipStorage(root)
    if head[_TAR_MAGIC[0] :].startswith(_TAR_MAGIC[1]):
        return TarStorage(root)
    expected = "a folder, a zip archive or a tar archive"
    if not head:
        raise DataError(f"{root}: an empty file", expected, RESTORE)
    if (compression := compression_of(head)) is not None:
        raise DataError(
            f"{root}: compressed with {compression}, so members cannot be found one by one",
            expected,
            "Register it with `reid data add`, which stores it decompressed.",
        )
    if head.lstrip()[:1] == b"<":
        raise DataError(
            f"{root}: a web page, not an archive",
            expected,
            "The download failed, perhaps for want of a login: open the page, then download again.",
        )
    raise DataError(f"{root}: neither folder nor archive", expected, RESTORE)


def compression_of(head: bytes) -> str | None:
    """Name the compression that a file begins with; None for a plain file."""
    return next((name for magic, name in COMPRESSION.items() if head.startswith(magic)), None)


def _head(root: Path) -> bytes:
    try:
        with root.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise DataError(
            f"{root}: cannot be read ({error.strerror})",
            "a folder or an archive",
            "Check the path and the rights.",
        ) from None
