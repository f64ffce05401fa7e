"""Many runs side by side, each a process of its own: what the studies of several seeds share."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any


def run_side_by_side(
    task: Callable[..., None], common: tuple[Any, ...], calls: Sequence[tuple[Any, ...]], jobs: int
) -> None:
    """Call `task(*common, *call)` for every call, and say which one is done.

    Args:
        jobs: Processes at a time.
    """
    begun = time.monotonic()
    # a spawned process inherits no threads, and as many as asked for share the cores
    with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        waiting = {pool.submit(task, *common, *call): call for call in calls}
        for number, done in enumerate(as_completed(waiting), start=1):
            done.result()
            minutes = (time.monotonic() - begun) / 60
            print(f"{waiting[done]} done, {number}/{len(calls)}, {minutes:.1f} min", flush=True)


def spread(values: Sequence[float]) -> str:
    """Write mean and standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):5.1f} ± {deviation:.1f}"
