"""Speed of the pair scoring engine against the plain formulation in torch, block by block.

All are run in turn, and ratios are of medians. The plain formulation compares a block of queries
with a block of gallery images at once; `fc1` projects both again in every block, as the published
code does, and `cached` is given projections, as the engine is. Two matrix products stand beside
them: one of the shape that the engine makes, on a core each, and a large one.

    python benchmarks/pair_scoring.py                 # the published size, about 3 minutes
    python benchmarks/pair_scoring.py --size small
"""

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reid.retrieval import maximum_matching
from reid.retrieval.maximum_matching import MaximumMatching
from reid.retrieval.pair_scorer import MatchingLayer

# layers, cells, width, width of the head
SIZES = {"published": (3, 192, 512, 2048), "small": (2, 32, 64, 128)}
LARGE = (1536, 512, 3072)


@dataclass(frozen=True)
class Problem:
    """Random weights and images; rows hold projections, `maps` what is projected."""

    layers: list[MatchingLayer]
    shape: tuple[int, int, int]
    fc1: list[tuple[Tensor, Tensor]]
    queries: Tensor
    gallery: Tensor

    @property
    def pairs(self) -> int:
        """How many pairs are scored."""
        return len(self.queries) * len(self.gallery)


def make_problem(size: str, queries: int, gallery: int) -> Problem:
    """Draw weights and images."""
    count, cells, width, hidden = SIZES[size]
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    layers = [
        MatchingLayer(
            torch.sigmoid(normal(cells, cells)).numpy(),
            (normal(hidden, cells) / cells**0.5).numpy(),
            normal(hidden).numpy(),
            (normal(hidden) / hidden**0.5).numpy(),
        )
        for _ in range(count)
    ]
    fc1 = [(normal(width, width) / width**0.5, normal(width)) for _ in range(count)]
    sides = (normal(n, count, cells, width) / width**0.25 for n in (queries, gallery))
    return Problem(layers, (count, cells, width), fc1, *sides)


def plain(problem: Problem, block: int, projects: bool) -> Tensor:
    """Score all pairs as the definition reads, one block at a time."""
    scores = torch.zeros(len(problem.queries), len(problem.gallery))
    for q in range(0, len(problem.queries), block):
        for g in range(0, len(problem.gallery), block):
            mine, others = problem.queries[q : q + block], problem.gallery[g : g + block]
            part = scores[q : q + block, g : g + block]
            for number in range(len(problem.layers)):
                part += plain_layer(problem, number, mine[:, number], others[:, number], projects)
    return scores


def plain_layer(
    problem: Problem, number: int, mine: Tensor, others: Tensor, projects: bool
) -> Tensor:
    """Return the scores of a block in one layer."""
    layer = problem.layers[number]
    if projects:
        mine, others = (torch.nn.functional.linear(x, *problem.fc1[number]) for x in (mine, others))
    similarities = torch.einsum("gsd,qtd->qgst", others, mine) * torch.from_numpy(layer.prior)
    rows = torch.cat([similarities.amax(dim=2), similarities.amax(dim=3)])
    bias = torch.from_numpy(layer.head_bias)
    hidden = torch.relu(rows @ torch.from_numpy(layer.head_weight).T + bias)
    both: Tensor = hidden @ torch.from_numpy(layer.output_weight)
    return both.view(2, len(mine), len(others)).sum(dim=0)


def multiply(shape: tuple[int, int, int], times: int, threads: int) -> None:
    """Multiply matrices of one shape, each on one core, as the engine does."""

    def work(count: int) -> None:
        rows, inner, columns = shape
        first, second = torch.ones(rows, inner), torch.ones(columns, inner)
        out = torch.empty(rows, columns)
        for _ in range(count):
            torch.mm(first, second.T, out=out)

    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(work, [times // threads] * threads))
    torch.set_num_threads(threads)


def contenders(problem: Problem, threads: int) -> dict[str, tuple[Callable[[], object], float]]:
    """Return what is run, with its floating-point operations; the baseline comes first."""
    _, cells, width = problem.shape
    rows = [x.flatten(1).numpy() for x in (problem.queries, problem.gallery)]
    engines = {
        name: MaximumMatching(problem.layers, width, 0.0, symmetric=False, precision=name)
        for name in ("fp32", "bf16")
    }
    work = problem.pairs * engines["fp32"].flops
    found: dict[str, tuple[Callable[[], object], float]] = {
        f"plain, {how}, block {block}": (partial(plain, problem, block, how == "fc1"), work)
        for how in ("fc1", "cached")
        for block in (16, 32)
    }
    for name, engine in engines.items():
        found[f"engine {name}"] = (partial(engine.scores, *rows), work)
    group = maximum_matching.group_size(cells)
    for what, shape in (("engine", (group * cells, width, cells)), ("large", LARGE)):
        flops = 2 * float(np.prod(shape))
        times = threads * max(1, round(work / 4 / flops / threads))
        found[f"product, {what} shape"] = (partial(multiply, shape, times, threads), times * flops)
    return found


def measure(runs: dict[str, tuple[Callable[[], object], float]], rounds: int) -> dict[str, float]:
    """Return the median GFLOP/s of each, run in turn after one round that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, (run, flops) in runs.items():
            started = time.perf_counter()
            run()
            if number:
                rates[name].append(flops / (time.perf_counter() - started) / 1e9)
    return {name: statistics.median(values) for name, values in rates.items()}


def extra_memory(problem: Problem) -> float:
    """Return by how many MB scoring all raises the peak of this process, once compiled."""
    tiny = make_problem("small", 1, 1)
    rows = [x.flatten(1).numpy() for x in (tiny.queries, tiny.gallery)]
    MaximumMatching(tiny.layers, tiny.shape[2], 0.0, symmetric=False).scores(*rows)
    width = problem.shape[2]
    engine = MaximumMatching(problem.layers, width, 0.0, symmetric=False)
    rows = [x.flatten(1).numpy() for x in (problem.queries, problem.gallery)]
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_kilobytes("VmRSS")
    engine.scores(*rows)
    return (peak_kilobytes("VmHWM") - before) / 1e3


def peak_kilobytes(field: str) -> int:
    """Return a field of the memory of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=sorted(SIZES), default="published")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=32, help="queries, and gallery images")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    problem = make_problem(options.size, options.images, options.images)
    layers, cells, width = problem.shape
    print(
        f"{options.size}: {layers} layers of {cells} cells x {width}, {options.images} x "
        f"{options.images} images, {options.threads} threads, median of {options.rounds}"
    )
    memory = extra_memory(problem)
    runs = contenders(problem, options.threads)
    rates = measure(runs, options.rounds)
    per_pair = runs["engine fp32"][1] / problem.pairs / 1e9
    for name, rate in rates.items():
        speed = "" if name.startswith("product") else f"{rate / per_pair:9.0f} pairs/s"
        print(f"{name:28} {rate:7.1f} GFLOP/s {speed}")
    engine, baselines = rates["engine fp32"], [n for n in rates if n.startswith("plain")]
    ratios = ", ".join(f"{engine / rates[name]:.2f} x {name}" for name in baselines)
    print(f"engine fp32: {ratios}")
    products = [name for name in rates if name.startswith("product")]
    shares = ", ".join(f"{engine / rates[name]:.0%} of the {name}" for name in products)
    print(f"engine fp32: {shares}")
    reason = maximum_matching.slow_bf16()
    print(
        f"engine bf16: {rates['engine bf16'] / engine:.2f} x fp32"
        + (f" ({reason})" if reason else "")
    )
    print(f"memory beyond the rows: {memory:.0f} MB")


if __name__ == "__main__":
    main()
