"""The active study stays the same while a flow runs on it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from flows.errors import FlowError

ACTIVE = "params/study.yaml"
STORED = "params/studies"
LOCK = ".dvc/tmp/active_study.lock"


class ActiveStudy:
    """Shared hold on the active study of a project; flows on the same study run side by side.

    The hold ends with the process, however it ends.

    Raises:
        FlowError: On entry: another flow is just switching the study.
    """

    def __init__(self, project: Path) -> None:
        self._project = project

    def __enter__(self) -> "ActiveStudy":
        path = self._project / LOCK
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        self._hold(fcntl.LOCK_SH)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def is_unchanged(self, name: str) -> bool:
        """Whether the study `name`, as it is stored, is the active one already."""
        active, stored = self._project / ACTIVE, self._project / STORED / f"{name}.yaml"
        return active.is_file() and stored.is_file() and active.read_bytes() == stored.read_bytes()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the study alone, so that it may be switched.

        Raises:
            FlowError: Another flow runs on the active study.
        """
        self._hold(fcntl.LOCK_EX)
        yield
        self._hold(fcntl.LOCK_SH)

    def _hold(self, kind: int) -> None:
        try:
            fcntl.flock(self._file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FlowError(
                f"another flow runs in {self._project} on another study",
                "one study at a time",
                "Wait for its end, or use a second copy of the project. A worker that is started "
                "with `--limit 1` keeps flows in line.",
            ) from None
