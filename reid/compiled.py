"""How hot loops are compiled and spread over threads.

A kernel releases the interpreter lock and writes only the rows it was given, so any number of
threads gives the same bits.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, TypeVar, cast

import numba
from threadpoolctl import ThreadpoolController

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
Task = TypeVar("Task")


def compiled(function: Kernel) -> Kernel:
    """Compile `function` to machine code at first use; floating-point order stays as written."""
    return cast(Kernel, numba.njit(cache=True, nogil=True)(function))


def compiled_elementwise(function: Kernel) -> Kernel:
    """Compile `function`, and let a product and the sum it goes into be one instruction.

    A division by zero gives infinity: the check for an error would stop vector instructions.
    """
    options = {"fastmath": {"contract"}, "error_model": "numpy"}
    return cast(Kernel, numba.njit(cache=True, nogil=True, **options)(function))


def compiled_reduction(function: Kernel) -> Kernel:
    """Compile `function`, and let its sums be split over vector lanes.

    The order of addition is fixed at compilation, hence equal for every call on one machine.
    Numbers that are compared must not be NaN.
    """
    flags = {"reassoc", "contract", "nnan", "nsz"}
    return cast(Kernel, numba.njit(cache=True, nogil=True, fastmath=flags)(function))


def thread_count() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_rows(
    kernel: Callable[..., Any], rows: int, *arguments: Any, threads: int | None = None
) -> None:
    """Call `kernel(start, stop, *arguments)` on consecutive shares of `rows` rows, in threads.

    Args:
        kernel: A compiled function that touches only its own rows of what it writes.
        rows: Number of rows to share out.
        arguments: Passed on unchanged.
        threads: At most so many; None for as many as there are cores.
    """
    threads = min(threads or thread_count(), rows)
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


def over_tasks(work: Callable[[Iterator[Task]], None], tasks: Sequence[Task]) -> None:
    """Call `work(iterator)` in each thread; together the calls see every task once.

    A thread keeps its buffers from task to task. Matrix products in it use one thread each, so
    that their rounding does not depend on the number of threads.

    Args:
        work: Takes tasks from the iterator until there are none.
        tasks: In the order in which they are handed out.
    """
    shared = iter(tasks)  # handing out from a sequence is atomic
    threads = min(thread_count(), len(tasks))
    with _controller().limit(limits=1, user_api="blas"):
        if threads <= 1:
            work(shared)
            return
        with ThreadPoolExecutor(threads) as pool:
            jobs = [pool.submit(work, shared) for _ in range(threads)]
    for job in jobs:
        job.result()


@cache
def _controller() -> ThreadpoolController:
    """Find the loaded BLAS libraries once; it takes milliseconds."""
    return ThreadpoolController()
