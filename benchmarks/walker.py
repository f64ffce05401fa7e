"""The walk of a flow over the DVC graph against plain `dvc repro`, alternately.

Makes a DVC project of --stages small stages in a temporary folder and starts a Prefect server of
its own. Prints the wall time of both with nothing to do and with every stage to run, their ratio,
and what the flow takes beyond DVC: in all where everything is cached, for each stage where all run.
"""

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from flows.environment import DEFAULTS

ROOT = Path(__file__).parents[1]
CONFIG = "[core]\n    no_scm = true\n    analytics = false\n    check_update = false\n"
GRAPH = """\
stages:
  make:
    foreach: ${{numbers}}
    do:
      cmd: echo ${{item}} > out${{item}}
      deps: [seed]
      outs:
        - out${{item}}
vars:
  - numbers: {numbers}
"""
Run = Callable[[], None]


def make_project(folder: Path, stages: int) -> None:
    """Write a project whose stages all read one file."""
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text(CONFIG)
    (folder / "params").mkdir()
    (folder / "params/study.yaml").write_text("study: walker\n")
    (folder / "dvc.yaml").write_text(GRAPH.format(numbers=list(range(stages))))
    (folder / "seed").write_text("0")


@contextmanager
def prefect_server(home: Path) -> Iterator[dict[str, str]]:
    """Run a server for the time of the block; yield the environment of its flows."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        **DEFAULTS,
        "PATH": programs,
        "PYTHONPATH": str(ROOT),
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(home),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while not _is_up(url):
            time.sleep(0.2)
        yield environment
    finally:
        server.terminate()
        server.wait()


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


def seconds(run: Run) -> float:
    """Return the wall time of a run."""
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


def compare(title: str, change: Run, plain: Run, walk: Run, rounds: int, parts: int) -> None:
    """Time both alternately after a change each, and print their medians."""
    times: dict[str, list[float]] = {"plain": [], "walk": []}
    for _ in range(rounds):
        for name, run in (("plain", plain), ("walk", walk)):
            change()
            times[name].append(seconds(run))
    dvc, flow = statistics.median(times["plain"]), statistics.median(times["walk"])
    beyond = (flow - dvc) / parts
    unit = "s a stage" if parts > 1 else "s"
    print(
        f"{title:16} dvc repro {dvc:6.2f} s   flow {flow:6.2f} s   "
        f"ratio {flow / dvc:5.2f}   beyond it {beyond:5.2f} {unit}"
    )


def main() -> None:
    """Time and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, home = Path(scratch, "project"), Path(scratch, "prefect")
        folder.mkdir()
        home.mkdir()
        make_project(folder, given.stages)
        with prefect_server(home) as environment:

            def call(*command: str) -> None:
                subprocess.run(
                    [sys.executable, "-m", *command],
                    cwd=folder,
                    env=environment,
                    check=True,
                    capture_output=True,
                )

            def change() -> None:
                (folder / "seed").write_text(str(time.time_ns()))

            def plain() -> None:
                call("dvc", "repro")

            def walk() -> None:
                call("flows", "pipeline")

            plain()
            compare("nothing to do", lambda: None, plain, walk, given.rounds, 1)
            compare("all stages run", change, plain, walk, given.rounds, given.stages)


if __name__ == "__main__":
    main()
