"""Scores of pairs and shortlists, from a small model and a store of its features."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from reid.errors import DataError, ParamsError
from reid.methods.base import DataFacts
from reid.methods.model_directory import WEIGHTS_FILE, ModelCard, load_model, save_model
from reid.methods.registry import build_network, load_recipe
from reid.params import merge
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, EvaluationSettings, evaluate
from reid.retrieval.pair_scorer import score_distances
from reid.retrieval.protocols import protocol_named
from reid.retrieval.reranking import RerankParams
from reid.retrieval.space import Space
from reid.stages.pair_scores import scored_pairs
from reid.stages.paths import embeddings_folder, model_folder, results_folder, scores_file
from reid.stages.shortlist import evaluate_shortlist
from reid.study import STUDY_FILE, Study, load_study

ROOT = Path(__file__).parents[3]
RUN, WORLD, ROWS = "transmatcher", "synth_smoke_a", 24
MARKET = protocol_named("market")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    use(evaluation={"pictures": 0})
    return tmp_path


def use(**changes: Any) -> Study:
    """Put the smoke study in place, with changes; return it."""
    data = yaml.safe_load((ROOT / "params/studies/smoke.yaml").read_text())
    STUDY_FILE.parent.mkdir(exist_ok=True)
    STUDY_FILE.write_text(yaml.safe_dump(merge(data, changes)))
    return load_study()


def save_trained(run: str = RUN, seed: int = 0) -> str:
    """Write a model with random weights; return their digest."""
    recipe = load_recipe(ROOT / "params/methods" / RUN / "smoke.yaml")
    facts: dict[str, Any] = {
        "run": run,
        "study": "smoke",
        "method": RUN,
        "person_ids": (1, 2),
        "camera_ids": (0, 1),
        "num_views": 1,
        "feature_size": 1,
        "parameters": 1,
        "train_dataset": WORLD,
        "manifest_digest": "ab",
        "licence": "CC0",
        "status": "open",
        "consent": "synthetic",
        "precision": "fp32",
        "seed": seed,
        "epochs": 1,
        "version": "0",
    }
    torch.manual_seed(seed)
    network = build_network(recipe, DataFacts(2, 2, 1))
    target = model_folder("smoke", run)
    target.mkdir(parents=True, exist_ok=True)
    save_model(target, network, recipe, ModelCard.model_validate(facts))
    return hashlib.sha256((target / WEIGHTS_FILE).read_bytes()).hexdigest()


def store(run: str, width: int, card: Mapping[str, Any]) -> Embeddings:
    generator = np.random.default_rng(len(run))
    rows = np.arange(ROWS)
    made = Embeddings(
        features=generator.standard_normal((ROWS, width)).astype(np.float32),
        person_ids=rows // 4 % 3,
        camera_ids=rows % 3,
        roles=np.where(rows % 3 == 0, "query", "gallery"),
        paths=np.array([f"{row}.jpg" for row in rows]),
        card={"dataset": WORLD, "run": run, "manifest_digest": "ab", **card},
    )
    target = embeddings_folder("smoke", run)
    target.mkdir(parents=True, exist_ok=True)
    made.save(target / WORLD)
    return made


@pytest.fixture
def embedded(folder: Path) -> Embeddings:
    digest = save_trained()
    size = load_model(model_folder("smoke", RUN)).network.feature_size
    return store(RUN, size, {"scored_in_pairs": True, "model_digest": digest})


def scores(embeddings: Embeddings) -> Any:
    scorer = load_model(model_folder("smoke", RUN)).network.scorer()
    assert scorer is not None
    return scorer.scores(embeddings.features, embeddings.features)


def test_features_need_no_scores(folder: Path) -> None:
    with scored_pairs(load_study(), "bot", store("bot", 4, {})) as found:
        assert found is None


def test_distances_of_all_pairs_follow_from_their_scores(embedded: Embeddings) -> None:
    with scored_pairs(load_study(), RUN, embedded) as found:
        assert found is not None
        assert isinstance(found.source, Space)
        made = evaluate(embedded, MARKET, EvaluationSettings(RerankParams(4, 2, 0.3)), scored=found)
        assert scores_file("smoke", RUN, WORLD).exists()
    assert not scores_file("smoke", RUN, WORLD).exists()
    assert list(made.scores) == [PLAIN, "rerank_k4_2_0.3"]
    assert made.card["distance"] == "1 - sigmoid(pair score / 10)"
    assert made.card["scored_pairs"] == ROWS**2
    truth = score_distances(scores(embedded))
    nearest = made.nearest[PLAIN]
    for query, row, distances in zip(
        nearest.query_rows, nearest.gallery_rows, nearest.distances, strict=True
    ):
        shown = row >= 0
        np.testing.assert_allclose(distances[shown], truth[query, row[shown]], rtol=1e-5)


def test_without_re_ranking_queries_meet_the_gallery_alone(embedded: Embeddings) -> None:
    study = use(evaluation={"pairs": {"rerank": False}})
    settings = EvaluationSettings(rerank=None)
    with scored_pairs(study, RUN, embedded) as part:
        assert part is not None
        assert part.facts["scored_pairs"] == 8 * 16
        few = evaluate(embedded, MARKET, settings, scored=part)
    with scored_pairs(use(), RUN, embedded) as whole:
        many = evaluate(embedded, MARKET, settings, scored=whole)
    assert few.scores[PLAIN].figures() == many.scores[PLAIN].figures()


def test_a_stopped_evaluation_keeps_its_scores(embedded: Embeddings) -> None:
    with pytest.raises(KeyboardInterrupt), scored_pairs(load_study(), RUN, embedded):
        raise KeyboardInterrupt
    written = scores_file("smoke", RUN, WORLD).stat().st_ino
    with scored_pairs(load_study(), RUN, embedded):
        assert scores_file("smoke", RUN, WORLD).stat().st_ino == written


def test_features_of_another_model_are_refused(embedded: Embeddings) -> None:
    save_trained(seed=1)
    with (
        pytest.raises(DataError, match=r"model \w{12}, to be scored by model \w{12}.*embed@trans"),
        scored_pairs(load_study(), RUN, embedded),
    ):
        pass


def test_a_long_scoring_is_refused_before_it_begins(embedded: Embeddings) -> None:
    study = use(evaluation={"pairs": {"hours": 1e-9}})
    with (
        pytest.raises(ParamsError, match=r"scoring 576 pairs.*at most 1e-09 hours"),
        scored_pairs(study, RUN, embedded),
    ):
        pass


def test_a_shortlist_is_scored_under_a_name_of_its_own(embedded: Embeddings) -> None:
    cost = {"parameters": 30, "images_per_second": 20.0, "flops_without": ["scan"]}
    store("transreid", 5, {"model_digest": "cd", "cost": cost})
    matcher = {"parameters": 12, "images_per_second": 20.0, "feature_bytes": 8}
    stem = embeddings_folder("smoke", RUN) / WORLD
    replace(embedded, card={**embedded.card, "cost": matcher}).save(stem)
    evaluate_shortlist("transmatcher_shortlist")
    folder = results_folder("smoke")
    metrics = json.loads((folder / "transmatcher_shortlist.json").read_text())
    cards = json.loads((folder / "transmatcher_shortlist.card.json").read_text())
    assert {name.rsplit("/", 1)[0] for name in metrics} == {f"{WORLD}/market_shortlist5"}
    card = cards[f"{WORLD}/market_shortlist5"]
    assert card["distance"] == "1 - sigmoid(pair score / 10) for the first 5 by transreid"
    assert card["shortlist_model_digest"] == "cd"
    assert card["cost"].pop("seconds_per_query") > 0
    # what is known of one alone is not known of both
    together = {"parameters": 42, "images_per_second": 10.0, "flops_without": ["scan"]}
    assert card["cost"] == together


def test_a_shortlist_by_other_images_is_refused(embedded: Embeddings) -> None:
    other = store("transreid", 5, {"model_digest": "cd"})
    other.take(np.arange(ROWS)[::-1]).save(embeddings_folder("smoke", "transreid") / WORLD)
    with pytest.raises(DataError, match="transmatcher and transreid embedded other images"):
        evaluate_shortlist("transmatcher_shortlist")


@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("matcher", "transreid has features, which need no"),
        ("by", "transmatcher scores pairs, all"),
    ],
)
def test_a_shortlist_needs_one_run_of_each_kind(
    embedded: Embeddings, role: str, message: str
) -> None:
    store("transreid", 5, {"model_digest": "cd"})
    run = {"matcher": "transreid", "by": RUN}[role]
    use(shortlists={"transmatcher_shortlist": {"matcher": RUN, "by": "transreid", role: run}})
    with pytest.raises(ParamsError, match=message):
        evaluate_shortlist("transmatcher_shortlist")
