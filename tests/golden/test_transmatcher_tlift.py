"""Temporal lifting against the published code; all sizes and parameters are from the pack."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from reid.retrieval.tlift import Moments, TLiftParams, lifted

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
TENSORS = {"score_in", "gal_cam", "gal_time", "prob_cam", "prob_time", "score_out"}


def _facts(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _paths() -> list[Path]:
    packs = sorted(ROOT.glob("*/pack.json"))
    return [path for path in packs if "tl.score_in" in _facts(path).get("tensors", {})]


@pytest.fixture(params=_paths(), ids=lambda path: path.parent.name)
def pack(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    tensors = load_file(request.param.parent / "tensors.safetensors")
    mine = {name.removeprefix("tl."): x for name, x in tensors.items() if name.startswith("tl.")}
    return _facts(request.param), mine


def test_packs_are_there() -> None:
    assert _paths()


def test_every_entry_is_known(pack: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
    facts, tensors = pack
    assert set(tensors) == TENSORS
    for names in (facts, facts["tensors"]):
        assert {name.removeprefix("tl.") for name in names if name.startswith("tl.")} <= TENSORS
    queries, gallery, cameras = facts["config"]["tl"]
    assert tensors["score_in"].shape == (queries, gallery)
    assert max(tensors["gal_cam"].max(), tensors["prob_cam"].max()) < cameras


def test_lifted_scores(pack: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
    facts, tensors = pack
    config = facts["config"]
    params = TLiftParams(config["tau"], config["sigma"], config["K"], config["alpha"])
    query = Moments(tensors["prob_cam"], tensors["prob_time"])
    gallery = Moments(tensors["gal_cam"], tensors["gal_time"])
    found = lifted(tensors["score_in"], query, gallery, params)
    tolerance = facts["tolerance"]["tlift"]
    np.testing.assert_allclose(
        found, tensors["score_out"], tolerance.get("rtol", 0), tolerance["atol"]
    )
