"""Cost of ReIDMamba (small, three branches) against TransReID (ViT-B, JPM and SIE) on the CPU.

Both are built as published for Market-1501 (751 persons, 6 cameras), in float32, at growing numbers
of tokens; ReIDMamba once more with `model.recompute`. TransReID, the baseline, runs with fused
attention and with attention written out, which keeps an L x L matrix per head. All variants are
timed in turn; ratios are of medians. The rank losses are left out of the step, as they need larger
batches and cost next to nothing.

Memory is given in two ways, in bytes per image. *Saved*: what autograd keeps between the forward
and the backward pass, each storage once, without parameters; what checkpointing keeps is invisible
to it. *Peak*: by how much the peak of a process of its own rises with each further image of a
training step, which contains everything. *Step* is that peak for a whole batch, gradients included,
above the weights.

The scan is counted apart from multiplications of matrices: 9 operations for each number of state,
step and direction. The convolution over 4 tokens, in compiled code, is in neither (0.02 GMAC at the
smallest size).
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reid.data.images import Batch
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.registry import build_network, load_recipe
from reid.nn.bidirectional_mixer import BidirectionalMixer

RECIPES = Path(__file__).parents[1] / "params/methods"
FACTS = DataFacts(751, 6, 1)
SCAN_OPERATIONS = 9
MB = 1e6


class Size(NamedTuple):
    """Image and step between its patches, in pixels."""

    height: int
    width: int
    stride: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}/{self.stride}"

    @property
    def patches(self) -> int:
        """Number of patches of 16 pixels."""
        return ((self.height - 16) // self.stride + 1) * ((self.width - 16) // self.stride + 1)


SIZES = (
    Size(256, 128, 16),
    Size(384, 128, 12),
    Size(512, 256, 16),
    Size(512, 256, 12),
    Size(512, 512, 16),
)
QUICK = 2  # of the sizes
MORE = 2  # images, to see by how much each raises the peak


class Variant(NamedTuple):
    """A network, how it computes attention, and whether its blocks compute their inside twice."""

    recipe: str
    explicit: bool = False
    recompute: bool = False


VARIANTS = {
    "reidmamba": Variant("reidmamba/market1501_small.yaml"),
    "reidmamba-recompute": Variant("reidmamba/market1501_small.yaml", recompute=True),
    "transreid-fused": Variant("transreid/market1501_vit_transreid.yaml"),
    "transreid-explicit": Variant("transreid/market1501_vit_transreid.yaml", explicit=True),
}
BASELINE = "transreid-fused"


class Cost(NamedTuple):
    """What one variant costs at one size; bytes and operations are per image."""

    parameters: int
    multiplications: float
    scan: float
    saved: float
    peak: float
    step: float
    forward_rate: float
    step_rate: float


def network_of(variant: str, size: Size) -> EmbeddingNetwork:
    """Build a variant with fresh weights."""
    changes: dict[str, dict[str, Any]] = {
        "image": {"height": size.height, "width": size.width},
        "model": {"stride": size.stride},
    }
    if variant.startswith("reidmamba"):
        changes["model"]["recompute"] = VARIANTS[variant].recompute
        changes["loss"] = {"rank": {"intra_weight": 0, "inter_weight": 0}}
    torch.manual_seed(0)
    return build_network(load_recipe(RECIPES / VARIANTS[variant].recipe, changes), FACTS)


def batch_of(size: Size, count: int) -> Batch:
    """Noise, two images for each person."""
    numbers = torch.arange(count)
    images = torch.randn(count, 3, size.height, size.width)
    return Batch(images, numbers // 2, numbers % 2, numbers * 0, numbers * 0)


@contextmanager
def attention_of(variant: str) -> Iterator[None]:
    """Choose how attention is computed."""
    with sdpa_kernel(SDPBackend.MATH) if VARIANTS[variant].explicit else nullcontext():
        yield


def forward(network: EmbeddingNetwork, batch: Batch) -> None:
    """Embed a batch."""
    with torch.inference_mode():
        network.eval().embed(batch)


def step(network: EmbeddingNetwork, batch: Batch) -> None:
    """Compute the gradients of a batch."""
    network.train().zero_grad(set_to_none=True)
    network.losses(batch)["loss"].backward()  # type: ignore[no-untyped-call]


def multiplications(network: EmbeddingNetwork, size: Size) -> tuple[float, float]:
    """Return multiplications in products and convolutions, and operations in scans."""
    scans: list[float] = []

    def count(mixer: nn.Module, given: tuple[Tensor, ...]) -> None:
        inner, states = mixer.A_log.shape  # type: ignore[union-attr]
        scans.append(2.0 * SCAN_OPERATIONS * inner * states * given[0].shape[1])

    mixers = [module for module in network.modules() if isinstance(module, BidirectionalMixer)]
    hooks = [mixer.register_forward_pre_hook(count) for mixer in mixers]
    # written out, so that products inside attention are seen
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval().embed(batch_of(size, 1))
    for hook in hooks:
        hook.remove()
    return counter.get_total_flops() / 2, sum(scans)


def saved_bytes(network: EmbeddingNetwork, variant: str, size: Size, count: int) -> float:
    """Return bytes per image that autograd keeps until the backward pass."""
    held: dict[int, int] = {}
    weights = {tensor.untyped_storage().data_ptr() for tensor in network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with attention_of(variant), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        # the graph must live until all is counted, or places are given out again
        loss = network.train().losses(batch_of(size, count))["loss"]
    total = sum(held.values())
    del loss
    return total / count


def peak_bytes(variant: str, size: Size, count: int) -> float:
    """Return by how much a step raises the memory of a process of its own."""
    command = [sys.executable, __file__, "--measure", variant, *map(str, size), str(count)]
    # freed memory goes back at once, so that a peak is one of what is in use
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = {**os.environ, **returned}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(json.loads(done.stdout))


def measure_here(variant: str, size: Size, count: int) -> None:
    """Print the bytes by which a step raises the peak of this process, after one that does not."""
    network = network_of(variant, size)
    with attention_of(variant):
        step(network, batch_of(size, 2))  # compiles what is to be compiled
        network.zero_grad(set_to_none=True)
        batch = batch_of(size, count)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
        before = process_memory("VmRSS")
        step(network, batch)
    print(process_memory("VmHWM") - before)


def process_memory(name: str) -> int:
    """Return bytes of this process: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


