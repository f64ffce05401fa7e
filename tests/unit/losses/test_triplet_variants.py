import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.errors import ParamsError
from reid.losses.triplet import triplet_loss
from reid.losses.triplet_variants import TripletVariant, variant_triplet_loss
from reid.params import parse_params

CHOICES = product(
    ("hard", "easy", "weighted"),
    ("hard", "semihard", "weighted"),
    (False, True),
    (False, True),
    (None, 0.5),
)


def naive(
    features: Tensor, labels: list[int], margin: float | None, options: TripletVariant
) -> float:
    """Follow the definition anchor by anchor, in double precision."""
    rows = features.double()
    if options.normalised:
        rows = rows / rows.norm(dim=1, keepdim=True)
    power, losses = 2 if options.squared else 1, []
    for i, label in enumerate(labels):
        distances = [max(math.dist(rows[i].tolist(), row.tolist()), 1e-6) for row in rows]
        same = [d for d, other in zip(distances, labels, strict=True) if other == label]
        others = [d for d, other in zip(distances, labels, strict=True) if other != label]
        if not others:
            continue
        positive = max(same)
        several = sorted(same)[1 if len(same) > 1 else 0 :]  # the first is the image itself
        if options.positives == "easy":
            positive = several[0]
        elif options.positives == "weighted":
            positive = weighted_mean(several, 1)
        negative = min(others)
        if options.negatives == "semihard":
            negative = min((d for d in others if d > positive), default=others[0])
        elif options.negatives == "weighted":
            negative = weighted_mean(others, -1)
        gap = positive**power - negative**power
        losses.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return sum(losses) / len(losses) if losses else 0.0


def weighted_mean(values: list[float], sign: int) -> float:
    """Weight each value by the exponential of `sign` times itself."""
    weights = [math.exp(sign * value) for value in values]
    return sum(w * value for w, value in zip(weights, values, strict=True)) / sum(weights)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=9),
    st.sampled_from(list(CHOICES)),
    st.integers(0, 1000),
)
def test_each_variant_is_its_definition(
    labels: list[int], choice: tuple[str, str, bool, bool, float | None], seed: int
) -> None:
    names = ("positives", "negatives", "squared", "normalised")
    *chosen, margin = choice
    options = TripletVariant.model_validate(dict(zip(names, chosen, strict=True)))
    features = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    found = variant_triplet_loss(features, torch.tensor(labels), margin, options)
    # the diagonal of the distances is rounding noise; it matters for people with one image
    assert float(found) == pytest.approx(naive(features, labels, margin, options), abs=4e-3)


def test_the_defaults_are_the_batch_hard_loss() -> None:
    features = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(12) % 3
    assert torch.equal(
        variant_triplet_loss(features, labels, 0.4, TripletVariant()),
        triplet_loss(features, labels, 0.4),
    )


def test_hand_made_case() -> None:
    features, labels = torch.tensor([[0.0], [3.0], [4.0], [10.0]]), torch.tensor([0, 0, 1, 1])
    semi_hard = TripletVariant(negatives="semihard")
    # 0: 3 against 4; 3: 3 against 7; 4: 6 against none, so against the image at 0; 10: 6 against 7
    gaps = [3 - 4, 3 - 7, 6 - 4, 6 - 7]
    expected = sum(max(0, gap + 2) for gap in gaps) / 4
    assert float(variant_triplet_loss(features, labels, 2.0, semi_hard)) == pytest.approx(expected)


def test_weighted_by_hand() -> None:
    features, labels = torch.tensor([[0.0], [4.0], [1.0], [5.0]]), torch.tensor([0, 0, 1, 1])
    weighted = TripletVariant(positives="weighted", negatives="weighted")
    # outer images: 4 against 1 and 5; inner ones: 4 against 3 and 1
    near = (1 + 5 * math.exp(-4)) / (1 + math.exp(-4))
    inner = (3 * math.exp(-3) + 1 * math.exp(-1)) / (math.exp(-3) + math.exp(-1))
    expected = sum(math.log1p(math.exp(4 - d)) for d in (near, inner, inner, near)) / 4
    assert float(variant_triplet_loss(features, labels, None, weighted)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("positives", "negatives"), [("easy", "hard"), ("easy", "semihard"), ("weighted", "weighted")]
)
def test_a_batch_of_one_person_gives_zero_and_finite_gradients(
    positives: str, negatives: str
) -> None:
    features = torch.randn(4, 3, requires_grad=True)
    options = TripletVariant.model_validate({"negatives": negatives, "positives": positives})
    loss = variant_triplet_loss(features, torch.zeros(4).long(), 1.2, options)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert features.grad.eq(0).all()


def test_unknown_choice() -> None:
    with pytest.raises(
        ParamsError, match=r"'positives' is 'soft'; expected .*'hard', 'easy' or 'weighted'"
    ):
        parse_params({"positives": "soft"}, TripletVariant, "recipe.yaml")
