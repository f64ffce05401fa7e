"""How hot loops are compiled and spread over threads.

A kernel releases the interpreter lock and writes only the rows it was given, so any number of
threads gives the same bits.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile `function` to machine code at first use; floating-point order stays as written."""
    return cast(Kernel, numba.njit(cache=True, nogil=True)(function))


def compiled_reduction(function: Kernel) -> Kernel:
    """Compile `function`, and let its sums be split over vector lanes.

    The order of addition is fixed at compilation, hence equal for every call on one machine.
    """
    flags = {"reassoc", "contract"}
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=flags)(function))


def thread_count() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_rows(kernel: Callable[..., Any], rows: int, *arguments: Any) -> None:
    """Call `kernel(start, stop, *arguments)` on consecutive shares of `rows` rows, in threads.

    Args:
        kernel: A compiled function that touches only its own rows of what it writes.
        rows: Number of rows to share out.
        arguments: Passed on unchanged.
    """
    threads = min(thread_count(), rows)
    if threads <= 1:
        kernel(0, rows, *arguments)
        return
    # more shares than threads, because rows differ in cost
    shares = min(rows, 4 * threads)
    bounds = [rows * share // shares for share in range(shares + 1)]
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(kernel, start, stop, *arguments) for start, stop in pairwise(bounds)]
    for job in jobs:
        job.result()
