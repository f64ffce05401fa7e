from dataclasses import replace

import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import (
    PLAIN,
    Evaluation,
    EvaluationSettings,
    Scored,
    evaluate,
    known_rows,
)
from reid.retrieval.features import FeatureRows
from reid.retrieval.labels import Labels
from reid.retrieval.memory import Plan
from reid.retrieval.metrics import average_precision
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.ranking import rank_matches
from reid.retrieval.reranking import RerankParams
from reid.retrieval.space import FeatureSpace

RERANK = RerankParams(6, 3, 0.3)
SETTINGS = EvaluationSettings(RERANK)


def world(junk: bool = False, seed: int = 0) -> Embeddings:
    generator = np.random.default_rng(seed)
    persons = generator.permutation(np.repeat(np.arange(1, 13), 8))
    centres = generator.normal(size=(13, 16))
    features = centres[persons] + 1.2 * generator.normal(size=(96, 16))
    roles = np.where(generator.random(96) < 0.25, "query", "gallery")
    persons = np.where((persons == 12) & (roles == "gallery"), -1 if junk else 0, persons)
    persons[(persons == 12) & (roles == "query")] = 1
    paths = np.array([f"{row:03d}.png" for row in range(96)])
    cameras = generator.integers(0, 3, 96)
    card = {"dataset": "toy", "flip": False}
    modalities = np.where(generator.random(96) < 0.4, "ir", "rgb")
    return Embeddings(features, persons, cameras, roles, paths, card, modalities)


def same_scores(first: Evaluation, second: Evaluation) -> None:
    for setting, scores in first.scores.items():
        other = second.scores[setting]
        assert scores.figures() == other.figures()
        np.testing.assert_array_equal(scores.cmc, other.cmc)
        np.testing.assert_array_equal(scores.average_precision, other.average_precision)


def test_plain_scores_are_those_of_the_ranking_of_the_features() -> None:
    toy = world()
    made = evaluate(toy, PROTOCOLS["market"], SETTINGS)
    query, gallery = toy.query, toy.gallery
    ids = (query.person_ids, query.camera_ids, gallery.person_ids, gallery.camera_ids)
    expected = average_precision(rank_matches(query.features, gallery.features, Labels(*ids)))
    scores = made.scores[PLAIN]
    np.testing.assert_array_equal(scores.average_precision, expected)
    assert scores.mAP == np.nanmean(expected)
    assert scores.valid_queries == (~np.isnan(expected)).sum()
    np.testing.assert_array_equal(made.query_paths, query.paths)
    assert made.test_set == "toy/market"


def test_both_settings_are_always_scored() -> None:
    made = evaluate(world(), PROTOCOLS["market"], SETTINGS)
    assert list(made.scores) == [PLAIN, "rerank_k6_3_0.3"]
    assert made.scores[PLAIN].mAP != made.scores[RERANK.name].mAP


def test_junk_takes_no_part_in_anything() -> None:
    toy = world(junk=True)
    cleaned = toy.take(np.flatnonzero(toy.person_ids != -1))
    assert len(cleaned.paths) < len(toy.paths)
    market = PROTOCOLS["market"]
    same_scores(evaluate(toy, market, SETTINGS), evaluate(cleaned, market, SETTINGS))


def test_distractors_stay_as_negatives() -> None:
    toy = world()
    without = toy.take(np.flatnonzero(toy.person_ids != 0))
    market = PROTOCOLS["market"]
    assert evaluate(toy, market, SETTINGS).scores[PLAIN].mAP < (
        evaluate(without, market, SETTINGS).scores[PLAIN].mAP
    )


