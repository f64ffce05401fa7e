from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import ParamsError
from reid.methods.model_directory import LoadedModel, ModelCard
from reid.methods.pair_explanation import (
    PairModel,
    explain_pair,
    find_maxima,
    mean_maxima,
    pair_model,
)
from reid.methods.registry import build_network, load_recipe
from reid.methods.transmatcher import TransMatcher
from reid.retrieval.features import DoubleArray, FloatArray
from reid.retrieval.maximum_matching import MaximumMatching
from reid.retrieval.pair_scorer import MatchingLayer
from tests.unit.methods.transmatcher.tiny import FACTS, batch, recipe, settled

BOT = Path(__file__).parents[3] / "params" / "methods" / "bot" / "smoke.yaml"


def card(**facts: Any) -> ModelCard:
    words = ("study", "method", "train_dataset", "manifest_digest", "licence", "status", "consent")
    numbers = {"num_views": 1, "feature_size": 1, "parameters": 1, "seed": 0, "epochs": 1}
    people = {"person_ids": (1,), "camera_ids": (1,), "precision": "fp32", "version": "0"}
    return ModelCard.model_validate(
        {"run": "mine"} | dict.fromkeys(words, "x") | numbers | people | facts
    )


def model(**changes: Any) -> LoadedModel:
    return LoadedModel(settled(model=changes), recipe(model=changes), card())


LOADED = model()


def a_matching(layers: int = 2, cells: int = 6, width: int = 3) -> MaximumMatching:
    generator = np.random.default_rng(0)

    def draw(*shape: int) -> FloatArray:
        return generator.normal(size=shape).astype(np.float32)

    made = [
        MatchingLayer(1 / (1 + np.exp(-draw(cells, cells))), draw(5, cells), draw(5), draw(5))
        for _ in range(layers)
    ]
    return MaximumMatching(made, width, -0.5, symmetric=False)


def rows(matching: MaximumMatching, count: int, seed: int) -> FloatArray:
    shape = (count, int(np.prod(matching.shape)))
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def explained(
    model: PairModel, query: FloatArray, other: FloatArray
) -> tuple[Any, DoubleArray, list[list[list[float]]]]:
    """A view against the mean of two strangers, its reference, and maxima by double loops."""
    strangers = rows(model.matching, 2, 99)
    reference = mean_maxima(model.matching, query, strangers)
    cells = model.matching.shape[1]
    maxima = []
    shaped = (row.reshape(model.matching.shape) for row in (query, other))
    for layer, mine, others in zip(model.matching.layers, *shaped, strict=True):
        weighed = [
            [float(layer.prior[s, t]) * float(others[s] @ mine[t]) for t in range(cells)]
            for s in range(cells)
        ]
        of_query = [max(weighed[s][t] for s in range(cells)) for t in range(cells)]
        of_gallery = [max(weighed[s][t] for t in range(cells)) for s in range(cells)]
        maxima.append([of_query, of_gallery])
    return explain_pair(model, query, other, reference), reference, maxima


