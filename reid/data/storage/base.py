"""What every storage can do, and how paths name a member of a container."""

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from reid.errors import DataError

_CONTAINER = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<name>[^#]+)#(?P<member>.+)", re.DOTALL)


class Container(Protocol):
    """A file or folder inside a data set that holds many images.

    One object serves several threads, and a forked process may go on with it.
    """

    def members(self) -> Iterator[str]:
        """Names of the images, in byte order."""

    def read(self, member: str) -> bytes:
        """The bytes of an image file; `KeyError` if there is none of that name."""


class Storage(ABC):
    """The files below one root.

    One object serves several threads; pickled, it opens the root anew.

    Args:
        root: Folder or archive.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._containers: dict[str, Container] = {}
        self._stamps: dict[str, str] = {}
        self._opening = threading.Lock()  # a database must not be opened twice in a process

    def __getstate__(self) -> dict[str, Path]:
        return {"root": self.root}

    def __setstate__(self, state: dict[str, Path]) -> None:
        type(self).__init__(self, state["root"])

    @abstractmethod
    def files(self) -> list[str]:
        """List the POSIX paths of all files, in byte order."""

    @abstractmethod
    def has_file(self, path: str) -> bool:
        """Tell whether there is such a file."""

    @abstractmethod
    def read_file(self, path: str) -> bytes:
        """Read a file that is there.

        Raises:
            DataError: It cannot be read.
        """

    @abstractmethod
    def open_file(self, path: str) -> BinaryIO:
        """Open a file for random access.

        Raises:
            DataError: It cannot be read.
        """

    @abstractmethod
    def file_stamp(self, path: str) -> str:
        """Describe the state of a file in a word that changes when its content does."""

    def local_path(self, path: str) -> Path:
        """Say where a file lies on the disk, for libraries that open files themselves.

        Raises:
            DataError: The root is an archive.
        """
        raise DataError(
            f"{self.root}: {path} lies inside an archive",
            "a folder, for a data set that comes as a database",
            "Unpack the archive and point to the folder.",
        )

    def read(self, path: str) -> bytes:
        """Read an image, by its path or as the member of a container.

        Raises:
            DataError: There is no such file, or it cannot be read.
        """
        match = _CONTAINER.fullmatch(path)
        if match is None:
            if not self.has_file(path):
                raise self.missing(path)
            return self.read_file(path)
        try:
            return self.container(match["scheme"], match["name"]).read(match["member"])
        except KeyError:
            raise self.missing(path) from None

    def has(self, path: str) -> bool:
        """Tell whether `read` finds the file; the member of a container is taken on trust."""
        match = _CONTAINER.fullmatch(path)
        return self._exists(match["name"]) if match else self.has_file(path)

    def stamp(self, path: str) -> str:
        """Describe the state of a file, or that of the container of a member at the first call."""
        match = _CONTAINER.fullmatch(path)
        if match is None:
            return self.file_stamp(path)
        name = match["name"]
        if name not in self._stamps:  # asked for once per member
            self._stamps[name] = self._container_stamp(name)
        return self._stamps[name]

    def container(self, scheme: str, name: str) -> Container:
        """Open a container by its kind and its path; it stays open.

        Raises:
            DataError: It cannot be read, or there is no such kind of container.
        """
        key = f"{scheme}://{name}"
        if key not in self._containers:
            from reid.data.storage.containers import open_container

            with self._opening:
                if key not in self._containers:
                    self._containers[key] = open_container(scheme, self, name)
        return self._containers[key]

    def read_text(self, path: str) -> str:
        """Read a list file, with or without a byte order mark.

        Raises:
            DataError: It is missing, or is not UTF-8 text.
        """
        try:
            return self.read(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DataError(
                f"{self.root}: {path} is not UTF-8 text", "a text file", "Restore the file."
            ) from None

    def missing(self, path: str) -> DataError:
        """Say that a file is not there."""
        return DataError(f"{self.root}: no file {path}", "the file", "Restore the data set.")

    def _exists(self, name: str) -> bool:
        return self.has_file(name)

    def _container_stamp(self, name: str) -> str:
        return self.file_stamp(name)


def container_path(scheme: str, name: str, member: str) -> str:
    """Name a member of a container as the manifest does."""
    return f"{scheme}://{name}#{member}"


def in_byte_order(paths: Iterable[str], root: Path) -> list[str]:
    """Sort paths by their UTF-8 bytes, which is the order of code points.

    Raises:
        DataError: The name of a file is not UTF-8.
    """
    ordered = sorted(paths)
    for path in ordered:
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = path.encode("utf-8", "backslashreplace").decode()
            raise DataError(
                f"{root}: the name '{shown}' is not UTF-8", "UTF-8 names", "Rename the file."
            ) from None
    return ordered
