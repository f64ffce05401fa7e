import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.errors import ReidError
from reid.retrieval.evaluate import EvaluationSettings
from reid.retrieval.foreign.evaluation import evaluate_features, read_features
from reid.retrieval.reranking import RerankParams
from reid.retrieval.result import Result
from reid.stages.score import RESULT, Wanted, score_files, sheet_of
from reid.stages.trial_files import averaged

SETTINGS = EvaluationSettings(rerank=RerankParams(6, 3, 0.3), max_rank=20)
RERANKED = "rerank_k6_3_0.3"


def arrays(seed: int, cameras: bool = True) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    persons = np.repeat(np.arange(8), 6)
    features = generator.normal(size=(8, 12))[persons] + 1.5 * generator.normal(size=(48, 12))
    camera_ids = generator.integers(0, 3, 48)
    query = np.arange(48) % 6 == 0
    found = {
        "query_features": features[query],
        "gallery_features": features[~query],
        "query_person_ids": persons[query],
        "gallery_person_ids": persons[~query],
    }
    if cameras:
        found |= {"query_camera_ids": camera_ids[query], "gallery_camera_ids": camera_ids[~query]}
    return found


def files(folder: Path, count: int, cameras: bool = True) -> tuple[Path, ...]:
    paths = tuple(folder / f"regdb_{seed}.npz" for seed in range(1, count + 1))
    for seed, path in enumerate(paths):
        np.savez(path, **arrays(seed, cameras))
    return paths


def test_one_file_is_scored_as_its_arrays_are(tmp_path: Path) -> None:
    result = score_files(Wanted(files(tmp_path, 1)), SETTINGS, tmp_path / "out")
    expected = evaluate_features(**arrays(0), rerank=SETTINGS.rerank)
    for setting, prefix in (("plain", ""), (RERANKED, f"{RERANKED}/")):
        for name, value in expected.scores[setting].figures().items():
            assert result.metrics[f"regdb_1/market/{prefix}{name}"] == value
    assert Result.load(tmp_path / "out", RESULT).metrics == result.metrics
    assert sorted(p.name for p in (tmp_path / "out").iterdir() if p.is_file()) == [
        "regdb_1_market.png",
        "result.card.json",
        "result.json",
    ]


def test_several_files_are_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = score_files(Wanted(files(tmp_path, 3)), SETTINGS, tmp_path / "out")
    singles = [evaluate_features(**arrays(s), rerank=SETTINGS.rerank) for s in range(3)]
    precisions = [single.scores["plain"].mAP for single in singles]
    assert result.metrics["regdb/market/mAP"] == pytest.approx(np.mean(precisions), abs=1e-12)
    card = json.loads((tmp_path / "out" / "result.card.json").read_text())["regdb/market"]
    deviation = card["trial_deviation"]["plain"]["mAP"]
    assert deviation == pytest.approx(np.std(precisions, ddof=1), abs=1e-12)
    assert [one["source"] for one in card["files"]] == [f"regdb_{n}.npz" for n in (1, 2, 3)]
    assert card["files"][1]["figures"]["plain"]["mAP"] == precisions[1]
    queries = result.queries["regdb/market", "plain"]
    assert len(queries.paths) == 24
    assert queries.paths[0] == "regdb_1.npz:00000000"
    said = capsys.readouterr().out
    assert said.count("regdb_2.npz") == 2
    assert f"{100 * np.mean(precisions):.2f} ± {100 * deviation:.2f}" in said
    assert "3 files" in said


def test_a_single_evaluation_is_its_own_average() -> None:
    one = evaluate_features(**arrays(0))
    assert averaged([one]) is one


def test_default_protocol_follows_from_the_cameras(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = files(tmp_path, 1, cameras=False)
    result = score_files(Wanted((path,), name="shop"), SETTINGS)
    assert set(result.cards) == {"shop/no_camera"}
    with pytest.raises(ReidError, match=r"no camera ids under the protocol market; .*no_camera"):
        score_files(Wanted((path,), ("market",)), SETTINGS)


def test_raw_features_are_not_scaled(tmp_path: Path) -> None:
    paths = files(tmp_path, 1)
    scaled = score_files(Wanted(paths, ("market", "no_camera", "market")), SETTINGS)
    assert list(scaled.cards) == ["regdb_1/market", "regdb_1/no_camera"]
    raw = score_files(Wanted(paths, raw=True), SETTINGS)
    assert raw.cards["regdb_1/market"]["normalisation"] == "none"
    assert raw.metrics["regdb_1/market/mAP"] != scaled.metrics["regdb_1/market/mAP"]


def test_card_says_which_file(tmp_path: Path) -> None:
    paths = files(tmp_path, 2)
    cards = [read_features(path).card for path in paths]
    assert cards[0]["source"] == "regdb_1.npz"
    assert cards[0]["stored_as"] == "float32"
    assert len(cards[0]["source_digest"]) == 64
    assert cards[0]["source_digest"] != cards[1]["source_digest"]


def test_notes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "[a].npz", **arrays(0), epoch=np.zeros(1))
    score_files(Wanted((tmp_path / "[a].npz",)), SETTINGS)
    said = capsys.readouterr().out
    assert "note: ignored: epoch" in said
    assert "[a]/market (per cent)" in said


def test_sheet_tells_plain_from_reranked() -> None:
    sheet = sheet_of(evaluate_features(**arrays(0), rerank=SETTINGS.rerank), "toy")
    assert list(sheet.curves) == list(sheet.precisions) == ["plain", RERANKED]
    assert sheet.lines[0].startswith("8 queries")
