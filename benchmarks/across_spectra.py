"""IDKL, its parts and two outsiders between visible and infrared images, over several seeds.

Every run of the study that is named is trained on the bench world with infrared cameras of each
seed, from scratch, by its recipe and overrides, on one thread. All see the same batches of both
spectra, equally many. People that were not seen are searched from infrared to visible and back, by
all cameras and indoors. Prints plain mAP, mean and standard deviation over the seeds, beside what
features at random reach; and in the last epoch how often a classifier tells the spectrum from the
shared and from the specific branch. Draws both over the epochs into --folder.

What is finished is kept in --folder, so that a second call goes on.
Examples: python benchmarks/across_spectra.py idkl idkl_base --epochs 10
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_runs import run_side_by_side, spread
from bench_world import embed, open_world, plain_figures, train

from reid.data.synthetic import WorldSpec
from reid.methods.registry import load_recipe
from reid.params import merge
from reid.report.training_curves import draw_training_curves
from reid.stages.feature_store import make_embeddings, rows_to_embed
from reid.study import load_study

RUNS = (
    "idkl",
    "idkl_base",
    "idkl_nopurify",
    "idkl_notgsa",
    "bot_across",
    "transreid_across",
)
PROTOCOLS = {
    "IR to RGB, all": "sysu_all_single",
    "indoor": "sysu_indoor_single",
    "RGB to IR, all": "sysu_all_visible_to_infrared",
    "from indoor": "sysu_indoor_visible_to_infrared",
}
CHANCE = "chance"
WIDTH = 32  # of the features at random


def world(folder: Path, seed: int) -> Any:
    """Make or open the world of a seed."""
    return open_world(folder, WorldSpec("bench", "A", seed, kind="cross_modal"))


def run(folder: Path, study: Path, name: str, seed: int, epochs: int) -> None:
    """Train one run on the world of a seed and keep its figures and its history."""
    if name == CHANCE:
        kept: dict[str, Any] = {"figures": chance(folder, seed)}
    else:
        entry = load_study(study).runs[name]
        schedule = {"schedule": {"epochs": epochs, "warmup_epochs": 3}}
        recipe = load_recipe(Path(entry.recipe), merge(entry.overrides, schedule))
        begun = time.process_time()
        network, history = train(recipe, world(folder, seed), seed)
        spent = time.process_time() - begun
        stored = embed(network, recipe, world(folder, seed), world(folder, seed)[0].train_cameras)
        figures = {title: plain_figures(stored, protocol=p) for title, p in PROTOCOLS.items()}
        kept = {"figures": figures, "history": history, "minutes": spent / 60}
    target = result(folder, name, seed, epochs)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(kept), encoding="utf-8")


def chance(folder: Path, seed: int) -> dict[str, dict[str, float]]:
    """Score features at random."""
    rows = rows_to_embed("world", world(folder, seed)[0])
    features = np.random.default_rng(seed).normal(size=(len(rows), WIDTH)).astype(np.float32)
    stored = make_embeddings(rows, features, {"dataset": "world"})
    return {title: plain_figures(stored, protocol=name) for title, name in PROTOCOLS.items()}


def result(folder: Path, name: str, seed: int, epochs: int) -> Path:
    """Where the figures of a run are kept."""
    return folder / "results" / f"{name}_{seed}_{epochs}.json"


def report(folder: Path, names: list[str], seeds: list[int], epochs: int) -> None:
    """Print the table and draw the histories of the first seed."""
    print(f"{'plain mAP':18}" + "".join(f"{title:>24}" for title in PROTOCOLS) + "   CPU min.")
    for name in names:
        texts = (result(folder, name, s, epochs).read_text(encoding="utf-8") for s in seeds)
        found = [json.loads(text) for text in texts]
        cells = []
        for title in PROTOCOLS:
            means = [100 * one["figures"][title]["mAP"] for one in found]
            rank = statistics.fmean(100 * one["figures"][title]["rank1"] for one in found)
            cells.append(f"{spread(means)} (R1 {rank:4.1f})")
        minutes = statistics.fmean(one.get("minutes", 0) for one in found)
        print(f"{name:18}" + "".join(f"{cell:>24}" for cell in cells) + f"{minutes:8.1f}")
        if "history" in found[0]:
            _report_spectrum(name, [one["history"] for one in found])
            path = folder / f"curves_{name}.png"
            draw_training_curves(found[0]["history"], path, f"{name}, seed {seeds[0]}")


def _report_spectrum(name: str, histories: list[list[dict[str, float]]]) -> None:
    """Print what the classifiers of the spectrum tell at the end, where there are any."""
    for branch in ("shared", "specific"):
        key = f"accuracy_modality_{branch}"
        if key in histories[0][-1]:
            shares = [100 * history[-1][key] for history in histories]
            print(f"    {name}: spectrum told from the {branch} branch {spread(shares)} %")


def main() -> None:
    """Run what is missing and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", default=RUNS, help="names in the study")
    parser.add_argument("--study", type=Path, default=Path("params/studies/ablations.yaml"))
    parser.add_argument("--folder", type=Path, default=Path(".reid/across_spectra"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        world(given.folder, seed)
    names = [CHANCE, *given.runs]
    calls = [
        (name, seed)
        for name in names
        for seed in given.seeds
        if not result(given.folder, name, seed, given.epochs).exists()
    ]
    common = (given.folder, given.study)
    run_side_by_side(run, common, [(*call, given.epochs) for call in calls], given.jobs)
    report(given.folder, names, given.seeds, given.epochs)


if __name__ == "__main__":
    main()
