"""Runs of a study on the bench worlds of several seeds, from scratch, at an equal budget.

Every run of the study that is named is trained on world A of each seed with its recipe and
overrides, on one thread, and scored on its people that were not seen. Prints mAP and rank-1 of each
seed, mean and standard deviation, and the difference from the first run.

What is finished is kept in --folder, so that a second call goes on.
Examples: python benchmarks/several_seeds.py reidmamba reidmamba_base vit --epochs 12
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

from bench_runs import run_side_by_side, spread
from bench_world import open_world, train_and_score

from reid.data.synthetic import WorldSpec
from reid.methods.registry import load_recipe
from reid.params import merge
from reid.study import load_study


def run(folder: Path, study: Path, name: str, seed: int, epochs: int) -> None:
    """Train one run on the world of a seed and keep its scores."""
    entry = load_study(study).runs[name]
    schedule = {"schedule": {"epochs": epochs, "warmup_epochs": 2}}
    recipe = load_recipe(Path(entry.recipe), merge(entry.overrides, schedule))
    begun = time.monotonic()
    figures = train_and_score(recipe, open_world(folder, WorldSpec("bench", "A", seed)), seed)
    figures["minutes"] = (time.monotonic() - begun) / 60
    target = result(folder, name, seed, epochs)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures), encoding="utf-8")


def result(folder: Path, name: str, seed: int, epochs: int) -> Path:
    """Where the scores of a run are kept."""
    return folder / "results" / f"{name}_{seed}_{epochs}.json"


def report(folder: Path, names: list[str], seeds: list[int], epochs: int) -> None:
    """Print the table."""
    print(f"{'run':18} parameters min.  mAP each seed, mean ± sd, rank-1; mAP less {names[0]}'s")
    first: list[float] = []
    for name in names:
        texts = (result(folder, name, s, epochs).read_text(encoding="utf-8") for s in seeds)
        found = [json.loads(text) for text in texts]
        mean = [100 * f["mAP"] for f in found]
        first = first or mean
        each = " ".join(f"{value:5.1f}" for value in mean)
        rank = statistics.fmean(100 * f["rank1"] for f in found)
        minutes = statistics.fmean(f["minutes"] for f in found)
        gap = spread([a - b for a, b in zip(mean, first, strict=True)])
        size = found[0]["parameters"]
        print(f"{name:18} {size:10,.0f} {minutes:4.1f}  {each}  {spread(mean)}  {rank:5.1f}; {gap}")


def main() -> None:
    """Run what is missing and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="names in the study")
    parser.add_argument("--study", type=Path, default=Path("params/studies/ablations.yaml"))
    parser.add_argument("--folder", type=Path, default=Path(".reid/several_seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        open_world(given.folder, WorldSpec("bench", "A", seed))
    calls = [
        (name, seed)
        for seed in given.seeds
        for name in given.runs
        if not result(given.folder, name, seed, given.epochs).exists()
    ]
    common = (given.folder, given.study)
    run_side_by_side(run, common, [(*call, given.epochs) for call in calls], given.jobs)
    report(given.folder, given.runs, given.seeds, given.epochs)


if __name__ == "__main__":
    main()