@pytest.mark.parametrize("name", ["market", "cuhk03_drawn", "vehicleid", "sysu_indoor_multi"])
def test_memory_changes_no_score(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    toy, protocol = world(), PROTOCOLS[name]
    plan = Plan(block_size=5, hold=False)
    expected = evaluate(toy, protocol, SETTINGS)
    monkeypatch.setattr(Plan, "of", lambda *_: plan)
    same_scores(evaluate(toy, protocol, SETTINGS), expected)


def test_nearest_lists_name_rows_of_the_embeddings() -> None:
    toy = world(junk=True)
    nearest = evaluate(toy, PROTOCOLS["market"], SETTINGS).nearest[PLAIN]
    assert (toy.roles[nearest.query_rows] == "query").all()
    shown = nearest.gallery_rows[nearest.gallery_rows >= 0]
    assert (toy.roles[shown] == "gallery").all()
    assert (toy.person_ids[shown] != -1).all()
    assert (np.diff(nearest.distances, axis=1) >= 0).all()


def test_first_answers_are_the_nearest_of_the_first_trial() -> None:
    toy = world(junk=True)
    found = evaluate(toy, PROTOCOLS["market"], SETTINGS)
    person = dict(zip(toy.paths.tolist(), toy.person_ids.tolist(), strict=True))
    for setting, answers in found.answers.items():
        ranks = found.scores[setting].first_match_rank
        valid = ~np.isnan(ranks)
        np.testing.assert_array_equal(answers.right[valid], ranks[valid] == 1)
        for query, path, right in zip(
            found.query_paths.tolist(), answers.paths.tolist(), answers.right.tolist(), strict=True
        ):
            assert (person[path] == person[query]) == right
    assert set(found.answers) == set(found.scores)


def test_the_time_of_a_query_counts_scoring_before() -> None:
    toy = world()
    space = FeatureSpace(FeatureRows(toy.features, "toy", True, known_rows(toy)))
    scored = Scored(space, {"distance": "of a scorer"}, pair_seconds=3.0)
    made = evaluate(toy, PROTOCOLS["market"], SETTINGS, scored=scored)
    gallery = made.card["gallery"]
    assert 3.0 * gallery < made.query_seconds < 3.0 * gallery + 1
    assert 0 < evaluate(toy, PROTOCOLS["market"], SETTINGS).query_seconds < 1


def test_single_gallery_shot_alters_the_curve_and_not_the_precision() -> None:
    toy = world()
    market, expected, drawn = (
        evaluate(toy, PROTOCOLS[name], SETTINGS).scores[PLAIN]
        for name in ("market", "cuhk03", "cuhk03_drawn")
    )
    assert market.mAP == expected.mAP == drawn.mAP
    assert market.cmc[0] != expected.cmc[0]
    assert drawn.cmc[0] == pytest.approx(expected.cmc[0], abs=0.15)
    assert drawn.deviations["rank1"] > 0
    assert expected.deviations == {}


def test_trials_are_averaged_per_query_too() -> None:
    toy = world()
    made = evaluate(toy, PROTOCOLS["vehicleid"], SETTINGS)
    scores = made.scores[PLAIN]
    assert set(scores.deviations) == {"mAP", "mINP", "rank1", "rank5", "rank10", "rank20"}
    assert len(made.query_paths) == len(scores.average_precision) == len(scores.query_rows)
    np.testing.assert_array_equal(
        made.query_paths, np.concatenate([toy.query.paths, toy.gallery.paths])[scores.query_rows]
    )
    assert scores.valid_queries == len(toy.paths) - len(set(toy.person_ids.tolist()))
    assert scores.mAP == pytest.approx(np.nanmean(scores.average_precision), abs=0.03)


def test_features_used_as_they_are_where_the_protocol_says_so() -> None:
    toy, market = world(), PROTOCOLS["market"]
    raw = evaluate(toy, replace(market, normalise=False), SETTINGS)
    assert raw.scores[PLAIN].mAP != evaluate(toy, market, SETTINGS).scores[PLAIN].mAP
    assert raw.card["normalisation"] == "none"


def test_card_holds_what_alters_a_score() -> None:
    card = evaluate(world(), PROTOCOLS["market"], SETTINGS).card
    assert card["exclusion_rule"] == "junk; same person and camera"
    assert card["rerank"] == {"k1": 6, "k2": 3, "lambda": 0.3, "neighbours": "exact"}
    assert (card["flip"], card["precision"], card["feature_size"]) == (False, None, 16)
    assert card["valid_queries"] <= card["queries"]


def test_single_camera_data_names_the_remedy() -> None:
    toy = world()
    toy.camera_ids[:] = 1
    with pytest.raises(EvaluationError) as caught:
        evaluate(toy, PROTOCOLS["market"], SETTINGS)
    queries = len(toy.query.paths)
    assert str(caught.value) == (
        "toy: no query image shares an identity with a gallery image of another camera "
        f"({queries} queries, cameras {{1}}); expected at least one under the protocol market. "
        "Use the protocol no_camera for single-camera data."
    )
    assert evaluate(toy, PROTOCOLS["no_camera"], SETTINGS).scores[PLAIN].valid_queries > 0


def test_strangers_only() -> None:
    toy = world()
    toy.person_ids[:] = np.arange(1, 97)
    with pytest.raises(EvaluationError, match=r"gallery image \(.* Check the person ids"):
        evaluate(toy, PROTOCOLS["no_camera"], SETTINGS)


def test_a_short_curve_has_fewer_figures() -> None:
    scores = evaluate(
        world(), PROTOCOLS["vehicleid"], EvaluationSettings(RERANK, max_rank=5)
    ).scores[PLAIN]
    assert set(scores.figures()) == set(scores.deviations) == {"mAP", "mINP", "rank1", "rank5"}


def test_the_card_counts_the_images_of_a_trial() -> None:
    toy = world()
    card = evaluate(toy, PROTOCOLS["sysu_all_single"], SETTINGS).card
    visible = (toy.modalities == "rgb") & (toy.camera_ids < 2)
    pairs = set(zip(toy.person_ids[visible], toy.camera_ids[visible], strict=True))
    assert (card["queries"], card["gallery"]) == ((toy.modalities == "ir").sum(), len(pairs))
    assert card["gallery_draw"] == "1 per person and camera, seeded"


def test_images_that_no_trial_draws_do_not_alter_reranking() -> None:
    toy = world()
    indoor = toy.take(np.flatnonzero((toy.modalities == "ir") | (toy.camera_ids < 2)))
    assert len(indoor.paths) < len(toy.paths)
    protocol = PROTOCOLS["sysu_indoor_single"]
    same_scores(evaluate(toy, protocol, SETTINGS), evaluate(indoor, protocol, SETTINGS))


def test_features_mapped_from_disk(tmp_path) -> None:
    toy = world()
    toy.save(tmp_path / "toy")
    market = PROTOCOLS["market"]
    mapped = Embeddings.load(tmp_path / "toy")
    same_scores(evaluate(mapped, market, SETTINGS), evaluate(toy, market, SETTINGS))
