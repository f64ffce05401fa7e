"""What tracking costs a training: the demo's plain CNN with MLflow and without, alternately.

Both train the same network on the same images. The store is SQLite in a temporary folder, as the
pipeline has it, and its tables exist before the clock starts. Prints the seconds inside of
tracking, the share they have of the training, and the ratio of the whole times; the parts that are
paid once (begin and end of a run) are set against all epochs of the recipe.

Example: python benchmarks/tracking_overhead.py --epochs 2 --rounds 4
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from bench_world import World, open_world, train

from reid.data.synthetic import WorldSpec
from reid.methods.registry import load_recipe
from reid.params import read_yaml
from reid.recipe import Recipe
from reid.stages.resumable import EpochSink
from reid.tracking.lineage import lineage_tags
from reid.tracking.machine import machine, packages
from reid.tracking.run import start_run
from reid.tracking.store import open_experiment

RECIPE = Path("params/methods/bot/demo.yaml")
TARGET = 0.02


class Timed:
    """Passes the numbers of an epoch on and counts the seconds that this takes."""

    def __init__(self, sink: EpochSink) -> None:
        self.seconds = 0.0
        self._sink = sink

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Pass the metrics of an epoch on."""
        begun = time.perf_counter()
        self._sink.log_epoch(epoch, metrics)
        self.seconds += time.perf_counter() - begun


class Cost(NamedTuple):
    """Seconds of a tracked training: whole, for begin and end of the run, and for its epochs."""

    whole: float
    once: float
    epochs: float


def tracked(recipe: Recipe, world: World, root: Path) -> Cost:
    """Train with all that the stage tracks."""
    begun = time.perf_counter()
    params = recipe.model_dump(mode="json")
    tags = lineage_tags(
        study="bench", method=recipe.method, stage="train@bot", params=params, ethics=None
    )
    run = start_run("bench", "bot", tags=tags, params=params, root=root)
    run.log_dataset("world", world[0].digest, "manifest.parquet", "train")
    for text, path in ((packages(), "packages.txt"), (machine(), "machine.txt")):
        run.log_text(text, f"environment/{path}")
    for name in ("recipe", "run", "study"):
        run.log_text(RECIPE.read_text(encoding="utf-8"), f"config/{name}.yaml")
    sink = Timed(EpochSink(run, "train"))
    once = time.perf_counter() - begun
    train(recipe, world, seed=0, sink=sink)
    ended = time.perf_counter()
    for name in ("curves.png", "history.csv", "card.json", "recipe.yaml"):
        run.log_text(RECIPE.read_text(encoding="utf-8"), f"training/{name}")
    run.finish()
    once += time.perf_counter() - ended
    return Cost(time.perf_counter() - begun, once, sink.seconds)


def untracked(recipe: Recipe, world: World) -> float:
    """Train without tracking and return the seconds."""
    begun = time.perf_counter()
    train(recipe, world, seed=0)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(".reid/tracking_overhead"))
    parser.add_argument("--size", default="demo", help="of the generated world")
    parser.add_argument("--epochs", type=int, default=2, help="of each training")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    world = open_world(given.folder, WorldSpec(given.size, "A", 2))
    all_epochs = int(read_yaml(RECIPE)["schedule"]["epochs"])
    schedule = {"epochs": given.epochs, "warmup_epochs": 0}
    recipe = load_recipe(RECIPE, {"schedule": schedule})
    plain, costs = [], []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "mlruns"
        open_experiment("bench", root)
        untracked(recipe, world)  # warms caches; not counted
        for _ in range(given.rounds):
            plain.append(untracked(recipe, world))
            costs.append(tracked(recipe, world, root))
    times = all_epochs / given.epochs
    base = times * statistics.median(plain)
    once = statistics.median(cost.once for cost in costs)
    inside = once + times * statistics.median(cost.epochs for cost in costs)
    epochs_only = statistics.median(cost.whole - cost.once for cost in costs)
    print(f"bot, {given.size} world, {given.epochs} of {all_epochs} epochs, {given.rounds} rounds")
    print(f"threads {torch.get_num_threads()}; untracked {statistics.median(plain):.2f} s")
    print(f"tracking: {once:.2f} s once, {inside - once:.2f} s in {all_epochs} epochs")
    print(f"share of an untracked training of {all_epochs} epochs: {inside / base:.2%}")
    print(f"ratio of whole times, tracked to untracked: {(once + times * epochs_only) / base:.4f}")
    print(f"target: below {TARGET:.0%}: {'met' if inside / base < TARGET else 'missed'}")


if __name__ == "__main__":
    main()
