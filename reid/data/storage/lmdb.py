"""Images in an LMDB database, as LUPerson is handed out."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from reid.errors import DataError


class LmdbImages:
    """The values of a database, read only and without a lock file.

    An environment must not cross a fork, so each process opens its own at the first read.

    Args:
        path: Folder that holds `data.mdb`, or the database file itself.

    Raises:
        DataError: There is no database, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _OPENING:
            key = os.path.realpath(path)
            self._database = _DATABASES.get(key) or _DATABASES.setdefault(key, _Database(path))
        self._database.environment()

    def members(self) -> Iterator[str]:
        """Keys in byte order.

        Raises:
            DataError: A key is not text, so that no path can name it.
        """
        with self._database.environment().begin() as transaction:
            for key in transaction.cursor().iternext(values=False):
                try:
                    yield key.decode()
                except UnicodeDecodeError:
                    raise _damaged(self._path, f"key {key!r} is not UTF-8") from None

    def read(self, member: str) -> bytes:
        """The value of a key; `KeyError` if there is none."""
        import lmdb

        with self._database.environment().begin() as transaction:
            try:
                value = transaction.get(member.encode())
            except lmdb.BadValsizeError:  # longer than the keys of any database
                value = None
        if value is None:
            raise KeyError(member)
        return bytes(value)


class _Database:
    """The one environment that a process may have of a database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._environment: Any = None
        self._process: int | None = None

    def environment(self) -> Any:
        """The environment of this process, opened at the first call."""
        if self._process != os.getpid():
            with _OPENING:
                if self._process != os.getpid():
                    self._open()
        return self._environment

    def _open(self) -> None:
        if self._environment is not None:
            self._environment.close()  # inherited; the parent goes on with its own
        self._environment = _open(self._path)
        self._process = os.getpid()


_OPENING = threading.Lock()
_DATABASES: WeakValueDictionary[str, _Database] = WeakValueDictionary()


def _open(path: Path) -> Any:
    import lmdb

    try:
        environment: Any = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False
        )
    except lmdb.Error as error:
        raise _damaged(path, error) from None
    # reading a page beyond the end of the file would kill the process
    needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    size = (path / "data.mdb" if path.is_dir() else path).stat().st_size
    if size < needed:
        environment.close()
        raise _damaged(path, f"{size} bytes of {needed}")
    return environment


def _damaged(path: Path, reason: object) -> DataError:
    return DataError(f"{path}: no LMDB database ({reason})", "data.mdb", "Copy the database again.")
