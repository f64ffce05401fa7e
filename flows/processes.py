"""Child processes that stream their output and never outlive the flow that started them."""

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from flows.environment import stage_environment
from flows.errors import FlowError
from flows.lines import LineSplitter

SUPERVISOR = Path(__file__).with_name("supervise.py")
WAITING_DVC = Path(__file__).with_name("waiting_dvc.py")
DVC = "dvc"
# how soon the end of a leader is seen whose output pipe somebody else keeps open
POLL_SECONDS = 0.5


class ProcessGroups:
    """Runs commands in process groups of their own; leaving the context ends those that still run.

    Safe to use from several threads. A group also ends when this process dies, by whatever signal,
    and when the leader of the group does. From the first command of DVC on, one DVC is kept that
    has started already and waits for its arguments.

    Args:
        folder: Working directory of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._waiting: subprocess.Popen[bytes] | None = None
        self._closed = False

    def __enter__(self) -> "ProcessGroups":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            for process in self._running:
                _end(process)
        if self._waiting is not None:
            _close(self._waiting)

    def run(
        self, command: Sequence[str], on_line: Callable[[str], None], seconds: float | None = None
    ) -> int:
        """Run `command`, hand over its output line by line while it runs, return its exit status.

        Args:
            command: Program and arguments; `dvc` is that of this interpreter.
            on_line: Called with every line.
            seconds: After how many its group is ended; None lets it run.

        Raises:
            FlowError: The context has been left.
            TimeoutError: It was ended after `seconds`.
        """
        process = self._begin(command)
        expired = threading.Event()
        limit = threading.Timer(seconds or 0, _expire, [process, expired])
        limit.daemon = True
        if seconds is not None:
            limit.start()
        try:
            for line in _lines(process):
                on_line(line)
            code = process.wait()
            if expired.is_set():
                raise TimeoutError
            return code
        finally:
            limit.cancel()
            self._end_and_forget(process)

    def _begin(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        if command[0] != DVC:
            process = self._start(command)
            _tell(process, "")
            return process
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.poll() is not None:  # somebody killed it
            self._end_and_forget(waiting)
            waiting = None
        process = waiting or self._start_dvc()
        _tell(process, json.dumps(command[1:]))
        with suppress(FlowError):  # of a flow that is ending
            self._keep(self._start_dvc())
        return process

    def _keep(self, waiting: subprocess.Popen[bytes]) -> None:
        with self._lock:
            other, self._waiting = self._waiting, waiting
        if other is not None:  # of a thread that began at the same time
            self._end_and_forget(other)

    def _end_and_forget(self, process: subprocess.Popen[bytes]) -> None:
        _close(process)
        with self._lock:
            self._running.discard(process)

    def _start_dvc(self) -> subprocess.Popen[bytes]:
        # not isolated, since DVC may lie in PYTHONPATH; but not among the modules of this package
        return self._start([sys.executable, "-P", str(WAITING_DVC)])

    def _start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise FlowError("the flow is ending", "a running flow", "Start it again.")
            process = subprocess.Popen(
                [sys.executable, "-I", str(SUPERVISOR), *command],
                cwd=self._folder,
                env=stage_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
            self._running.add(process)
        return process


def _expire(process: subprocess.Popen[bytes], expired: threading.Event) -> None:
    expired.set()
    _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipe that keeps the supervisor from ending its group."""
    if process.stdin is not None:
        process.stdin.close()


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    """Write the line that the supervisor hands to its command."""
    if process.stdin is not None:
        # it was killed, or the flow is ending: both are seen later
        with suppress(BrokenPipeError, ValueError):
            process.stdin.write(f"{line}\n".encode())


def _close(process: subprocess.Popen[bytes]) -> None:
    _end(process)
    process.wait()
    _kill_group(process)
    if process.stdout is not None:
        process.stdout.close()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the members that outlived the leader, for example the command of a killed `dvc`."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Yield the output of a group until its leader ends, even if a stranger keeps the pipe open."""
    if process.stdout is None:
        return
    splitter = LineSplitter()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            if ended:
                _kill_group(process)
            if selector.select(0 if ended else POLL_SECONDS):
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                yield from splitter.feed(chunk)
            elif ended:
                break
    yield from splitter.finish()
