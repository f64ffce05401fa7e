"""Cost of IDKL: a training step, and the shared branch alone against both branches at test time.

The network is that of the published recipes: ResNet-50 sizes, images of 384x144, 395 persons. The
published code runs both branches and the purifier at test time, though retrieval uses the shared
branch alone; that is the baseline of inference. Timed against it: the shared branch, and the same
as `reid embed` runs it on a CPU, its norms folded into convolutions. All contenders are run in
turn, and ratios are of medians.

Operations are counted as two per multiplication and addition, in convolutions and products alone.
A peak is of a process of its own, without the interpreter and its libraries: weights, gradients,
state of the optimiser, and maps.

    python benchmarks/idkl_cost.py                      # some minutes on two CPU cores
    python benchmarks/idkl_cost.py --device cuda --people 12 --images 10
    python benchmarks/idkl_cost.py --size tiny --rounds 1
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.idkl import Idkl, IdklRecipe
from reid.nn.inference import for_inference
from reid.training.optimiser import build_optimiser

# what the published checkpoint with 395 classes stores, parts included that nobody runs
PUBLISHED_NUMBERS = 75.0e6
TARGET = 1.6  # of the shared branch over both
FACTS = DataFacts(num_classes=395, num_cameras=6, num_views=1)
SIZES: dict[str, dict[str, Any]] = {
    "published": {},
    "tiny": {
        "image": {"height": 64, "width": 32},
        "model": {
            "backbone": {"stem": 8, "planes": (8, 8, 16, 16), "blocks": (1, 1, 1, 1)},
        },
    },
}
# how Adam is set in the published code
OPTIMISER = {
    "name": "adam",
    "learning_rate": 3.5e-4,
    "weight_decay": 5e-3,
    "bias_factor": 1,
    "bias_weight_decay": 5e-3,
}
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
TRAIN, BOTH, SHARED = "training step", "both branches", "shared branch"
FOLDED = "shared branch, norms folded"
MB = 1e6

Run = Callable[[], object]


class Setting(NamedTuple):
    """What is built, and on what it runs."""

    size: str
    device: str
    people: int
    images: int

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        return self.people * self.images

    def recipe(self) -> IdklRecipe:
        """Return the recipe; the sampler plays no part."""
        given = {**SIZES[self.size], "optimiser": OPTIMISER}
        return IdklRecipe.model_validate(given)

    def network(self) -> Idkl:
        """Build the network with fresh weights."""
        torch.manual_seed(0)
        return Idkl(self.recipe(), FACTS).to(self.device)

    def batch(self, count: int | None = None) -> Batch:
        """Return noise, of every person as many visible as infrared images, in turn."""
        count = count or self.batch_size
        numbers, image = torch.arange(count), self.recipe().image
        draw = torch.Generator().manual_seed(0)
        images = torch.randn(count, 3, image.height, image.width, generator=draw)
        columns = (images, numbers // self.images, numbers % 2, numbers * 0, numbers % 2)
        return Batch(*(column.to(self.device) for column in columns))

    def autocast(self, precision: str) -> AbstractContextManager[Any]:
        """Return the context in which a network runs at a precision."""
        return torch.autocast(self.device, PRECISIONS[precision], enabled=precision != "fp32")

    def wait(self) -> None:
        """Return when the device has done everything."""
        if self.device != "cpu":
            torch.cuda.synchronize()


def train_step(
    setting: Setting,
    precision: str,
    network: Idkl,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
) -> None:
    """Make one step of the training."""
    network.train()
    optimiser.zero_grad(set_to_none=True)
    with setting.autocast(precision):
        loss = network.losses(batch)["loss"]
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def inference(
    setting: Setting,
    precision: str,
    work: Callable[[Batch], Any],
    batch: Batch,
    mode: Callable[[], AbstractContextManager[Any]] = torch.inference_mode,
) -> Any:
    """Embed a batch."""
    with mode(), setting.autocast(precision):
        return work(batch)


def medians(setting: Setting, runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Return the median seconds of each, run in turn after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            setting.wait()
            started = time.perf_counter()
            run()
            setting.wait()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def counted(run: Run) -> float:
    """Return the operations of one call in GFLOP."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) / 1e9


def print_operations(setting: Setting, network: Idkl, step: Run) -> None:
    """Print where operations go, per image, and what is stored."""
    found: dict[str, float] = {}
    maps = setting.batch(1).images
    with torch.no_grad():
        network.eval()
        front = network.front(maps)
        found["front (conv1 to layer2)"] = counted(partial(network.front, maps))
        late = network.shared.stages(front)
        found["a branch (layer3, layer4)"] = counted(partial(network.shared.stages, front))
        if network.purifier is not None:
            found["purifier"] = counted(partial(network.purifier, late))
    one = setting.batch(1)
    for name, work in ((SHARED, network.embed), (BOTH, network.branches)):
        found[name] = counted(partial(inference, setting, "fp32", work, one, torch.no_grad))
    found[TRAIN] = counted(step) / setting.batch_size
    print("\nGFLOP per image")
    for name, value in found.items():
        print(f"  {name:28}{value:8.3f}")
    print(f"  {BOTH} / {SHARED}: {found[BOTH] / found[SHARED]:.2f}")
    run_at_test = (network.front, network.shared.stages, network.shared.neck)
    used = sum(numbers(part) for part in run_at_test)
    print(
        f"\n{numbers(network) / 1e6:.1f} M numbers stored, {used / 1e6:.1f} M of them run by embed;"
        f" {PUBLISHED_NUMBERS / 1e6:.1f} M in the published checkpoint"
    )


