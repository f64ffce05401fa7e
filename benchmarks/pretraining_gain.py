"""Does pretraining help? Fine-tuned from ours against from scratch, on generated worlds.

For each seed an unlabelled world is pretrained on, with masked image modelling and without (plain
DINO), and the labelled bench world of that seed is fine-tuned on: from fresh weights, and from the
backbone of every epoch of both pretrainings. All fine-tunings of a seed have the same recipe,
budget and seed, on one thread each. Prints mAP as mean and standard deviation over the seeds,
and draws mAP against epochs of pretraining.

What is finished is kept in --folder, so that a second call goes on. An hour on two cores.
"""

import argparse
import csv
import json
import os
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from bench_runs import run_side_by_side, spread
from bench_world import Quiet, open_world, train_and_score
from matplotlib import pyplot as plt

from reid.data.images import TRAIN_RESAMPLING, ImageTable, image_facts
from reid.data.synthetic import WorldSpec
from reid.methods.base import EmbeddingNetwork
from reid.methods.registry import get_method, load_recipe
from reid.pretrain.distillation import build_distillation
from reid.pretrain.recipe import load_pretrain_recipe
from reid.training.pretraining import KEPT, pretrain

PARAMS = Path(__file__).parents[1] / "params"
OBJECTIVES: dict[str, dict[str, Any]] = {"mim": {}, "dino": {"loss": {"lambda2": 0.0}}}
SCRATCH = "scratch"
# Chosen on the worlds of seed 20, where after three epochs the teacher's entropy was 0.23 of its
# maximum against 0.59 at full strength; mAP after fine-tuning was 35.4 against 35.2.
COLOURS = {"views": {"jitter": 0.3, "grey": 0.0}}
NAMES = {"mim": "DINO + masked images", "dino": "DINO alone", SCRATCH: "from scratch"}


@dataclass(frozen=True)
class Plan:
    """What is run.

    Args:
        folder: Worlds, backbones and results.
        epochs: Of pretraining.
        fine_epochs: Of fine-tuning.
        every: Each so many epochs of pretraining one fine-tuning starts.
    """

    folder: Path
    epochs: int
    fine_epochs: int
    every: int

    @property
    def points(self) -> range:
        """The epochs of pretraining whose backbones are fine-tuned."""
        return range(self.every, self.epochs + 1, self.every)

    def backbone(self, objective: str, seed: int, epoch: int) -> Path:
        """Where a pretraining keeps the backbone of an epoch."""
        return self.folder / f"{objective}_{seed}" / KEPT / f"epoch_{epoch:04d}.safetensors"

    def result(self, objective: str, seed: int, epoch: int) -> Path:
        """Where the scores of a fine-tuning are written."""
        return self.folder / "results" / f"{objective}_{seed}_{epoch:04d}.json"


def run_pretraining(plan: Plan, objective: str, seed: int) -> None:
    """Pretrain, keeping the backbone of every epoch."""
    torch.set_num_threads(1)
    changes = {"epochs": plan.epochs, "keep_every": plan.every, **COLOURS, **OBJECTIVES[objective]}
    recipe = load_pretrain_recipe(PARAMS / "pretrain/demo.yaml", changes)
    manifest, storage = open_world(
        plan.folder, WorldSpec("pretrain", "AB", 100 + seed, kind="unlabelled")
    )
    rows = manifest.rows("pretrain")
    facts = image_facts(manifest, rows.index.to_numpy(), ())
    size = recipe.views.source_size
    table = ImageTable(storage, rows["path"].tolist(), facts, *size, TRAIN_RESAMPLING)
    torch.manual_seed(seed)
    folder = plan.folder / f"{objective}_{seed}"
    history = pretrain(build_distillation(recipe), recipe, table, seed, folder, Quiet())
    with (folder / "history.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(history[0]))
        writer.writeheader()
        writer.writerows(history)


def run_fine_tuning(plan: Plan, objective: str, seed: int, epoch: int) -> None:
    """Fine-tune on the bench world of a seed and score it."""
    schedule = {"epochs": plan.fine_epochs, "warmup_epochs": 2}
    recipe = load_recipe(PARAMS / "methods/personvit/demo.yaml", {"schedule": schedule})

    def load(network: EmbeddingNetwork) -> None:
        if objective != SCRATCH:
            get_method("personvit").load_pretrained(network, plan.backbone(objective, seed, epoch))

    world = open_world(plan.folder, WorldSpec("bench", "A", seed))
    figures = train_and_score(recipe, world, seed, load)
    target = plan.result(objective, seed, epoch)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures), encoding="utf-8")


