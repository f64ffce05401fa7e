"""Pretraining speed of student and teacher (2 global and 8 local crops of 256x128) on the CPU.

Baseline: the same step written down from the formulas. Each crop passes through the network alone,
heads score all tokens of it, and the losses are loops over pairs of crops. Both steps see the same
crops, are timed in turn, and must give the same loss, or nothing is printed; the ratio is of the
medians. Below it: images per second of the loader alone (from files, from LMDB, from tar shards,
from memory) and of the whole step, the loader's share of it, and the peak memory of each variant
in a process of its own.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.data import images
from reid.data.images import TRAIN_RESAMPLING, ImageFacts, ImageTable
from reid.data.samplers.shuffled import BatchPlan
from reid.data.storage import Storage, open_storage
from reid.data.storage.shards import pack_files
from reid.data.synthetic import WorldSpec, build_world
from reid.pretrain.distillation import SelfDistillation, Views, build_distillation, follow
from reid.pretrain.draws import draw
from reid.pretrain.gradient import clip_each, decay_groups
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.pretrain.views import cut_views
from reid.progress import silent

RECIPE = Path(__file__).parents[1] / "params/pretrain/vit_small.yaml"
TEMPERATURE = 0.04
MIB = 2**20


class Seconds(NamedTuple):
    """Medians of the parts of a step."""

    ours: float
    baseline: float


def plain_loss(pair: SelfDistillation, views: Views) -> Tensor:
    """One crop at a time, all tokens scored, one pair of crops at a time."""
    student, teacher = pair.student, pair.teacher
    targets, guesses = [], []
    for crop in views.global_crops:
        with torch.no_grad():
            vectors = teacher.head.vectors(teacher.backbone(crop))
            logits = teacher.head.class_logits(vectors)
            targets.append(F.softmax(logits.float() / TEMPERATURE, dim=-1))
    for crop, mask in zip(views.global_crops, views.mask, strict=True):
        vectors = student.head.vectors(student.backbone(crop, mask))
        guesses.append(F.log_softmax(student.head.class_logits(vectors).float() / 0.1, dim=-1))
    for crop in views.local_crops:
        vectors = student.head.vectors(student.backbone(crop))
        guesses.append(F.log_softmax(student.head.class_logits(vectors).float() / 0.1, dim=-1))
    between, within = [], []
    for q, target in enumerate(targets):
        for v, guess in enumerate(guesses):
            if v != q:
                between.append(-(target[:, 0] * guess[:, 0]).sum(dim=-1).mean())
            else:
                hidden = views.mask[q].flatten(1).float()
                entropy = -(target[:, 1:] * guess[:, 1:]).sum(dim=-1)
                mean = (entropy * hidden).sum(dim=-1) / hidden.sum(dim=-1).clamp_min(1)
                within.append(mean.mean())
    return torch.stack(between).mean() + torch.stack(within).mean()


def our_loss(pair: SelfDistillation, views: Views) -> Tensor:
    """The losses of a step as the package works them out, with centres at zero."""
    pair.centres.cls.zero_()
    pair.centres.patch.zero_()
    return pair(views, TEMPERATURE, TEMPERATURE).losses["loss"]  # type: ignore[no-any-return]


class Step:
    """A whole step on given crops: losses, backward, clipping, optimiser, teacher."""

    def __init__(
        self, recipe: PretrainRecipe, loss: Callable[[SelfDistillation, Views], Tensor], bf16: bool
    ) -> None:
        torch.manual_seed(0)
        self.pair = build_distillation(recipe)
        self.optimiser = torch.optim.AdamW(decay_groups(self.pair.student), lr=0.0, fused=True)
        self.loss, self.bf16 = loss, bf16

    def __call__(self, views: Views) -> float:
        """Run it and return the loss."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            loss = self.loss(self.pair, views)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_each(self.pair.student.parameters(), 3.0)
        self.optimiser.step()
        follow(self.pair.teacher, self.pair.student, 0.996)
        return float(loss.detach())


def recipe_of(backbone: str) -> PretrainRecipe:
    """The recipe of ViT-S without stochastic depth, which would hide whether losses agree."""
    return load_pretrain_recipe(RECIPE, {"model": {"backbone": backbone, "drop_path": 0.0}})


def some_views(recipe: PretrainRecipe, batch: int, number: int) -> Views:
    """Crops of noise: their content costs nothing."""
    generator = torch.Generator().manual_seed(number)
    shape = (batch, 3, *recipe.views.source_size)
    noise = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    plan = BatchPlan(0, number, list(range(batch)), batch, slice(0, batch))
    return cut_views(noise, draw(recipe, plan, 0), recipe.views)


def compare(backbone: str, batch: int, rounds: int, *, bf16: bool) -> Seconds:
    """Time both steps in turn on the same crops, after one warm-up of each."""
    recipe = recipe_of(backbone)
    steps = [Step(recipe, loss, bf16) for loss in (our_loss, plain_loss)]
    seconds: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        views, losses = some_views(recipe, batch, number), []
        for kept, step in zip(seconds, steps, strict=True):
            started = time.perf_counter()
            losses.append(step(views))
            if number:
                kept.append(time.perf_counter() - started)
        if abs(losses[0] - losses[1]) > (0.05 if bf16 else 1e-3):
            raise SystemExit(f"{backbone}: the losses differ: {losses[0]} and {losses[1]}")
    return Seconds(*(statistics.median(kept) for kept in seconds))


