"""Output streams while a command runs, and no process outlives the one that asked for it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import dvc
import psutil
import pytest

from flows.errors import FlowError
from flows.processes import ProcessGroups
from tests.unit.flows.tiny_project import TinyProject
from tests.unit.flows.watching import alive, wait_until

# a command with a child of its own, both deaf to nothing; it names them and then waits
NEST = "sleep 600 & echo $$ $!; wait"
STARTER = """\
import signal, sys
from pathlib import Path
from flows.processes import ProcessGroups

# shells without job control start what runs in the background deaf to it
signal.signal(signal.SIGINT, signal.default_int_handler)
with ProcessGroups(Path.cwd()) as groups:
    groups.run(["sh", "-c", sys.argv[1]], lambda line: print(line, flush=True))
"""


def gone(pids: list[int]) -> Callable[[], bool]:
    return lambda: not any(alive(pid) for pid in pids)


def test_the_exit_status_and_both_streams_come_back(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        code = groups.run(["sh", "-c", "pwd; echo oops >&2; exit 3"], lines.append)
    assert code == 3
    assert lines == [str(tmp_path), "oops"]


def test_lines_arrive_while_the_command_runs(tmp_path: Path) -> None:
    lines: list[str] = []

    def answer(line: str) -> None:
        lines.append(line)
        (tmp_path / "answer").touch()

    wait = "print('ready?'); import os, time\nwhile not os.path.exists('answer'): time.sleep(0.01)"
    with ProcessGroups(tmp_path) as groups:
        # it only ends because its first line, still unflushed by itself, has been heard
        assert groups.run([sys.executable, "-c", wait], answer) == 0
    assert lines == ["ready?"]


def test_what_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups, pytest.raises(TimeoutError):
        groups.run(["sh", "-c", NEST], lines.append, seconds=0.5)
    wait_until(gone([int(pid) for pid in lines[0].split()]))


def test_the_programs_beside_the_interpreter_come_first(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        groups.run(["sh", "-c", "command -v python"], lines.append)
    assert lines == [str(Path(sys.executable).with_name("python"))]


def test_a_command_killed_by_a_signal_has_a_high_status(tmp_path: Path) -> None:
    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["sh", "-c", "kill -9 $$"], print) == 128 + 9


def test_leaving_the_context_ends_the_whole_group(tmp_path: Path) -> None:
    heard: list[str] = []
    codes: list[int] = []
    with ProcessGroups(tmp_path) as groups:
        runner = threading.Thread(
            target=lambda: codes.append(groups.run(["sh", "-c", NEST], heard.append))
        )
        runner.start()
        wait_until(lambda: bool(heard))
    runner.join()
    assert codes != [0]
    wait_until(gone([int(pid) for pid in heard[0].split()]))


def test_nothing_starts_once_the_context_is_left(tmp_path: Path) -> None:
    with ProcessGroups(tmp_path) as groups:
        pass
    with pytest.raises(FlowError, match="the flow is ending"):
        groups.run(["true"], print)


def test_an_error_in_the_listener_ends_the_group(tmp_path: Path) -> None:
    heard: list[str] = []

    def fail(line: str) -> None:
        heard.append(line)
        raise KeyError(line)

    with ProcessGroups(tmp_path) as groups, pytest.raises(KeyError):
        groups.run(["sh", "-c", NEST], fail)
    wait_until(gone([int(pid) for pid in heard[0].split()]))


def test_a_child_of_a_killed_command_dies_with_it(tmp_path: Path) -> None:
    pids: list[int] = []

    def kill_the_parent(line: str) -> None:
        pids.extend(int(pid) for pid in line.split())
        os.kill(pids[0], signal.SIGKILL)

    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["sh", "-c", NEST], kill_the_parent) == 128 + 9
    wait_until(gone(pids))


def test_a_killed_supervisor_takes_its_group_along(tmp_path: Path) -> None:
    pids: list[int] = []

    def kill_the_leader(line: str) -> None:
        pids.extend(int(pid) for pid in line.split())
        os.kill(os.getpgid(pids[0]), signal.SIGKILL)

    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["sh", "-c", NEST], kill_the_leader) == -signal.SIGKILL
    wait_until(gone(pids))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_death_of_the_starter_ends_the_group(end: signal.Signals) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, NEST], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert starter.stdout is not None
    pids = [int(pid) for pid in starter.stdout.readline().split()]
    assert all(alive(pid) for pid in pids)
    starter.send_signal(end)
    starter.wait()
    starter.stdout.close()
    wait_until(gone(pids))


def test_a_command_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    deaf = "trap '' TERM; echo $$; while :; do sleep 0.1; done"
    heard: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        runner = threading.Thread(target=groups.run, args=(["sh", "-c", deaf], heard.append))
        runner.start()
        wait_until(lambda: bool(heard))
    runner.join()
    wait_until(gone([int(heard[0])]))


def supervisors() -> set[int]:
    """Return who supervises a DVC of this process; it has other children too, dead ones also."""
    children = [one for one in psutil.Process().children() if alive(one.pid)]
    return {one.pid for one in children if "waiting_dvc.py" in " ".join(one.cmdline())}


def test_the_next_dvc_waits_already_and_ends_with_the_context(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["dvc", "--version"], lines.append) == 0
        (waiting,) = supervisors()
        assert groups.run(["dvc", "--version"], lines.append) == 0
        assert waiting not in supervisors()  # it has been used
        assert groups.run(["dvc", "no-such-command"], lines.append) == 254
        (waiting,) = supervisors()
    assert lines[0] == lines[1] == dvc.__version__
    assert not alive(waiting)


def test_a_waiting_dvc_that_was_killed_is_replaced(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        groups.run(["dvc", "--version"], lines.append)
        (waiting,) = supervisors()
        os.kill(waiting, signal.SIGKILL)
        os.waitid(os.P_PID, waiting, os.WEXITED | os.WNOWAIT)
        assert groups.run(["dvc", "--version"], lines.append) == 0
    assert lines == [dvc.__version__] * 2


def test_dvc_replaces_its_locks_whole(tmp_path: Path) -> None:
    project = TinyProject(tmp_path).write()
    project.dvc("repro", "data@world")
    locks = [tmp_path / "dvc.lock", tmp_path / ".dvc/tmp/rwlock"]
    for lock in locks:
        lock.with_suffix(".before").hardlink_to(lock)
    before = [lock.read_text() for lock in locks]
    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["dvc", "repro", "-s", "train@one"], print) == 0
    assert [lock.with_suffix(".before").read_text() for lock in locks] == before
    assert "train@one" in locks[0].read_text()
    assert not any(lock.samefile(lock.with_suffix(".before")) for lock in locks)
    assert not list(tmp_path.rglob("*.part"))


def test_a_command_reads_nothing(tmp_path: Path) -> None:
    lines: list[str] = []
    with ProcessGroups(tmp_path) as groups:
        assert groups.run(["cat"], lines.append) == 0
    assert lines == []