def run_all(plan: Plan, seeds: list[int], jobs: int) -> None:
    """Run what is missing: first the pretrainings, then the fine-tunings."""
    pretrainings = [(objective, seed) for seed in seeds for objective in OBJECTIVES]
    fine = [(SCRATCH, seed, 0) for seed in seeds] + [
        (objective, seed, epoch)
        for epoch in reversed(plan.points)
        for objective, seed in pretrainings
    ]
    for task, calls in (
        (run_pretraining, [c for c in pretrainings if not plan.backbone(*c, plan.epochs).exists()]),
        (run_fine_tuning, [c for c in fine if not plan.result(*c).exists()]),
    ):
        run_side_by_side(task, (plan,), calls, jobs)


def scores(plan: Plan, objective: str, seeds: list[int], epoch: int) -> list[float]:
    """Return the mAP of each seed in percent."""
    texts = (plan.result(objective, s, epoch).read_text(encoding="utf-8") for s in seeds)
    return [100 * float(json.loads(text)["mAP"]) for text in texts]


def report(plan: Plan, seeds: list[int]) -> None:
    """Print the table and draw the curves."""
    fresh = scores(plan, SCRATCH, seeds, 0)
    print(f"{'start':24} {'epochs':>6}  mAP each seed, mean ± standard deviation; gain on scratch")
    for objective in (SCRATCH, *OBJECTIVES):
        for epoch in [0] if objective == SCRATCH else plan.points:
            found = scores(plan, objective, seeds, epoch)
            gains = [a - b for a, b in zip(found, fresh, strict=True)]
            each = " ".join(f"{value:5.1f}" for value in found)
            print(f"{NAMES[objective]:24} {epoch:6}  {each}  {spread(found)}; {spread(gains)}")
    draw(plan, seeds, fresh)


def draw(plan: Plan, seeds: list[int], fresh: list[float]) -> None:
    """Draw mAP after fine-tuning against epochs of pretraining."""
    mpl.use("agg")
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for objective, marker in zip(OBJECTIVES, "os", strict=True):
        table = np.array([fresh] + [scores(plan, objective, seeds, epoch) for epoch in plan.points])
        deviation = table.std(axis=1, ddof=1) if len(seeds) > 1 else None
        epochs = [0, *plan.points]
        label = NAMES[objective]
        axes.errorbar(epochs, table.mean(axis=1), deviation, marker=marker, capsize=3, label=label)
    axes.axhline(statistics.fmean(fresh), color="grey", linestyle=":", label=NAMES[SCRATCH])
    axes.set_xlabel("epochs of pretraining")
    axes.set_ylabel("mAP after fine-tuning, %")
    axes.set_title(f"bench worlds of seeds {', '.join(map(str, seeds))}; bars: standard deviation")
    axes.legend()
    figure.savefig(plan.folder / "pretraining_gain.png", dpi=150)
    print(plan.folder / "pretraining_gain.png")


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".reid/pretraining_gain"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--epochs", type=int, default=6, help="of pretraining (default: 6)")
    parser.add_argument("--every", type=int, default=2, help="epochs between fine-tunings (2)")
    parser.add_argument("--fine-epochs", type=int, default=12, help="of fine-tuning (default: 12)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(given.folder, given.epochs, given.fine_epochs, given.every)
    run_all(plan, given.seeds, given.jobs)
    report(plan, given.seeds)


if __name__ == "__main__":
    main()
