"""The whole way from features to scores against a naive double loop, over everything that is odd.

Features are small whole numbers, so that single precision is exact and equal distances are equal.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid import compiled
from reid.errors import EvaluationError
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import PLAIN, Evaluation, EvaluationSettings, evaluate
from reid.retrieval.memory import Plan
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.reranking import RerankParams

SETTINGS = EvaluationSettings(RerankParams(3, 2), max_rank=6)
MAX_RANK = 6


@st.composite
def worlds(draw: st.DrawFn) -> Embeddings:
    """Ties and repeated rows abound; junk, distractors, one camera, one query, a gallery of one."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    queries, gallery = draw(st.sampled_from([1, 2, 9])), draw(st.sampled_from([1, 3, 30]))
    rows = queries + gallery
    features = generator.integers(-1, 2, (rows, draw(st.sampled_from([1, 3])))).astype(np.float32)
    features[generator.random(rows) < 0.3] = features[0]
    persons = generator.integers(-1, 4, rows)
    persons[:queries] = np.maximum(persons[:queries], 1)
    cameras = generator.integers(0, draw(st.sampled_from([1, 3])), rows)
    order = generator.permutation(rows)
    roles = np.repeat(["query", "gallery"], [queries, gallery])
    columns = (features[order], persons[order], cameras[order], roles[order])
    return Embeddings(*columns, [str(row) for row in range(rows)])


def naive(world: Embeddings, exclude: bool) -> list[list[int]]:
    """Ranks of the matches of each query, by a double loop."""
    ranks = []
    for query in np.flatnonzero(world.is_query):
        kept = []
        for item in np.flatnonzero(~world.is_query):
            match = world.person_ids[item] == world.person_ids[query]
            same_camera = world.camera_ids[item] == world.camera_ids[query]
            if world.person_ids[item] == -1 or (exclude and match and same_camera):
                continue
            gap = world.features[item].astype(float) - world.features[query]
            kept.append((float(gap @ gap), int(item), bool(match)))
        order = [match for _, _, match in sorted(kept)]
        ranks.append([rank for rank, match in enumerate(order, start=1) if match])
    return ranks


@given(worlds(), st.sampled_from(["market", "no_camera"]))
@settings(max_examples=40, deadline=None)
def test_scores_equal_a_double_loop(world: Embeddings, name: str) -> None:
    protocol = replace(PROTOCOLS[name], normalise=False)
    ranks = naive(world, name == "market")
    valid = [found for found in ranks if found]
    if not valid:
        with pytest.raises(EvaluationError, match=r"no query image shares|images of the roles"):
            evaluate(world, protocol, SETTINGS)
        return
    scores = evaluate(world, protocol, SETTINGS).scores[PLAIN]
    precisions = [np.mean([(j + 1) / rank for j, rank in enumerate(found)]) for found in valid]
    curve = [np.mean([found[0] <= r for found in valid]) for r in range(1, MAX_RANK + 1)]
    assert scores.mAP == pytest.approx(np.mean(precisions), abs=1e-12)
    assert scores.mINP == pytest.approx(np.mean([len(f) / f[-1] for f in valid]), abs=1e-12)
    np.testing.assert_allclose(scores.cmc, curve, atol=1e-12)
    assert scores.valid_queries == len(valid)


@given(worlds(), st.integers(1, 10), st.booleans(), st.booleans())
@settings(max_examples=15, deadline=None)
def test_blocks_threads_and_memory_change_no_bit(
    world: Embeddings, block_size: int, hold: bool, keep: bool
) -> None:
    if not any(naive(world, exclude=False)):
        return
    made = []
    for threads, plan in ((1, Plan()), (2, Plan(block_size, hold, keep))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "thread_count", lambda threads=threads: threads)
            patch.setattr(Plan, "of", lambda *_, plan=plan: plan)
            made.append(evaluate(world, PROTOCOLS["no_camera"], SETTINGS))
    assert values(made[0]) == values(made[1])


def values(evaluation: Evaluation) -> list[bytes]:
    """All numbers of an evaluation, bit by bit."""
    numbers = []
    for setting, scores in evaluation.scores.items():
        nearest = evaluation.nearest[setting]
        numbers += [scores.cmc, scores.average_precision, scores.first_match_rank]
        numbers += [np.array(scores.mAP), nearest.gallery_rows, nearest.distances]
    return [np.ascontiguousarray(part).tobytes() for part in numbers]


def test_features_that_are_no_numbers_are_refused() -> None:
    features = np.ones((4, 2), np.float32)
    features[2, 1] = np.nan
    roles = ["query", "gallery", "gallery", "gallery"]
    world = Embeddings(features, [1, 1, 2, 3], [0, 1, 1, 1], roles, list("abcd"))
    with pytest.raises(EvaluationError, match="hold NaN or infinity in 1 of 4 rows"):
        evaluate(world, PROTOCOLS["market"])