def loader_seconds(table: ImageTable, recipe: PretrainRecipe, batch: int, rounds: int) -> float:
    """Median seconds to read, draw and cut one batch, in this process."""
    seconds = []
    for number in range(rounds + 1):
        first = number * batch % (len(table) - batch + 1)
        plan = BatchPlan(0, number, list(range(first, first + batch)), batch, slice(0, batch))
        started = time.perf_counter()
        cut_views(table.__getitems__(plan.indices).images, draw(recipe, plan, 0), recipe.views)
        if number:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def report_loader(root: Path, batch: int, rounds: int) -> float:
    """Print images/s of the loader for each kind of storage; return seconds per image in memory."""
    recipe = recipe_of("vit_small")
    build_world(WorldSpec("demo", "AB", 0, kind="unlabelled"), root / "files", 2)
    files = open_storage(root / "files")
    paths = sorted(path for path in files.files() if path.endswith(".jpg"))
    pack_files(files, paths, root / "tar", silent)
    write_lmdb(root / "files", paths, root / "lmdb")
    places = {
        "files": (files, paths),
        "LMDB": (open_storage(root), [f"lmdb://lmdb#{path}" for path in paths]),
        "tar shards": (open_storage(root / "tar"), paths),
    }
    seconds = 0.0
    for name, (storage, members) in places.items():
        images.PRELOAD_BYTES = 0  # each batch is decoded anew
        seconds = loader_seconds(table_of(storage, members, recipe), recipe, batch, rounds)
        print(f"loader alone, from {name}: {batch / seconds:.0f} images/s in one process")
    images.PRELOAD_BYTES = 2 << 30
    seconds = loader_seconds(table_of(files, paths[:512], recipe), recipe, batch, rounds)
    print(f"loader alone, decoded in advance: {batch / seconds:.0f} images/s in one process")
    return seconds / batch


def table_of(storage: Storage, paths: list[str], recipe: PretrainRecipe) -> ImageTable:
    """Images without labels."""
    none = torch.full((len(paths),), -1)
    facts = ImageFacts(none, none, none, none)
    return ImageTable(storage, paths, facts, *recipe.views.source_size, TRAIN_RESAMPLING)


def write_lmdb(root: Path, paths: list[str], target: Path) -> None:
    """Write files into a database, their path as the key."""
    with lmdb.open(str(target), map_size=2**30) as database, database.begin(write=True) as put:
        for path in paths:
            put.put(path.encode(), (root / path).read_bytes())


def peak_memory(backbone: str, batch: int, variant: str) -> int:
    """Return the peak of a process that runs two steps of a variant, above that of its start."""
    command = [sys.executable, __file__, "--measure", variant, backbone, str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout))


def measure_here(variant: str, backbone: str, batch: int) -> None:
    """Print the bytes by which two steps raise the peak of this process."""
    recipe = recipe_of(backbone)
    loss = {"ours": our_loss, "baseline": plain_loss, "teacher": our_loss}[variant]
    step, views = Step(recipe, loss, bf16=False), some_views(recipe, batch, 0)
    before = process_memory("VmRSS")
    if variant == "teacher":
        with torch.no_grad():
            step.pair.teacher.head.vectors(
                step.pair.teacher.backbone(views.global_crops.flatten(0, 1))
            )
    else:
        for _ in range(2):
            step(views)
    print(process_memory("VmHWM") - before)


def process_memory(name: str) -> int:
    """Return bytes of this process: `VmRSS` now, `VmHWM` at most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        variant, backbone, batch = given.measure
        measure_here(variant, backbone, int(batch))
        return
    with tempfile.TemporaryDirectory() as root:
        loader = report_loader(Path(root), given.batch, 2 * given.rounds)
    for backbone in ("vit_tiny", "vit_small"):
        for bf16 in (False, True):
            ours, baseline = compare(backbone, given.batch, given.rounds, bf16=bf16)
            cut = loader * given.batch
            print(
                f"{backbone} {'bf16' if bf16 else 'fp32'}: {baseline / ours:.2f} x "
                f"({given.batch / ours:.2f} against {given.batch / baseline:.2f} images/s); with "
                f"the loader {given.batch / (ours + cut):.2f} images/s, of which the loader takes "
                f"{cut / (ours + cut):.1%}"
            )
        peaks = {
            variant: peak_memory(backbone, given.batch, variant) / MIB
            for variant in ("ours", "baseline", "teacher")
        }
        print(
            f"{backbone} memory above the weights: {peaks['ours']:.0f} MiB against "
            f"{peaks['baseline']:.0f} MiB; the teacher's forward pass alone "
            f"{peaks['teacher']:.0f} MiB"
        )


if __name__ == "__main__":
    main()
