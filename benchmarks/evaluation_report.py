"""Tables, acceptance bounds and the plot of `evaluation.py`."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from evaluation_codes import CODES, Task
from evaluation_measure import Comparison, Measured, version_of

_COLUMNS = f"{'':27}{'wall s':>13}{'CPU s':>8}{'peak GB':>9}{'mAP':>10}{'Rank-1':>8}"
# by scale: key of ours, key of the other, times as fast
_FASTER = {
    "market": [
        ("ours_rerank", "dense_as_published", 15),
        ("ours_rerank", "torchreid_rerank", 15),
        ("ours", "fastreid", 4),
    ]
}
# by scale: key, seconds (None: no bound), GB
_WITHIN: dict[str, list[tuple[str, float | None, float]]] = {
    "market": [("ours_rerank", None, 1.2)],
    "msmt17": [("ours_rerank", 90, 2)],
}
_AGREEMENT = [("dense", 1e-6), ("dense_rerank", 1e-4), ("dense_as_published", 1e-4)]


def median_wall(runs: Sequence[Measured]) -> float:
    """Return the median of the seconds."""
    return statistics.median(run.wall for run in runs)


def print_table(task: Task, found: Comparison) -> None:
    """Print the codes of a task, compared with ours."""
    print(f"\n{'metrics' if task == 'metrics' else 're-ranking 20/6/0.3 and metrics'}")
    print(f"{_COLUMNS}{'mAP - ours':>12}{'time / ours':>13}")
    for key, code in CODES.items():
        if code.task != task:
            continue
        if key in found.runs:
            print(_row(key, found))
        elif key in found.left_out:
            print(f"{code.name:27} {found.left_out[key]}")
    for key, code in CODES.items():
        if code.task == task and key in found.runs and code.differs:
            version = f" {version_of(code)}" if code.package else ""
            print(f"  {code.name}{version}: {code.differs}")


def _row(key: str, found: Comparison) -> str:
    runs, code = found.runs[key], CODES[key]
    walls = sorted(run.wall for run in runs)
    wall = f"{walls[0]:.2f}" + (f" - {walls[-1]:.2f}" if len(walls) > 1 else "")
    cpu = statistics.median(run.cpu for run in runs)
    last = runs[-1]
    rank1 = "" if last.rank1 is None else f"{last.rank1:.4f}"
    row = f"{code.name:27}{wall:>13}{cpu:>8.2f}{max(run.peak for run in runs):>9.2f}"
    row += f"{last.mAP:>10.6f}{rank1:>8}"
    ours = found.runs.get(code.compared_with)
    if ours is None or code.compared_with == key:
        return row
    ratio = median_wall(runs) / median_wall(ours)
    return f"{row}{last.mAP - ours[-1].mAP:>+12.1e}{ratio:>11.1f} x"


@dataclass(frozen=True)
class _Bound:
    """What is asked of `value` (None: not measured): at least or at most `bound`."""

    text: str
    value: float | None
    bound: float
    unit: str
    at_least: bool = False

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.text}: not measured"
        met = self.value >= self.bound if self.at_least else self.value <= self.bound
        return f"{self.text}: {self.value:.3g}{self.unit}, {'met' if met else 'NOT MET'}"


def print_bounds(scale: str, found: Comparison) -> None:
    """Print each bound of a scale beside what was measured."""
    print("\nbounds")
    for bound in (*_speed_bounds(scale, found), *_agreement_bounds(found)):
        print(f"  {bound}")


def _speed_bounds(scale: str, found: Comparison) -> Iterator[_Bound]:
    for ours, other, times in _FASTER.get(scale, []):
        text = f"{_name(ours)}: at least {times} x as fast as {CODES[other].name}"
        yield _Bound(text, _ratio(found, ours, other), times, " x", at_least=True)
    for key, seconds, gigabytes in _WITHIN.get(scale, []):
        runs = found.runs.get(key)
        wall, peak = (median_wall(runs), max(run.peak for run in runs)) if runs else (None, None)
        if seconds is not None:
            yield _Bound(f"{_name(key)}: at most {seconds:g} s", wall, seconds, " s")
        yield _Bound(f"{_name(key)}: at most {gigabytes:g} GB", peak, gigabytes, " GB")


def _agreement_bounds(found: Comparison) -> Iterator[_Bound]:
    for key, margin in _AGREEMENT:
        text = f"{_name(key)}: mAP within {margin:g} of ours"
        yield _Bound(text, _gap(found, key), margin, "")


def _name(key: str) -> str:
    return f"{CODES[key].name}, {'metrics' if CODES[key].task == 'metrics' else 're-ranking'}"


def _ratio(found: Comparison, ours: str, other: str) -> float | None:
    if ours not in found.runs or other not in found.runs:
        return None
    return median_wall(found.runs[other]) / median_wall(found.runs[ours])


def _gap(found: Comparison, key: str) -> float | None:
    ours = CODES[key].compared_with
    if ours not in found.runs or key not in found.runs:
        return None
    return abs(found.runs[key][-1].mAP - found.runs[ours][-1].mAP)


def fitted_exponent(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the slope of the line through log time over log size; 1 is proportional."""
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def plot_growth(curves: dict[str, tuple[list[int], list[float]]], file: Path) -> None:
    """Draw milliseconds for each query against gallery size, both logarithmic.

    Args:
        curves: Sizes and seconds for each query, by code.
        file: The picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for key, (sizes, seconds) in curves.items():
        label = CODES[key].name
        if len(sizes) > 1:
            label += f" (exponent {fitted_exponent(sizes, seconds):.2f})"
        axes.loglog(sizes, [1e3 * value for value in seconds], "o-", label=label)
    axes.set(xlabel="gallery images", ylabel="ms for each query", title="Exact metrics")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150)