@pytest.mark.parametrize("changes", [{}, {"symmetric_prior": True}, {"prior": False, "layers": 1}])
@torch.no_grad()
def test_the_score_of_a_network_is_taken_apart(changes: dict[str, Any]) -> None:
    made = pair_model(model(**changes))
    kept = made.loaded.network.embed(batch()).numpy()
    view, _, maxima = explained(made, kept[0], kept[3])
    found = find_maxima(made.matching, kept[0], kept[3])
    np.testing.assert_allclose(found.values, maxima, rtol=1e-4, atol=1e-6)
    score = made.matching.scores(kept[:1], kept[3:4])[0, 0]
    assert view.score == pytest.approx(score, rel=1e-4, abs=1e-4)
    assert view.query_heat.shape == made.grid == (4, 3)
    total = float(view.query_heat.sum() + view.gallery_heat.sum())
    assert total == pytest.approx(view.score - view.reference, rel=1e-4, abs=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_what_a_cell_adds_is_its_share_of_a_walk(seed: int) -> None:
    """From the reference to the maxima in many small steps, each by the gradient there."""
    matching = a_matching()
    made = PairModel(LOADED, matching, (3, 2))
    query, other = rows(matching, 2, seed)
    view, reference, maxima = explained(made, query, other)
    steps = 4000
    added = np.zeros((2, 6))
    for layer, values, start in zip(matching.layers, np.array(maxima), reference, strict=True):
        for side in (0, 1):
            way = (np.arange(steps) + 0.5)[:, None] / steps
            places = start[side] + way * (values[side] - start[side])
            active = (places @ layer.head_weight.T + layer.head_bias > 0).mean(axis=0)
            gradient = (active * layer.output_weight) @ layer.head_weight
            added[side] += (values[side] - start[side]) * gradient
    np.testing.assert_allclose(view.query_heat.ravel(), added[0], atol=0.02)
    np.testing.assert_allclose(view.gallery_heat.ravel(), added[1], atol=0.02)


def test_a_pair_like_its_reference_has_no_heat() -> None:
    matching = a_matching()
    query, other = rows(matching, 2, 1)
    reference = find_maxima(matching, query, other).values
    view = explain_pair(PairModel(LOADED, matching, (3, 2)), query, other, reference)
    assert view.score == view.reference
    assert not view.query_heat.any()
    assert not view.gallery_heat.any()
    assert len(view.matches.strength) == 0


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_the_mutual_best_that_add_to_the_score(seed: int) -> None:
    matching = a_matching()
    made = PairModel(LOADED, matching, (3, 2))
    query, other = rows(matching, 2, seed)
    view, reference, _ = explained(made, query, other)
    maxima = find_maxima(matching, query, other)
    expected: dict[tuple[int, int], float] = {}
    for number, layer in enumerate(matching.layers):
        alone = MaximumMatching([layer], 3, 0.0, symmetric=False)
        mine, others = (row.reshape(2, -1)[number] for row in (query, other))
        part = explain_pair(
            PairModel(made.loaded, alone, (3, 2)), mine, others, reference[number : number + 1]
        )
        for t in range(6):
            s = int(maxima.partners[number, 0, t])
            if maxima.values[number, 0, t] == maxima.values[number, 1, s]:
                added = part.query_heat.ravel()[t] + part.gallery_heat.ravel()[s]
                expected[t, s] = expected.get((t, s), 0.0) + float(added)
    firsts, seconds = (ends @ [2, 1] for ends in (view.matches.first, view.matches.second))
    found = dict(zip(zip(firsts, seconds, strict=True), view.matches.strength, strict=True))
    positive = {pair: added for pair, added in expected.items() if added > 0}
    assert found == pytest.approx(positive, rel=1e-4, abs=1e-6)
    assert len(found) > 0
    assert (np.diff(view.matches.strength) <= 0).all()


@pytest.mark.parametrize("changes", [{"pooling": "mean"}, {"matching": "cross"}])
def test_other_scorers_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ParamsError, match=r"mine: its scores are no sums .* model.matching maximu"):
        pair_model(model(**changes))


def test_a_network_of_vectors_is_refused() -> None:
    plain = load_recipe(BOT)
    with pytest.raises(ParamsError, match="mine: its scores are no sums"):
        pair_model(LoadedModel(build_network(plain, FACTS), plain, card()))


@torch.enable_grad()
def test_cells_see_what_is_around_their_centre() -> None:
    """By the gradients of one cell of a map without borders nearby."""
    made = pair_model(model(ibn="none"))
    network = made.loaded.network
    assert isinstance(network, TransMatcher)
    images = torch.rand(4, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    images.requires_grad_(True)
    cells = network.features.base.double()(images.double())
    (seen,) = torch.autograd.grad(cells[:, :, 8, 7].square().sum(), images)
    weight, pixels = seen.abs().sum(dim=(0, 1)), torch.arange(128) + 0.5
    stride = made.image.height // made.grid[0]
    for axis, cell in ((1, 8), (0, 7)):
        along = weight.sum(dim=axis)
        middle = float((along * pixels).sum() / along.sum())
        assert middle == pytest.approx(stride * (cell + made.centre), abs=1.5)
