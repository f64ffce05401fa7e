import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reid.errors import DataError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import EvaluationSettings, evaluate
from reid.retrieval.expansion import ExpansionParams
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.reranking import RerankParams
from reid.retrieval.result import Result
from reid.retrieval.tlift import TLiftParams

FIGURES = ("mAP", "mINP", "rank1", "rank5", "rank10", "rank20")


def toy() -> Embeddings:
    generator = np.random.default_rng(0)
    persons = np.repeat(np.arange(8), 6)
    return Embeddings(
        generator.normal(size=(8, 5))[persons] + generator.normal(size=(48, 5)),
        persons,
        np.tile([0, 1, 2], 16),
        np.tile(["query", "gallery", "gallery"], 16),
        [f"{row}.png" for row in range(48)],
        {"dataset": "toy", "flip": True},
    )


@pytest.fixture(scope="module")
def result() -> Result:
    names = ("market", "vehicleid")
    return Result.of("bot", [evaluate(toy(), PROTOCOLS[name]) for name in names])


def test_metric_names_carry_protocol_and_setting(result: Result) -> None:
    prefixes = [
        f"toy/{protocol}{setting}"
        for protocol in ("market", "vehicleid")
        for setting in ("", "/rerank_k20_6_0.3")
    ]
    pairs = ("auc", "eer", *(f"tpr_at_fpr_{rate}" for rate in ("0.0001", "0.001", "0.01", "0.1")))
    ranked = {f"{prefix}/{name}" for prefix in prefixes for name in FIGURES}
    verified = {f"toy/{protocol}/{name}" for protocol in ("market", "vehicleid") for name in pairs}
    assert set(result.metrics) == ranked | verified
    assert result.metrics["toy/market/mAP"] != result.metrics["toy/market/rerank_k20_6_0.3/mAP"]
    assert set(result.cards) == {"toy/market", "toy/vehicleid"}


def test_other_settings_have_a_column_of_their_own(tmp_path: Path) -> None:
    settings = EvaluationSettings(rerank=None, expansions=(ExpansionParams(3),))
    made = Result.of("bot", [evaluate(toy(), PROTOCOLS["market"], settings)])
    made.save(tmp_path)
    curves = pd.read_csv(tmp_path / "cmc/bot/toy_market.csv")
    assert list(curves) == ["rank", "plain", "alpha_qe_k3_3"]
    assert "toy/market/alpha_qe_k3_3/mAP" in made.metrics
    assert list(Result.load(tmp_path, "bot").curves) == list(made.curves)


def test_columns_of_variants_and_of_lifted_distances_are_not_that_of_reranking(
    tmp_path: Path,
) -> None:
    settings = EvaluationSettings(
        RerankParams(4, 2, 0.00001), variants=("query_only",), lift=TLiftParams()
    )
    timed = replace(toy(), seconds=np.arange(48.0))
    made = Result.of("bot", [evaluate(timed, PROTOCOLS["market"], settings)])
    made.save(tmp_path)
    curves = pd.read_csv(tmp_path / "cmc/bot/toy_market.csv")
    lifted = "rerank_k4_2_1e-05_tlift_t100_s200_k10_0.2"
    variant = "rerank_query_only_k4_2_1e-05"
    assert list(curves) == ["rank", "plain", "reranked", lifted, variant]
    assert f"toy/market/{variant}/mAP" in made.metrics
    read = Result.load(tmp_path, "bot")
    assert list(read.curves) == list(made.curves)
    for key, curve in made.curves.items():
        np.testing.assert_array_equal(read.curves[key], curve)


def test_what_is_saved_comes_back(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    read = Result.load(tmp_path, "bot")
    assert read.metrics == result.metrics
    assert read.cards == result.cards
    assert read.breakdowns == result.breakdowns
    assert list(read.curves) == list(result.curves)
    for key, curve in result.curves.items():
        np.testing.assert_array_equal(read.curves[key], curve)
        mine, theirs = result.queries[key], read.queries[key]
        np.testing.assert_array_equal(theirs.paths, mine.paths)
        np.testing.assert_array_equal(theirs.average_precision, mine.average_precision)
        np.testing.assert_array_equal(theirs.first_match_rank, mine.first_match_rank)
        assert mine.answers is not None
        assert theirs.answers is not None
        np.testing.assert_array_equal(theirs.answers.paths, mine.answers.paths)
        np.testing.assert_array_equal(theirs.answers.right, mine.answers.right)


def test_plain_scores_know_the_groups_of_their_queries(tmp_path: Path) -> None:
    hidden = np.where(np.arange(48) < 24, 0.0, 0.5).astype(np.float32)
    varied = replace(toy(), occlusions=hidden, camera_ids=np.arange(48) % 5)
    made = Result.of("bot", [evaluate(varied, PROTOCOLS["market"])])
    made.save(tmp_path)
    read = Result.load(tmp_path, "bot").queries
    assert set(read["toy/market", "plain"].groups) == {"camera", "occlusion"}  # one modality alone
    groups = read["toy/market", "plain"].groups
    assert groups["occlusion"].tolist() == ["none"] * 8 + ["occluded_33_67"] * 8
    assert groups["camera"].tolist() == [str(row % 5) for row in range(0, 48, 3)]
    assert not read["toy/market", "rerank_k20_6_0.3"].groups


def test_files_and_columns(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert names == [
        "bot.card.json",
        "bot.json",
        "breakdown/bot.json",
        "cmc/bot/toy_market.csv",
        "cmc/bot/toy_vehicleid.csv",
        "queries/bot.parquet",
    ]
    metrics = json.loads((tmp_path / "bot.json").read_text())
    assert list(metrics) == sorted(metrics)
    curves = pd.read_csv(tmp_path / "cmc/bot/toy_market.csv")
    assert list(curves) == ["rank", "plain", "reranked"]
    assert len(curves) == 50
    queries = pd.read_parquet(tmp_path / "queries/bot.parquet")
    assert list(queries) == [
        "test_set",
        "setting",
        "query",
        "valid",
        "average_precision",
        "first_match_rank",
        "camera",
        "modality",
        "occlusion",
        "first_answer",
        "first_answer_right",
    ]
    assert (queries["valid"] == queries["average_precision"].notna()).all()


def test_records_without_answers_are_read_too(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    file = tmp_path / "queries/bot.parquet"
    pd.read_parquet(file).drop(columns=["first_answer", "first_answer_right"]).to_parquet(file)
    read = Result.load(tmp_path, "bot").queries["toy/market", "plain"]
    assert read.answers is None
    mine = result.queries["toy/market", "plain"]
    np.testing.assert_array_equal(read.average_precision, mine.average_precision)


def test_answers_of_several_files_are_no_answers(tmp_path: Path) -> None:
    made = replace(evaluate(toy(), PROTOCOLS["market"]), answers={})
    Result.of("bot", [made]).save(tmp_path)
    assert Result.load(tmp_path, "bot").queries["toy/market", "plain"].answers is None


def test_saving_again_gives_the_same_bytes(result: Result, tmp_path: Path) -> None:
    contents = []
    for name in ("first", "second"):
        result.save(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def test_a_missing_file_is_named(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    (tmp_path / "cmc/bot/toy_market.csv").unlink()
    with pytest.raises(
        DataError, match=r"toy_market\.csv: no such file; .* Run the evaluate stage again"
    ):
        Result.load(tmp_path, "bot")


def test_a_damaged_file_is_one_line(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    (tmp_path / "bot.json").write_text("{")
    with pytest.raises(DataError, match="bot: cannot be read") as caught:
        Result.load(tmp_path, "bot")
    assert "\n" not in str(caught.value)
