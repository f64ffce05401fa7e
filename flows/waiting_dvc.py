"""DVC that waits for its arguments: `python -P waiting_dvc.py`, then a line of JSON on its input.

To import DVC takes longer than many a command of it, so flows do that while another stage runs.
The end of input without a line ends it. Started in the project's folder.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any

from dvc.cli import main as dvc

# what `dvc repro` and `dvc push` import when they start, and later
from dvc.cli import parser  # noqa: F401
from dvc.commands import data_sync, repro  # noqa: F401
from dvc.fs import LocalFileSystem
from dvc.repo import reproduce  # noqa: F401
from dvc.stage import cache, run  # noqa: F401

Opened = AbstractContextManager[IO[Any]]
SCRATCH = Path(".dvc/tmp")


def main() -> int:
    """Run DVC with the arguments that come, and return its exit status."""
    line = sys.stdin.readline()
    if not line:
        return 0
    arguments = json.loads(line)
    # stages have no input of ours
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
    # what DVC names in its locks
    sys.argv = ["dvc", *arguments]
    replace_locks_whole()
    return int(dvc(arguments))


def replace_locks_whole() -> None:
    """Let DVC write `dvc.lock` and its list of busy files beside their place, then rename them.

    By itself it empties them first, and what is killed in between leaves a project that DVC cannot
    read.
    """
    plain = LocalFileSystem.open

    @contextmanager
    def whole(fs: LocalFileSystem, path: str, mode: str, **options: Any) -> Iterator[IO[Any]]:
        part = SCRATCH / f"{Path(path).name}.part"
        with plain(fs, str(part), mode, **options) as file:
            yield file
        part.replace(path)

    def opened(fs: LocalFileSystem, path: str, mode: str = "r", **options: Any) -> Opened:
        if "w" in mode and Path(path).name in ("dvc.lock", "rwlock"):
            return whole(fs, path, mode, **options)
        file: Opened = plain(fs, path, mode, **options)
        return file

    LocalFileSystem.open = opened


if __name__ == "__main__":
    sys.exit(main())
