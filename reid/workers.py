"""Processes that work side by side, and end when the one that started them does."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context, parent_process


def worker_pool(workers: int) -> ProcessPoolExecutor:
    """Start processes for a `with` block.

    They are spawned, for a forked child would inherit the locks of threads that other libraries
    started. If this process is killed they end too; by themselves they would wait for ever.
    """
    return ProcessPoolExecutor(workers, get_context("spawn"), _end_with_parent)


def _end_with_parent() -> None:
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
