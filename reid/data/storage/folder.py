"""A folder of files."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from reid.data.storage.base import Storage, in_byte_order
from reid.errors import DataError


class FolderStorage(Storage):
    """The files below a folder; links to files and folders are followed."""

    def files(self) -> list[str]:
        """List the POSIX paths of all files, in byte order.

        Raises:
            DataError: A folder cannot be read, or a link leads back to a folder above it.
        """
        return in_byte_order(self._walk(self.root, "", ()), self.root)

    def has_file(self, path: str) -> bool:  # noqa: D102 - as in the base
        return (self.root / path).is_file()

    def read_file(self, path: str) -> bytes:  # noqa: D102 - as in the base
        try:
            return (self.root / path).read_bytes()
        except OSError as error:
            raise self._unreadable(path, error) from None

    def open_file(self, path: str) -> BinaryIO:  # noqa: D102 - as in the base
        try:
            return (self.root / path).open("rb")
        except OSError as error:
            raise self._unreadable(path, error) from None

    def file_stamp(self, path: str) -> str:  # noqa: D102 - as in the base
        try:
            state = (self.root / path).stat()
        except OSError as error:
            raise self._unreadable(path, error) from None
        return f"{state.st_size}:{state.st_mtime_ns}"

    def local_path(self, path: str) -> Path:  # noqa: D102 - as in the base
        return self.root / path

    def _walk(self, folder: Path, inside: str, above: tuple[str, ...]) -> Iterator[str]:
        real = os.path.realpath(folder)
        if real in above:
            raise DataError(
                f"{folder}: a link that leads back to {real}",
                "folders without loops",
                "Remove the link.",
            )
        try:
            folders = [(entry, entry.is_dir()) for entry in os.scandir(folder)]
        except OSError as error:
            raise self._unreadable(inside or ".", error) from None
        for entry, is_folder in folders:
            path = f"{inside}{entry.name}"
            if is_folder:
                yield from self._walk(Path(entry.path), f"{path}/", (*above, real))
            elif entry.is_file() or entry.is_symlink():  # a dead link fails when it is read
                yield path

    def _exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def _container_stamp(self, name: str) -> str:
        path = self.root / name
        inner = path / "data.mdb"
        return self.file_stamp(str(PurePosixPath(name) / "data.mdb") if inner.is_file() else name)

    def _unreadable(self, path: str, error: OSError) -> DataError:
        reason = error.strerror or str(error)
        return DataError(
            f"{self.root / path}: cannot be read ({reason})", "a readable file", "Check the rights."
        )
