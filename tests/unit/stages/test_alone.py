"""A stage runs once at a time, and dies with the DVC that started it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import reid
from reid.cli import main
from reid.errors import ParamsError
from reid.stages.alone import one_at_a_time
from tests.unit.flows.watching import alive, wait_until

HOLDER = """\
import sys
from reid.stages.alone import end_with_dvc, one_at_a_time

end_with_dvc()
with one_at_a_time("embed@bot"):
    print("ready", flush=True)
    sys.stdin.read()
"""
# stands for DVC: starts the command of a stage and waits
STARTER = """\
import os, subprocess, sys
os.environ["DVC_STAGE"] = "embed@bot"
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(reid.__file__).parents[1]))
    return tmp_path


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with start(HOLDER) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_a_second_process_is_refused(holder: subprocess.Popen[str]) -> None:
    with pytest.raises(ParamsError, match=r"another process is at embed@bot; .*one at a time"):
        one_at_a_time("embed@bot").__enter__()
    with one_at_a_time("train@idkl"):
        pass


def test_below_dvc_one_that_is_just_ending_is_waited_for(
    holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STAGE", "embed@bot")
    threading.Timer(0.5, holder.kill).start()
    with one_at_a_time("embed@bot"):
        holder.wait(10)


def test_the_command_line_holds_the_stage_that_it_is(
    holder: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["embed", "bot"]) == 3
    assert "error: another process is at embed@bot" in capsys.readouterr().err


def test_the_hold_ends_with_its_process(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with one_at_a_time("embed@bot"):
        pass


def test_what_a_stage_starts_may_work_for_it(folder: Path) -> None:
    with one_at_a_time("embed@bot"), start(HOLDER) as part:
        assert part.communicate("")[0] == "ready\n"


def test_the_command_of_a_killed_dvc_dies_too(folder: Path) -> None:
    with start(STARTER, HOLDER) as dvc:
        assert dvc.stdout is not None
        command = int(dvc.stdout.readline())
        assert dvc.stdout.readline() == "ready\n"
        os.kill(dvc.pid, signal.SIGKILL)
        wait_until(lambda: not alive(command))
    with one_at_a_time("embed@bot"):
        pass
