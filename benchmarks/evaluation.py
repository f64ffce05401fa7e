"""Metrics and k-reciprocal re-ranking: time, CPU time and peak memory at the size of public sets.

Baseline: whole matrices in NumPy (`evaluation_dense.py`), measured in turns with this engine; with
`--peers FOLDER` also packages from the registry (`evaluation_peers.py` says how to install them).
Each run has a fresh process; imports, reading of features and one run on a small set come before
the clock. Features are made here; rows have length 1. Linux only.

    python benchmarks/evaluation.py                              # Market-1501, about 4 minutes
    python benchmarks/evaluation.py --scale msmt17 --peers FOLDER
    python benchmarks/evaluation.py --scale growth --out FOLDER  # galleries up to a million
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from evaluation_codes import CODES
from evaluation_measure import Comparison, Place, compare, measure_here, write_warm_up
from evaluation_problem import SCALES, write_growing, write_problem
from evaluation_report import (
    fitted_exponent,
    median_wall,
    plot_growth,
    print_bounds,
    print_table,
)

from reid.retrieval.bootstrap import paired_bootstrap

SCRIPT = Path(__file__).resolve()
GROWTH_QUERIES = 256
GROWTH = (10_000, 30_000, 100_000, 300_000, 1_000_000)
RESAMPLED_QUERIES, RESAMPLES = 10_000, 1_000


def run_scale(scale: str, work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Compare all codes at one scale."""
    size = SCALES[scale]
    write_problem(work / scale, size)
    keys = [key for key, code in CODES.items() if options.only in (None, code.task)]
    place = Place(work, scale, size.queries, size.gallery)
    found = compare(SCRIPT, keys, place, options.peers, options.rounds, options.limit)
    print(f"\n== {scale}: {size.queries} queries x {size.gallery} gallery images, 768 columns")
    for task in ("metrics", "rerank"):
        if options.only in (None, task):
            print_table(task, found)
    print_bounds(scale, found)
    _print_once(found, options.rounds)
    return as_record(found)


def _print_once(found: Comparison, rounds: int) -> None:
    once = [CODES[key].name for key, runs in found.runs.items() if len(runs) < rounds]
    if once:
        print(f"  measured once of {rounds} rounds, because slow: {', '.join(once)}")


def run_growth(work: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Time metrics on ever larger galleries."""
    write_growing(work / "growth", GROWTH_QUERIES, GROWTH[-1])
    curves: dict[str, tuple[list[int], list[float]]] = {"ours": ([], []), "dense": ([], [])}
    cpu: dict[str, list[float]] = {key: [] for key in curves}
    records = {}
    print(f"\n== growth: {GROWTH_QUERIES} queries, milliseconds for each")
    for gallery in GROWTH:
        place = Place(work, "growth", GROWTH_QUERIES, gallery)
        found = compare(SCRIPT, list(curves), place, None, options.rounds, options.limit)
        records[str(gallery)] = as_record(found)
        shown = []
        for key, (sizes, seconds) in curves.items():
            if runs := found.runs.get(key):
                sizes.append(gallery)
                seconds.append(median_wall(runs) / GROWTH_QUERIES)
                cpu[key].append(statistics.median(run.cpu for run in runs))
                peak = max(run.peak for run in runs)
                shown.append(f"{CODES[key].name} {1e3 * seconds[-1]:9.3f} ms {peak:6.2f} GB")
            else:
                shown.append(f"{CODES[key].name} {found.left_out[key]}")
        print(f"{gallery:>9}  {'   '.join(shown)}", flush=True)
    for key, (sizes, seconds) in curves.items():
        if len(sizes) > 1:
            wall, work_done = fitted_exponent(sizes, seconds), fitted_exponent(sizes, cpu[key])
            text = f"to the power {wall:.2f}, CPU time to the power {work_done:.2f}"
            print(f"{CODES[key].name}: time grows with gallery size {text}")
    if options.out:
        plot_growth(curves, options.out / "growth.png")
    return records


def as_record(found: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON knows it."""
    runs = {key: [asdict(run) for run in runs] for key, runs in found.runs.items()}
    return {"runs": runs, "left_out": found.left_out}


def run_bootstrap(rounds: int) -> dict[str, Any]:
    """Time the paired bootstrap beside a loop over resamples, in turn."""
    draw = np.random.default_rng(0)
    first = draw.beta(3, 1, RESAMPLED_QUERIES)
    second = np.clip(first + draw.normal(0, 0.1, RESAMPLED_QUERIES), 0, 1)

    def ours() -> None:
        paired_bootstrap(first, second, seed=0, draws=RESAMPLES)

    def loop() -> None:
        _loop_bootstrap(first, second)

    seconds: dict[str, list[float]] = {"ours": [], "loop": []}
    for _ in range(rounds):
        for name, run in (("ours", ours), ("loop", loop)):
            seconds[name].append(_seconds(run))
    mine, theirs = (statistics.median(values) for values in seconds.values())
    print(f"\n== paired bootstrap, {RESAMPLED_QUERIES} queries x {RESAMPLES} resamples")
    print(f"this engine {mine:.3f} s, loop over resamples {theirs:.3f} s: {theirs / mine:.2f} x")
    return seconds


def _loop_bootstrap(
    first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the 95 % interval of the difference of means."""
    draw = np.random.default_rng(0)
    gaps = []
    for _ in range(RESAMPLES):
        rows = draw.choice(len(first), len(first))
        gaps.append(first[rows].mean() - second[rows].mean())
    interval: npt.NDArray[np.float64] = np.quantile(gaps, [0.025, 0.975])
    return interval


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--scale", choices=[*SCALES, "growth", "all"], default="market", help="all: but small")
    add("--only", choices=["metrics", "rerank"], help="one task")
    add("--rounds", type=int, default=2, help="runs of each code")
    add("--limit", type=float, default=300, help="seconds after which a code is stopped")
    add("--peers", type=Path, help="folder with packages to compare")
    add("--out", type=Path, help="folder for JSON and the plot")
    add("--bootstrap", action="store_true", help="time the paired bootstrap instead")
    add("--measure", nargs=4, metavar=("CODE", "ROOT", "SET", "GALLERY"), help="internal")
    return parser.parse_args()


def main() -> None:
    """Make the test sets, measure, print."""
    options = parse_arguments()
    if options.peers:
        # last, so that what the project has installed comes first
        sys.path.append(str(options.peers.resolve()))
    if options.measure:
        key, root, name, gallery = options.measure
        measure_here(key, Path(root), name, int(gallery))
        return
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{cores} cores, load {load:.1f} before the start, NumPy {np.__version__}")
    records: dict[str, Any] = {"cores": cores, "load": load}
    if options.bootstrap:
        records["bootstrap"] = run_bootstrap(options.rounds)
    else:
        scales = ["market", "msmt17", "growth"] if options.scale == "all" else [options.scale]
        for scale in scales:
            with tempfile.TemporaryDirectory() as folder:
                write_warm_up(Path(folder))
                run = (
                    run_growth(Path(folder), options)
                    if scale == "growth"
                    else run_scale(scale, Path(folder), options)
                )
                records[scale] = run
    if options.out:
        (options.out / "evaluation.json").write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