Rates = dict[str, tuple[float, float]]


def rates(networks: dict[str, EmbeddingNetwork], size: Size, count: int, rounds: int) -> Rates:
    """Return images per second of forward passes and of steps, all variants in turn."""
    batch = batch_of(size, count)
    seconds: dict[tuple[str, int], list[float]] = {}
    for number in range(rounds + 1):
        for variant, network in networks.items():
            for kind, work in enumerate((forward, step)):
                with attention_of(variant):
                    started = time.perf_counter()
                    work(network, batch)
                    taken = time.perf_counter() - started
                if number:  # the first round warms up
                    seconds.setdefault((variant, kind), []).append(taken)
    for network in networks.values():
        network.zero_grad(set_to_none=True)
    medians = {key: statistics.median(values) for key, values in seconds.items()}
    return {name: (count / medians[name, 0], count / medians[name, 1]) for name in networks}


def costs(variants: list[str], size: Size, batch: int, rounds: int, peak: bool) -> dict[str, Cost]:
    """Measure all variants at one size; peaks, which take the longest, only if asked for."""
    networks = {variant: network_of(variant, size) for variant in variants}
    speed = rates(networks, size, batch, rounds)
    found = {}
    for variant, network in networks.items():
        counts = (batch, batch + MORE)
        peaks = [peak_bytes(variant, size, count) if peak else math.nan for count in counts]
        found[variant] = Cost(
            sum(parameter.numel() for parameter in network.parameters()),
            *multiplications(network, size),
            saved_bytes(network, variant, size, batch),
            (peaks[1] - peaks[0]) / MORE,
            peaks[0],
            *speed[variant],
        )
    return found


HEAD = (
    f"{'':20}{'params M':>9}{'GMAC':>8}{'scan GF':>9}{'saved MB':>10}{'peak MB':>9}{'step MB':>9}"
    f"{'fwd/s':>8}{'step/s':>8}"
)


def print_size(size: Size, found: dict[str, Cost]) -> None:
    """Print the costs at one size, and their ratios to the baseline."""
    print(f"\n{size}: {size.patches} patches\n{HEAD}")
    for variant, cost in found.items():
        print(
            f"{variant:20}{cost.parameters / 1e6:9.3f}{cost.multiplications / 1e9:8.2f}"
            f"{cost.scan / 1e9:9.2f}{cost.saved / MB:10.1f}{cost.peak / MB:9.1f}"
            f"{cost.step / MB:9.0f}{cost.forward_rate:8.2f}{cost.step_rate:8.2f}"
        )
    if BASELINE not in found:
        return
    for variant in (name for name in found if name != BASELINE):
        mine, base = found[variant], found[BASELINE]
        names = ("parameters", "multiplications", "saved", "peak", "step")
        names += ("forward_rate", "step_rate")
        shares = (f"{name} {getattr(mine, name) / getattr(base, name):.2f}" for name in names)
        print(f"{variant} / {BASELINE}: {', '.join(shares)}")


def print_growth(found: dict[Size, dict[str, Cost]]) -> None:
    """Print how memory and time grow with the patches."""
    first, *others = found
    for size in others:
        print(f"\n{size} over {first}: patches {size.patches / first.patches:.2f}")
        for variant, cost in found[size].items():
            small = found[first][variant]
            print(
                f"{variant:20} saved {cost.saved / small.saved:.2f}, peak "
                f"{cost.peak / small.peak:.2f}, forward time "
                f"{small.forward_rate / cost.forward_rate:.2f}, step time "
                f"{small.step_rate / cost.step_rate:.2f}"
            )


def main() -> None:
    """Print a table for each size, then growth over sizes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*VARIANTS, *map(str, SIZES)]
    parser.add_argument("--batch", type=int, default=4, help="images, an even number from 4 on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} sizes, 2 rounds")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=names, metavar="NAME", help=f"of {names}"
    )
    parser.add_argument("--no-peak", action="store_true", help="leave the peaks of memory out")
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        variant, *numbers = given.measure
        height, width, stride, count = map(int, numbers)
        measure_here(variant, Size(height, width, stride), count)
        return
    if given.batch < 4 or given.batch % 2:
        parser.error("--batch is an even number from 4 on")
    variants = [name for name in VARIANTS if name in given.only] or list(VARIANTS)
    sizes = [size for size in SIZES if str(size) in given.only] or list(SIZES)
    if given.quick:
        sizes = sizes[:QUICK]
    scan = network_of("reidmamba", SIZES[0]).backends("cpu")["scan"]
    print(f"float32, batch {given.batch}, {torch.get_num_threads()} threads; scan: {scan.name}")
    found = {}
    for size in sizes:
        rounds = 2 if given.quick else given.rounds
        found[size] = costs(variants, size, given.batch, rounds, not given.no_peak)
        print_size(size, found[size])
    print_growth(found)


if __name__ == "__main__":
    main()
