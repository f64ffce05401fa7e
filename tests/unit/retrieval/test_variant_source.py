from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from reid.errors import EvaluationError, ParamsError
from reid.retrieval.distance import normalise
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, Evaluation, EvaluationSettings, Scored, evaluate
from reid.retrieval.memory import Plan
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.reranking import RerankParams
from reid.retrieval.reranking_variants import VARIANTS, variant_blocks
from reid.retrieval.scoring import score
from reid.retrieval.space import MatrixSpace
from reid.retrieval.testset import TestSet
from reid.retrieval.variant_source import EXPLOITS, variant_setting
from reid.study_evaluation import EvaluationEntry, VariantName

PARAMS = RerankParams(6, 3, 0.3)
NAME = "rerank_query_only_k6_3_0.3"
SETTINGS = EvaluationSettings(PARAMS, variants=("query_only",))


def world(roles: tuple[str, str] = ("query", "gallery")) -> Embeddings:
    """Twelve people, eight images of each; every image has a length of its own."""
    generator = np.random.default_rng(0)
    persons = np.repeat(np.arange(12), 8)
    features = generator.normal(size=(12, 16))[persons] + generator.normal(size=(96, 16))
    modalities = np.tile(["ir", "rgb"], 48)
    return Embeddings(
        features.astype(np.float32),
        persons,
        np.where(modalities == "ir", 2, generator.integers(0, 2, 96)),
        np.tile(roles, 48),
        [f"{row:03d}.png" for row in range(96)],
        {"dataset": "toy"},
        modalities,
    )


class Direct:
    """Distances of a variant, as the published code is fed: both sides, trial by trial."""

    def __init__(self, name: str, features: np.ndarray) -> None:
        self.name, self.features = name, features

    def blocks(self, query_rows: Any, gallery_rows: Any, block_size: int) -> Any:
        sides = self.features[query_rows], self.features[gallery_rows]
        return variant_blocks(self.name, *sides, PARAMS, block_size)


def rows_of(toy: Embeddings) -> np.ndarray:
    return np.concatenate([np.flatnonzero(toy.roles == role) for role in ("query", "gallery")])


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("protocol", ["market", "sysu_indoor_single"])
def test_every_variant_is_scored_in_every_trial(name: str, protocol: str) -> None:
    toy, rule = world(), replace(PROTOCOLS[protocol], trials=1 if protocol == "market" else 3)
    made = evaluate(toy, rule, replace(SETTINGS, variants=(name,)))
    rows = rows_of(toy)
    features = toy.features[rows]
    given = features if name == "openunreid" else normalise(features)
    expected, _ = score(Direct(name, given), TestSet.of("toy", toy, rows), rule)
    found = made.scores[f"rerank_{name}_k6_3_0.3"]
    assert found.figures() == pytest.approx(expected.figures(), abs=1e-6)
    assert list(made.scores) == [PLAIN, PARAMS.name, variant_setting(name, PARAMS)]


def test_other_scores_stay_as_they_are() -> None:
    toy, market = world(), PROTOCOLS["market"]
    beside, alone = evaluate(toy, market, SETTINGS), evaluate(toy, market, without_variants())
    for setting, scores in alone.scores.items():
        assert beside.scores[setting].figures() == scores.figures()
    assert beside.scores[NAME].mAP != beside.scores[PARAMS.name].mAP
    assert alone.card["rerank_variants"] == {}


def without_variants() -> EvaluationSettings:
    return replace(SETTINGS, variants=())


def test_the_card_says_what_a_variant_exploits() -> None:
    card = evaluate(world(), PROTOCOLS["market"], SETTINGS).card
    assert card["rerank_variants"] == {NAME: f"exploits {EXPLOITS['query_only']}"}
    assert "all test queries are known at once" in EXPLOITS["query_only"]
    assert NAME in card["transductive"]


@pytest.mark.parametrize("name", ["query_only", "openunreid"])
def test_memory_changes_no_score(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    settings = replace(SETTINGS, variants=(name,))

    def made() -> Evaluation:
        return evaluate(world(), PROTOCOLS["market"], settings)

    expected = made()
    plan = Plan(block_size=5, hold=False)
    monkeypatch.setattr(Plan, "of", lambda *_: plan)
    setting = variant_setting(name, PARAMS)
    np.testing.assert_array_equal(
        made().scores[setting].average_precision, expected.scores[setting].average_precision
    )


def test_an_image_on_both_sides_is_refused() -> None:
    toy = world(("pool", "pool"))
    with pytest.raises(EvaluationError) as caught:
        evaluate(toy, PROTOCOLS["cuhk03"], SETTINGS)
    assert str(caught.value) == (
        "toy: 96 images that are query and gallery image at once under the protocol cuhk03; "
        "expected none, as the re-ranking variant query_only would find them twice. "
        "Leave the variant out, or take another protocol."
    )


def test_too_few_queries_are_refused_before_anything_is_computed() -> None:
    settings = EvaluationSettings(RerankParams(48, 3, 0.3), variants=("query_only",))
    parts: list[str] = []

    def report(part: str) -> Any:
        parts.append(part)
        raise AssertionError(part)

    with pytest.raises(EvaluationError, match="48 queries for neighbour lists that hold 49"):
        evaluate(world(), PROTOCOLS["market"], settings, report)
    assert parts == []


def test_pair_scores_have_no_variants() -> None:
    toy = world()
    space = MatrixSpace(np.ones((96, 96), np.float32))
    with pytest.raises(EvaluationError, match="re-ranking variant query_only of pair scores"):
        evaluate(toy, PROTOCOLS["market"], SETTINGS, scored=Scored(space, {}))


def test_unknown_name() -> None:
    with pytest.raises(ParamsError, match=r"'query_onyl' \(did you mean 'query_only'\?\)"):
        evaluate(world(), PROTOCOLS["market"], replace(SETTINGS, variants=("query_onyl",)))


def test_a_variant_never_stands_alone() -> None:
    with pytest.raises(ParamsError, match="the re-ranking variant query_only without re-ranking"):
        EvaluationSettings(None, variants=("query_only",))


def test_a_study_knows_every_variant() -> None:
    assert set(get_args(VariantName)) == set(VARIANTS) == set(EXPLOITS)
    assert EvaluationEntry.model_validate({}).rerank_variants == ()
    chosen = EvaluationEntry.model_validate({"rerank_variants": ["query_only"]})
    assert chosen.rerank_variants == ("query_only",)
