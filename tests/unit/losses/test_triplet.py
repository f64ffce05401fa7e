import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.losses.triplet import euclidean_distance, mine_hardest, triplet_loss


def naive(features: torch.Tensor, labels: list[int], margin: float | None) -> float:
    losses = []
    for i, label in enumerate(labels):
        distances = [max(math.dist(features[i].tolist(), f.tolist()), 1e-6) for f in features]
        same = [d for d, other in zip(distances, labels, strict=True) if other == label]
        others = [d for d, other in zip(distances, labels, strict=True) if other != label]
        if others:
            gap = max(same) - min(others)
            losses.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return sum(losses) / len(losses) if losses else 0.0


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=9),
    st.sampled_from([None, 0.0, 0.3, 1.2]),
    st.integers(0, 1000),
)
def test_the_loss_is_the_double_loop(labels: list[int], margin: float | None, seed: int) -> None:
    features = torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed))
    loss = triplet_loss(features, torch.tensor(labels), margin)
    # the diagonal of the distances is rounding noise; it matters for people with one image
    assert float(loss) == pytest.approx(naive(features, labels, margin), abs=2e-3)


def test_hand_made_case() -> None:
    features = torch.tensor([[0.0], [3.0], [4.0], [10.0]])
    hardest = mine_hardest(euclidean_distance(features), torch.tensor([0, 0, 1, 1]))
    assert hardest.positive.tolist() == pytest.approx([3, 3, 6, 6])
    assert hardest.negative.tolist() == pytest.approx([4, 1, 1, 7])
    assert hardest.positive_index.tolist() == [1, 0, 3, 2]
    assert hardest.negative_index.tolist() == [2, 2, 1, 1]
    loss = triplet_loss(features, torch.tensor([0, 0, 1, 1]), margin=0.5)
    assert float(loss) == pytest.approx((0 + 2.5 + 5.5 + 0) / 4)


@pytest.mark.parametrize("margin", [None, 0.3])
def test_a_batch_of_one_person_gives_zero_and_finite_gradients(margin: float | None) -> None:
    features = torch.randn(4, 3, requires_grad=True)
    loss = triplet_loss(features, torch.zeros(4).long(), margin)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features.grad is not None
    assert features.grad.eq(0).all()


def test_equal_features_have_finite_gradients() -> None:
    features = torch.ones(4, 3, requires_grad=True)
    triplet_loss(features, torch.tensor([0, 0, 1, 1]), None).backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_distances_are_float32_under_autocast() -> None:
    features = torch.randn(4, 3, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        distance = euclidean_distance(features)
    assert distance.dtype == torch.float32
