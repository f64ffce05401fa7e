"""One measurement in a process of its own, so that time and peak memory belong to one code."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import evaluation_dense as dense
from evaluation_codes import CODES, Code
from evaluation_problem import WARM_UP, Outcome, read_problem, write_problem

_SLOW = 20.0


@dataclass(frozen=True)
class Measured:
    """One run.

    Args:
        wall: Seconds.
        cpu: Seconds of all threads.
        peak: Largest resident memory of the process in GB (10^9 bytes).
        start: The same before the clock started: imports, features, one run on a small set.
        mAP: As the code computes it.
        rank1: As the code computes it, None where it does not.
    """

    wall: float
    cpu: float
    peak: float
    start: float
    mAP: float  # noqa: N815 - the name in every paper
    rank1: float | None


@dataclass(frozen=True)
class Place:
    """Where a test set lies, and how much of it is used.

    Args:
        root: Folder with the test sets.
        name: Name of the test set.
        queries: Number of queries.
        gallery: Gallery images used, the first of it.
    """

    root: Path
    name: str
    queries: int
    gallery: int


def write_warm_up(root: Path) -> None:
    """Write the small set on which each code runs once before it is measured."""
    write_problem(root / "warm_up", WARM_UP)


def measure_here(key: str, root: Path, name: str, gallery: int) -> None:
    """Run a code in this process and print what was measured as the last line."""
    code = CODES[key]
    code.run(read_problem(root / "warm_up"))
    problem = read_problem(root / name, gallery)
    start = _peak()
    wall, cpu = time.perf_counter(), time.process_time()
    found = code.run(problem)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = _peak()
    outcome = found if isinstance(found, Outcome) else dense.score(found, problem)
    print(json.dumps(asdict(Measured(wall, cpu, peak, start, outcome.mAP, outcome.rank1))))


def measure(script: Path, key: str, place: Place, peers: Path | None, limit: float) -> Measured:
    """Run a code in a fresh process.

    Raises:
        RuntimeError: It failed or took longer than `limit` seconds; the message says why.
    """
    command = [sys.executable, "-W", "ignore", str(script), "--measure", key]
    command += [str(place.root), place.name, str(place.gallery)]
    command += ["--peers", str(peers)] if peers else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"not done after {limit:.0f} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise RuntimeError(f"failed: {lines[-1][:150]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True)
class Comparison:
    """Runs of all codes on one test set.

    Args:
        runs: Of each code that ran.
        left_out: Why, of each code that did not.
    """

    runs: dict[str, list[Measured]]
    left_out: dict[str, str]


def compare(
    script: Path, keys: Iterable[str], place: Place, peers: Path | None, rounds: int, limit: float
) -> Comparison:
    """Run the codes in turn, `rounds` times; a slow code that is not ours runs once."""
    runs: dict[str, list[Measured]] = {}
    left_out = {key: why for key in keys if (why := reason_to_leave_out(CODES[key], place))}
    for _ in range(rounds):
        for key in keys:
            slow = key in runs and runs[key][0].wall > _SLOW and CODES[key].compared_with != key
            if key in left_out or slow:
                continue
            print(f"... {CODES[key].name}, {CODES[key].task}", file=sys.stderr, flush=True)
            try:
                runs.setdefault(key, []).append(measure(script, key, place, peers, limit))
            except RuntimeError as error:
                left_out[key] = str(error)
                runs.pop(key, None)
    return Comparison({key: found for key, found in runs.items() if found}, left_out)


def reason_to_leave_out(code: Code, place: Place) -> str:
    """Return why a code cannot run here, or nothing."""
    if code.package and version_of(code) is None:
        return f"not installed (pip install {code.package})"
    images = place.queries + place.gallery
    needed = code.pair_bytes * place.queries * place.gallery + code.square_bytes * images**2
    free = _memory("/proc/meminfo", "MemAvailable")
    if needed > 0.9 * free:
        return f"left out: needs about {needed / 1e9:.0f} GB, {free / 1e9:.0f} GB are free"
    return ""


def version_of(code: Code) -> str | None:
    """Return the version of a code's package, None where it is not installed."""
    try:
        return metadata.version(code.package)
    except metadata.PackageNotFoundError:
        return None


def _peak() -> float:
    # of this process alone, unlike what getrusage gives after a fork
    return _memory("/proc/self/status", "VmHWM") / 1e9


def _memory(file: str, name: str) -> int:
    """Return a field of a file of the Linux kernel in bytes."""
    for line in Path(file).read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{file} has no {name}")
