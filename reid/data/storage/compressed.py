"""Compressed tar archives, in which no member can be found without reading all before it."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from reid.data.storage.opening import compression_of
from reid.errors import DataError
from reid.files import whole_file

_PIECE = 1 << 22

_OPENERS: dict[str, Callable[[BinaryIO], BinaryIO]] = {
    "gzip": lambda file: cast(BinaryIO, gzip.GzipFile(fileobj=file)),
    "bzip2": lambda file: cast(BinaryIO, bz2.BZ2File(file)),
    "xz": lambda file: cast(BinaryIO, lzma.LZMAFile(file)),  # noqa: SIM115 - the caller closes it
}


def is_compressed(path: Path) -> bool:
    """Tell from its first bytes whether a file is compressed as a whole."""
    if path.is_dir():
        return False
    try:
        with path.open("rb") as file:
            return compression_of(file.read(8)) is not None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror})", "a readable file", "Check the rights."
        ) from None


def decompress(path: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Write the tar archive inside of a compressed one.

    Args:
        path: The compressed archive.
        target: The plain one; it appears when it is complete.
        progress: Called with the compressed bytes read and those in all.

    Raises:
        DataError: The archive is damaged.
    """
    total = path.stat().st_size
    with path.open("rb") as raw, whole_file(target) as part, part.open("wb") as out:
        kind = compression_of(raw.read(8)) or ""
        raw.seek(0)
        try:
            with _OPENERS[kind](raw) as plain:
                while piece := plain.read(_PIECE):
                    out.write(piece)
                    progress(raw.tell(), total)
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the disk is full, not the archive damaged
            raise DataError(
                f"{path}: damaged archive ({error})", "a whole archive", "Download it again."
            ) from None
