"""How well methods hold on people of another domain: bench worlds A (summer) and B (winter).

Every method is trained from fresh weights with its demo recipe on one world of each seed, on one
thread, and scored on unseen people of that world and of the other one. `shortlist K` takes the K
images that TransReID finds first and puts them into the order of TransMatcher. Prints mAP of each
seed, mean and standard deviation, rank-1, and the seconds that a query takes behind its features.

What is finished is kept in --folder, so that a second call goes on.
Example: python benchmarks/cross_domain.py --seeds 21 22 23
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from bench_runs import run_side_by_side, spread
from bench_world import World, all_pairs, embed, open_world, plain_figures, train

from reid.data.synthetic import WorldSpec
from reid.methods.base import EmbeddingNetwork
from reid.methods.registry import load_recipe
from reid.recipe import Recipe
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Scored, known_rows
from reid.retrieval.features import FeatureRows
from reid.retrieval.shortlist import Shortlist
from reid.retrieval.space import FeatureSpace

# bench worlds have three times the images of a demo world, so that fewer epochs do
EPOCHS = {"bot": 12, "transreid": 20, "transmatcher": 9}
SHORTLISTS = (50, 100, 200)
DOMAINS = ("A", "B")
Figures = dict[str, float]


def run(folder: Path, seed: int, home: str) -> None:
    """Train all methods on one world, score them on both, and keep the figures."""
    worlds = {domain: open_world(folder, WorldSpec("bench", domain, seed)) for domain in DOMAINS}
    trained = {method: _trained(method, worlds[home], seed) for method in EPOCHS}
    found: dict[str, Figures] = {}
    for domain, world in worlds.items():
        stores = {}
        for method, (network, recipe) in trained.items():
            cameras = world[0].train_cameras if domain == home else ()
            stores[method] = embed(network, recipe, world, cameras)
            found[f"{method} {home} to {domain}"] = _timed(network, stores[method])
        for name, figures in _shortlists(stores, trained["transmatcher"][0]):
            found[f"{name} {home} to {domain}"] = figures
    target = result(folder, seed, home)
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(found), encoding="utf-8")


def _trained(method: str, world: World, seed: int) -> tuple[EmbeddingNetwork, Recipe]:
    path = Path(f"params/methods/{method}/demo.yaml")
    recipe = load_recipe(path)
    schedule = {"epochs": EPOCHS[method], "warmup_epochs": min(2, recipe.schedule.warmup_epochs)}
    recipe = load_recipe(path, {"schedule": schedule})
    return train(recipe, world, seed)[0], recipe


def _timed(network: EmbeddingNetwork, store: Embeddings) -> Figures:
    begun = time.perf_counter()
    figures = plain_figures(store, all_pairs(network, store))
    seconds = (time.perf_counter() - begun) / int(store.is_query.sum())
    return {**figures, "seconds": seconds}


def _shortlists(
    stores: dict[str, Embeddings], matcher: EmbeddingNetwork
) -> Iterator[tuple[str, Figures]]:
    matched, chosen, scorer = stores["transmatcher"], stores["transreid"], matcher.scorer()
    if scorer is None:
        raise RuntimeError("TransMatcher scores pairs")
    rows = known_rows(matched)
    for count in SHORTLISTS:
        base = FeatureSpace(FeatureRows(chosen.features, "transreid", True, rows))
        begun = time.perf_counter()
        scored = Scored(Shortlist(base, scorer, matched.features, rows, count), {})
        figures = plain_figures(matched, scored)
        seconds = (time.perf_counter() - begun) / int(matched.is_query.sum())
        yield f"shortlist {count}", {**figures, "seconds": seconds}


def result(folder: Path, seed: int, home: str) -> Path:
    """Where the figures of all methods trained on one world are kept."""
    return folder / "results" / f"cross_domain_{home}_{seed}.json"


def report(folder: Path, seeds: list[int]) -> None:
    """Print a table for each pair of worlds."""
    for home in DOMAINS:
        texts = [result(folder, seed, home).read_text(encoding="utf-8") for seed in seeds]
        found = [json.loads(text) for text in texts]
        for name in found[0]:
            scores = [100 * figures[name]["mAP"] for figures in found]
            rank = statistics.fmean(100 * figures[name]["rank1"] for figures in found)
            seconds = statistics.fmean(figures[name]["seconds"] for figures in found)
            each = " ".join(f"{score:5.1f}" for score in scores)
            figures = f"{each}  {spread(scores)}  rank-1 {rank:5.1f}"
            print(f"{name:24} {figures}  {1000 * seconds:7.1f} ms a query")


def main() -> None:
    """Run what is missing and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(".reid/cross_domain"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in given.seeds:
        for domain in DOMAINS:
            open_world(given.folder, WorldSpec("bench", domain, seed))
    calls = [
        (seed, home)
        for seed in given.seeds
        for home in DOMAINS
        if not result(given.folder, seed, home).exists()
    ]
    run_side_by_side(run, (given.folder,), calls, given.jobs)
    report(given.folder, given.seeds)


if __name__ == "__main__":
    main()
