from typing import Any

import pytest
import torch
from torch import Tensor

from reid.losses.graph_alignment import graph_alignment, half_of_each, paper_graph_alignment
from reid.losses.logit_alignment import divergence, joined_over_people, symmetric_divergence
from reid.methods.idkl.modality import pair_spectra
from reid.methods.idkl.recipe import LossRecipe, WeightsRecipe
from reid.methods.idkl.terms import WEIGHT_OF_TERM, Sides, graph_terms, logit_terms, weighted
from tests.unit.methods.idkl.tiny import batch, network

CONTRAST = {"contrast_across": 1.0, "contrast_within": 0.5}  # off by default
PAPER = {"graph_mixed": 0, "grouped_within": 0, "grouped_across": 0}
FORMS: list[dict[str, Any]] = [
    {},
    {"purification": "paper"},
    {"weights": CONTRAST},
    {"alignment": "paper", "weights": PAPER},
]
# what the code of one form has and that of the other lacks
PAPER_ONLY = {"purifier_identity", "purifier_triplet"}


def losses(**loss: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return network(loss=loss).train().losses(batch())


def sides() -> Sides:
    generator = torch.Generator().manual_seed(2)
    return Sides(*torch.randn(4, 6, 5, generator=generator))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_logged_term_has_its_weight(form: dict[str, Any]) -> None:
    found = losses(**form)
    accuracies = {"accuracy_modality_specific", "accuracy_modality_shared"}
    terms = found.keys() - accuracies - {"loss"}
    assert terms <= WEIGHT_OF_TERM.keys()
    assert found.keys() >= accuracies
    weights = network(loss=form).loss_recipe.weights
    expected = sum(
        getattr(weights, WEIGHT_OF_TERM[name]) * float(found[name].detach()) for name in terms
    )
    assert float(found["loss"].detach()) == pytest.approx(expected, rel=1e-5)


def test_every_weight_has_terms_and_every_term_occurs() -> None:
    assert set(WEIGHT_OF_TERM.values()) == set(WeightsRecipe.model_fields)
    assert WEIGHT_OF_TERM.keys() - losses(weights=CONTRAST).keys() == PAPER_ONLY
    assert losses(purification="paper", weights=CONTRAST).keys() >= WEIGHT_OF_TERM.keys()


@pytest.mark.parametrize("weight", WeightsRecipe.model_fields)
def test_a_weight_of_nought_leaves_its_terms_out(weight: str) -> None:
    changes: dict[str, Any] = {"purification": "paper", "weights": {**CONTRAST, weight: 0}}
    if weight == "confuser":
        changes["confuser"] = "none"
    whole = losses(purification="paper", weights=CONTRAST)
    found = losses(**changes)
    gone = {name for name, own in WEIGHT_OF_TERM.items() if own == weight}
    judged = {"discriminator": "specific", "confuser": "shared"}
    if weight in judged:
        gone.add(f"accuracy_modality_{judged[weight]}")
    # the purified features are taught by the same kinds of losses
    gone |= {f"purifier_{weight}"} & whole.keys()
    assert whole.keys() - found.keys() == gone
    assert found.keys() <= whole.keys()


def test_weights_multiply_their_terms() -> None:
    terms = {"identity_shared": torch.tensor(2.0), "graph_visible": torch.tensor(3.0)}
    recipe = LossRecipe.model_validate({"weights": {"identity": 0.5, "graph_within": 4}})
    assert [float(x) for x in weighted(terms, recipe)] == [1.0, 12.0]


def test_sides_are_the_rows_of_each_spectrum() -> None:
    labels, modalities = torch.tensor([0, 0, 1, 1]), torch.tensor([1, 0, 1, 0])
    shared, specific = torch.arange(4.0)[:, None], 10 + torch.arange(4.0)[:, None]
    found = Sides.of(shared, specific, pair_spectra(labels, modalities), detach=False)
    assert [side[:, 0].tolist() for side in found] == [[1, 3], [0, 2], [11, 13], [10, 12]]


def test_terms_of_the_published_code() -> None:
    a, b, c, d = sides()
    recipe = LossRecipe()
    found = graph_terms(sides(), recipe) | logit_terms(sides(), 2, recipe)
    mixed = half_of_each(a, b)
    expected = {
        "graph_visible": graph_alignment(a, c),
        "graph_infrared": graph_alignment(b, d),
        "graph_across": graph_alignment(a, b),
        "graph_mixed_visible": graph_alignment(a, mixed),
        "graph_mixed_infrared": graph_alignment(mixed, b),
        "logits_visible": symmetric_divergence(a, c),
        "logits_infrared": symmetric_divergence(b, d),
        "logits_across": symmetric_divergence(a, b),
    }
    a, b, c, d = (joined_over_people(side, 2) for side in (a, b, c, d))
    expected |= {
        "grouped_visible": symmetric_divergence(a, c),
        "grouped_infrared": symmetric_divergence(b, d),
        "grouped_across": symmetric_divergence(a, b),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)


def test_terms_of_the_paper() -> None:
    a, b, c, d = sides()
    recipe = LossRecipe.model_validate({"alignment": "paper", "weights": PAPER})
    found = graph_terms(sides(), recipe) | logit_terms(sides(), 2, recipe)
    expected = {
        "graph_visible": paper_graph_alignment(a, c),
        "graph_infrared": paper_graph_alignment(b, d),
        "graph_across": paper_graph_alignment(a, b),
        "logits_visible": divergence(a, c),
        "logits_infrared": divergence(b, d),
        "logits_across": divergence(a, b),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, msg=name)
