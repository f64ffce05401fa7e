"""Speed of the selective scan on the CPU against the plain loop with autograd.

All are run in turn, forwards alone and forwards and backwards, in float32 with skip, gate and bias.
The plain loop, `reference`, is the baseline; ratios are of medians. Then the fast ones once more
while another process keeps one core busy: with two threads on two cores 1.0 is no slow-down and
2.0 that of an evenly shared core for the whole call.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context

import torch
from torch import Tensor

from reid.nn.scan.backends import Backend
from reid.nn.scan.selective import selective_scan

BASELINE: Backend = "reference"
FAST: tuple[Backend, ...] = ("torch", "native")
PASSES = ("forward", "forward + backward")


def inputs(batch: int, channels: int, states: int, steps: int) -> list[Tensor]:
    """Return u, delta, A, B, C, D, z and the bias of delta."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    u, delta, z = (draw(batch, channels, steps) for _ in range(3))
    mixing = [draw(batch, states, steps) for _ in range(2)]
    rates = -torch.arange(1.0, states + 1).repeat(channels, 1)
    given = [u, delta - 3, rates, *mixing, draw(channels), z, draw(channels)]
    return [x.requires_grad_() for x in given]


def forward(given: list[Tensor], backend: Backend) -> None:
    """Run the scan as in inference."""
    with torch.no_grad():
        selective_scan(*given, backend=backend)


def forward_backward(given: list[Tensor], backend: Backend) -> None:
    """Run the scan as in training."""
    out, _ = selective_scan(*given, backend=backend)
    out.backward(torch.ones_like(out))


def milliseconds(work: Callable[[list[Tensor], Backend], None], *arguments: object) -> float:
    """Time one call."""
    begun = time.perf_counter()
    work(*arguments)  # type: ignore[arg-type]
    return 1000 * (time.perf_counter() - begun)


def medians(given: list[Tensor], backends: tuple[Backend, ...], rounds: int) -> list[list[float]]:
    """Return the median milliseconds of both passes of each backend, run in turn."""
    calls = [(work, backend) for backend in backends for work in (forward, forward_backward)]
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for (work, backend), found in zip(calls, times, strict=True):
            found.append(milliseconds(work, given, backend))
    flat = [statistics.median(found) for found in times]
    return [flat[i : i + 2] for i in range(0, len(flat), 2)]


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy."""
    process = get_context("spawn").Process(target=_spin, daemon=True)
    process.start()
    time.sleep(2)  # until it has started
    try:
        yield
    finally:
        process.kill()
        process.join()


def print_ratios(data: list[Tensor], rounds: int) -> None:
    """Run all in turn; print milliseconds and ratios to the baseline."""
    base, *fast = medians(data, (BASELINE, *FAST), rounds)
    print(
        f"{BASELINE:10}" + "".join(f"  {p} {t:8.1f} ms" for p, t in zip(PASSES, base, strict=True))
    )
    for backend, found in zip(FAST, fast, strict=True):
        parts = (
            f"  {name} {t:8.1f} ms ({b / t:5.1f} x)"
            for name, t, b in zip(PASSES, found, base, strict=True)
        )
        print(f"{backend:10}" + "".join(parts))


def print_slowdown(data: list[Tensor], rounds: int) -> None:
    """Print how much slower all is beside a busy core, and a matrix product for comparison."""
    quiet, product = medians(data, FAST, rounds), product_milliseconds(rounds)
    with busy_core():
        shared, slow_product = medians(data, FAST, rounds), product_milliseconds(rounds)
    for backend, alone, beside in zip(FAST, quiet, shared, strict=True):
        slower = (f"{name} {b / a:.2f}" for name, a, b in zip(PASSES, alone, beside, strict=True))
        print(f"{backend:10}  slower by a factor beside a busy core: {', '.join(slower)}")
    print(f"a matrix product of torch, likewise: {slow_product / product:.2f}")


def product_milliseconds(rounds: int) -> float:
    """Return the median time of a matrix product of ordinary size."""
    matrix = torch.randn(1024, 1024)
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        torch.mm(matrix, matrix)
        found.append(1000 * (time.perf_counter() - begun))
    return statistics.median(found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--channels", type=int, default=768)
    parser.add_argument("--states", type=int, default=16)
    parser.add_argument("--steps", type=int, default=140)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5, help="each of 10 to 40 seconds (5)")
    parser.add_argument("--busy-only", action="store_true", help="leave the baseline out")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    data = inputs(given.batch, given.channels, given.states, given.steps)
    medians(data, FAST, 1)  # compiles
    shape = f"B={given.batch} E={given.channels} N={given.states} L={given.steps}"
    print(f"{shape}, {given.threads} threads, median of {given.rounds}")
    if not given.busy_only:
        print_ratios(data, given.rounds)
    print_slowdown(data, 4 * given.rounds)


if __name__ == "__main__":
    main()
