"""How the trials are timed."""

import time
from collections.abc import Callable

import torch

REPEATS = 3
SLOW_SECONDS = 0.3


def devices() -> tuple[str, ...]:
    """Return the kinds of device to try."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def seconds(work: Callable[[], object], device: str = "cpu") -> float:
    """Return the seconds of one call."""
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def best_seconds(work: Callable[[], object], device: str = "cpu") -> float:
    """Return the least seconds of a few calls after one that does not count; of one if slow."""
    work()
    least = seconds(work, device)
    if least > SLOW_SECONDS:
        return least
    return min(least, *(seconds(work, device) for _ in range(REPEATS - 1)))


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