def print_training(setting: Setting, rounds: int) -> None:
    """Print operations, what is stored, and the speed of steps."""
    network, batch = setting.network(), setting.batch()
    optimiser = build_optimiser(network, setting.recipe().optimiser)
    runs: dict[str, Run] = {
        precision: partial(train_step, setting, precision, network, optimiser, batch)
        for precision in PRECISIONS
    }
    print_operations(setting, network, runs["fp32"])
    print(f"\n{TRAIN}s of {setting.batch_size} images, images/s")
    found = medians(setting, runs, rounds)
    for precision, seconds in found.items():
        print(f"  {precision:28}{setting.batch_size / seconds:8.2f}")
    print(f"  bf16 / fp32: {found['fp32'] / found['bf16']:.2f}")


def print_inference(setting: Setting, rounds: int) -> None:
    """Print the speeds of both branches, of the shared one, and of that with its norms folded."""
    network, batch = setting.network(), setting.batch()
    with torch.no_grad():
        network.pooled(batch.images)  # statistics of the norms, which fresh ones do not have
    network.eval()
    contenders = {BOTH: network.branches, SHARED: network.embed}
    if setting.device == "cpu":
        contenders[FOLDED] = for_inference(network).embed
    runs: dict[str, Run] = {
        f"{precision} {name}": partial(inference, setting, precision, work, batch)
        for precision in PRECISIONS
        for name, work in contenders.items()
    }
    found = medians(setting, runs, rounds)
    print(f"\ninference of {setting.batch_size} images, images/s, beside {BOTH}")
    for name, seconds in found.items():
        ratio = found[f"{name.partition(' ')[0]} {BOTH}"] / seconds
        print(f"  {name:34}{setting.batch_size / seconds:8.2f}{ratio:8.2f} x")
    print(f"  target for the shared branch: {TARGET} x")


def numbers(module: nn.Module) -> int:
    """Count parameters and buffers."""
    return sum(tensor.numel() for tensor in module.state_dict().values())


def print_peaks(setting: Setting) -> None:
    """Print the peak of a process for each kind of work and each precision."""
    # freed memory goes back at once, so that a peak is one of what is in use
    returned = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    environment = {**os.environ, **returned}
    print(f"\npeak memory in MB, {setting.batch_size} images")
    for kind in (TRAIN, BOTH, SHARED):
        shown = f"  {kind:28}"
        for precision in PRECISIONS:
            command = [sys.executable, __file__, "--measure", kind, precision]
            for name, value in setting._asdict().items():
                command += [f"--{name}", str(value)]
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, env=environment
            )
            shown += f"{precision:>8}{json.loads(done.stdout) / MB:8.0f}"
        print(shown)


def measure_here(setting: Setting, kind: str, precision: str) -> None:
    """Print by how many bytes some work raises the peak of this process."""
    before = process_memory("VmRSS")
    network, batch = setting.network(), setting.batch()
    if kind == TRAIN:
        optimiser = build_optimiser(network, setting.recipe().optimiser)
        run = partial(train_step, setting, precision, network, optimiser, batch)
    else:
        network.eval()
        work = network.branches if kind == BOTH else network.embed
        run = partial(inference, setting, precision, work, batch)
    run()  # the optimiser makes its state
    if setting.device == "cpu":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
        run()
        print(process_memory("VmHWM") - before)
        return
    torch.cuda.reset_peak_memory_stats()
    run()
    setting.wait()
    print(torch.cuda.max_memory_allocated())


def process_memory(name: str) -> int:
    """Return bytes of this process: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Print operations, speeds and peaks."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=4, help="an even number")
    parser.add_argument("--images", type=int, default=4, help="of each person, an even number")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", choices=list(SIZES), default="published")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--no-peak", action="store_true", help="leave the peaks of memory out")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.people % 2 or given.images % 2 or min(given.people, given.images) < 2:
        parser.error("--people and --images are even numbers from 2 on")
    setting = Setting(given.size, given.device, given.people, given.images)
    if given.measure:
        measure_here(setting, *given.measure)
        return
    print(
        f"{given.size}, {given.device}, {torch.get_num_threads()} threads, median of {given.rounds}"
    )
    print_training(setting, given.rounds)
    print_inference(setting, given.rounds)
    if not given.no_peak:
        print_peaks(setting)


if __name__ == "__main__":
    main()
