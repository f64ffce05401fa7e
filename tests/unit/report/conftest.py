"""Results of made-up runs, through the classes that the evaluate stage uses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from reid.retrieval.result import QueryScores, Result

TEST_SET = "synth/market"
RERANK = "rerank_k20_6_0.3"
CARD: dict[str, Any] = {
    "protocol": "market",
    "distance": "squared_euclidean",
    "normalisation": "l2",
    "exclusion_rule": "junk; same person and camera",
    "gallery_draw": "all",
    "counting": "images",
    "trials": 1,
    "seed": 0,
    "manifest_digest": "ab" * 32,
    "queries": 50,
    "gallery": 400,
    "valid_queries": 49,
    "method": "bot",
    "train_dataset": "synth",
    "uses_camera_ids": False,
    "flip": False,
    "precision": "fp32",
    "feature_size": 128,
    "images_per_second": 1234.5,
    "device": "cpu",
    "trial_deviation": {"plain": {}, RERANK: {}},
}


@pytest.fixture
def make_result() -> Callable[..., Result]:
    """Return a function that makes the result of a run whose queries score about `level`."""

    def make(run: str, level: float, test_set: str = TEST_SET, **card: Any) -> Result:
        noise = np.random.default_rng(len(run)).uniform(-0.05, 0.05, 50)
        precision = np.clip(level + noise, 0, 1)
        precision[7] = np.nan
        mean = float(np.nanmean(precision))
        names = ("mAP", "rank1", "rank5", "rank10", "mINP")
        metrics = {f"{test_set}/{name}": mean for name in names}
        metrics |= {f"{test_set}/{RERANK}/{name}": min(1.0, mean + 0.1) for name in names}
        paths = np.array([f"query/{number}.png" for number in range(50)])
        scores = QueryScores(paths, precision, np.ones(50))
        keys = [(test_set, "plain"), (test_set, RERANK)]
        curves = {key: np.array([mean]) for key in keys}
        cards = {test_set: {**CARD, **card}}
        return Result(run, metrics, cards, curves, dict.fromkeys(keys, scores), {test_set: {}})

    return make
