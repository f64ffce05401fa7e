"""DVC that waits for its arguments: `python -P waiting_dvc.py`, then a line of JSON on its input.

To import DVC takes longer than many a command of it, so flows do that while another stage runs.
The end of input without a line ends it.
"""

import json
import os
import sys

from dvc.cli import main as dvc

# what `dvc repro` and `dvc push` import when they start, and later
from dvc.cli import parser  # noqa: F401
from dvc.commands import data_sync, repro  # noqa: F401
from dvc.repo import reproduce  # noqa: F401
from dvc.stage import cache, run  # noqa: F401


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
    return int(dvc(arguments))


if __name__ == "__main__":
    sys.exit(main())
