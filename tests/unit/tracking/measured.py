"""Results of made-up runs, registered through the function that the register stage uses."""

from pathlib import Path
from typing import Any

import numpy as np

from reid.methods.model_directory import WEIGHTS_FILE
from reid.retrieval.result import QueryScores, Result
from reid.tracking.digest import sha256
from reid.tracking.model_card import Conditions
from reid.tracking.registry import register_model

HOME = "synth/market"
USE = "Research on generated people."
TEST = Conditions("synth", "cd" * 32, {"distance": "squared Euclidean", "flip": False})
QUERIES = 80
CAMERAS = np.repeat(["1", "2"], [60, 20])
RERANK = "rerank_k20_6_0.3"


def made_result(folder: Path, mean: float, test: str = HOME, camera_2: float = 0.0) -> Result:
    """Return a result whose queries score about `mean`.

    Args:
        folder: Model directory, whose weights are said to be measured.
        camera_2: Added to the scores of the queries of camera 2, taken from the others.
    """
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, QUERIES)
    tilt = np.where(CAMERAS == "2", camera_2, -camera_2 / 3)
    precision = mean + noise - noise.mean() + tilt
    paths = np.array([f"query/{number}.png" for number in range(QUERIES)])
    scores = QueryScores(paths, precision, np.ones(QUERIES), {"camera": CAMERAS})
    pairs = {
        "query_cameras": [1, 2],
        "gallery_cameras": [1, 2],
        "queries": [[0, 60], [20, 0]],
        "mAP": [[None, mean - camera_2 / 3], [mean + camera_2, None]],
        "rank1": [[None, 1.0], [1.0, None]],
    }
    card = {"model_digest": sha256(folder / WEIGHTS_FILE), "trial_mean": {"plain": {}}}
    return Result(
        folder.name,
        {f"{test}/mAP": mean, f"{test}/{RERANK}/mAP": mean + 0.1},
        {test: card},
        {(test, "plain"): np.ones(3)},
        {(test, "plain"): scores},
        {test: {"camera_pairs": pairs, "groups": {}}},
    )


def register(folder: Path, mean: float, mlruns: Path, **changes: Any) -> dict[str, Any]:
    """Register a model directory with a made-up result on one test."""
    conditions = changes.pop("test", TEST)
    name = f"{conditions.dataset}/market"
    use, provenance = changes.pop("use", USE), changes.pop("provenance", {})
    result = made_result(folder, mean, name, **changes)
    return register_model(folder, result, {name: conditions}, use, mlruns, provenance)
