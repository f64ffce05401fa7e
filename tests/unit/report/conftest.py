"""Results of made-up runs, through the classes that the evaluate stage uses."""

import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reid.retrieval.answers import FirstAnswers
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
    "mlflow_run_id": "0123abcd",
    "cost": {
        "parameters": 1_234_567,
        "flops_per_image": 2_110_016,
        "flops_without": [],
        "images_per_second": 1234.5,
        "feature_bytes": 512,
        "training_seconds": 601.0,
        "seconds_per_query": 0.000_25,
    },
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
        right = np.random.default_rng(len(run) + 1).random(50) < level
        found = np.array([f"gallery/{run}_{number}.png" for number in range(50)])
        ranks = np.where(right, 1.0, 4.0)
        ranks[7] = np.nan
        scores = QueryScores(paths, precision, ranks, answers=FirstAnswers(found, right))
        keys = [(test_set, "plain"), (test_set, RERANK)]
        curves = {key: np.linspace(mean, 1, 20) for key in keys}
        cards = {test_set: {**CARD, **card}}
        breakdown = {test_set: {"camera_pairs": cameras(level)}}
        return Result(run, metrics, cards, curves, dict.fromkeys(keys, scores), breakdown)

    return make


def cameras(level: float) -> dict[str, Any]:
    """Scores of two cameras of queries and three of the gallery, one pair without a query."""
    return {
        "query_cameras": [0, 2],
        "gallery_cameras": [0, 1, 2],
        "queries": [[0, 9, 8], [7, 9, 3]],
        "mAP": [[None, level, level / 2], [level, 1.0, level]],
        "rank1": [[None, level, level], [level, 1.0, level]],
    }


@pytest.fixture
def read_image() -> Callable[[str, str], bytes]:
    """Return a function that makes the picture of a path, like a photograph hard to shorten."""

    def read(dataset: str, path: str) -> bytes:
        seed = zlib.crc32(f"{dataset}/{path}".encode())
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((64, 128)).save(file, format="PNG")
        return file.getvalue()

    return read
