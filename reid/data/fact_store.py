"""A memory of files already opened, so that a second index opens only those that changed."""

import errno
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from reid.data.inspection import FileFacts
from reid.errors import DataError

_VERSION = 1
"""Raised when `inspect_image` would say something else of the same file."""

_CREATE = """
CREATE TABLE IF NOT EXISTS facts (
    path TEXT PRIMARY KEY, stamp TEXT, size INTEGER, sha256 BLOB,
    width INTEGER, height INTEGER, mode TEXT, phash BLOB
) WITHOUT ROWID
"""
_REPLACE = "REPLACE INTO facts VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


class FactStore:
    """Facts of files by path, in one SQLite file that a killed process leaves usable.

    Args:
        path: The file; it is made if it is not there, and made anew if it is damaged.

    Raises:
        DataError: Another process writes to it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        try:
            self._open()
        except sqlite3.OperationalError as error:
            raise self._trouble(error) from None
        except sqlite3.DatabaseError:
            path.unlink()  # damaged; it holds nothing that opening the images does not tell again
            self._open()

    def __enter__(self) -> "FactStore":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def _open(self) -> None:
        self._database = sqlite3.connect(self._path)
        if self._database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            self._database.execute("DROP TABLE IF EXISTS facts")
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        self._database.execute(_CREATE)
        # what a crash of the machine loses is only work
        self._database.execute("PRAGMA synchronous = OFF")

    def save(self, items: Iterable[tuple[str, str, FileFacts]]) -> None:
        """Keep the facts of some files, each with its path and the stamp of its state."""
        rows = [
            (path, stamp, f.size, f.sha256, f.width, f.height, f.mode, _to_blob(f.phash64))
            for path, stamp, f in items
        ]
        try:
            with self._database:
                self._database.executemany(_REPLACE, rows)
        except sqlite3.OperationalError as error:
            raise self._trouble(error) from None

    def load(self, paths: Sequence[str]) -> dict[str, tuple[str, FileFacts]]:
        """Look up files.

        Args:
            paths: In byte order: they are read in one go, with what lies between them.

        Returns:
            Stamp and facts of those that are known, by path.
        """
        if not paths:
            return {}
        found = self._database.execute(
            "SELECT * FROM facts WHERE path BETWEEN ? AND ?", (paths[0], paths[-1])
        )
        return {
            path: (stamp, FileFacts(size, digest, width, height, mode, _from_blob(phash)))
            for path, stamp, size, digest, width, height, mode, phash in found
        }

    def _trouble(self, error: sqlite3.OperationalError) -> Exception:
        if "locked" in str(error):
            return DataError(
                f"{self._path}: in use by another process",
                "one command that indexes a dataset at a time",
                "Wait for the other one.",
            )
        return OSError(errno.ENOSPC, str(error), str(self._path))

    def broken(self) -> set[str]:
        """Paths of all files that do not decode."""
        rows = self._database.execute("SELECT path FROM facts WHERE phash IS NULL")
        return {path for (path,) in rows}


def _to_blob(number: int | None) -> bytes | None:
    """Write 64 bits without a sign, which SQLite's integers do not hold."""
    return None if number is None else number.to_bytes(8, "big")


def _from_blob(blob: bytes | None) -> int | None:
    return None if blob is None else int.from_bytes(blob, "big")
