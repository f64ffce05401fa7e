import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.losses.logit_alignment import divergence, joined_over_people, symmetric_divergence

SIZES = st.tuples(st.integers(1, 5), st.integers(2, 6), st.integers(0, 999))


def softmax(row: list[float]) -> list[float]:
    powers = [math.exp(value - max(row)) for value in row]
    return [power / sum(powers) for power in powers]


def naive(first: Tensor, second: Tensor) -> float:
    """Sum of p log(p / q) of each row, and the mean over the rows, in double precision."""
    total = 0.0
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        pairs = zip(softmax(one), softmax(other), strict=True)
        total += sum(p * math.log(p / q) for p, q in pairs)
    return total / len(first)


def logits(rows: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = 3 * torch.randn(2, rows, classes, generator=torch.Generator().manual_seed(seed))
    return drawn[0], drawn[1]


@settings(deadline=None, max_examples=30)
@given(SIZES)
def test_divergence_is_its_definition(sizes: tuple[int, int, int]) -> None:
    first, second = logits(*sizes)
    assert float(divergence(first, second)) == pytest.approx(naive(first, second), abs=1e-5)
    both = naive(first, second) + naive(second, first)
    assert float(symmetric_divergence(first, second)) == pytest.approx(both, abs=1e-5)


def test_it_is_directed_and_nothing_for_the_same() -> None:
    first, second = logits(4, 3, 0)
    assert float(divergence(first, second)) != pytest.approx(float(divergence(second, first)))
    assert float(symmetric_divergence(first, first + 5)) == pytest.approx(0, abs=1e-6)


def test_sure_logits_give_finite_losses_and_gradients() -> None:
    first = torch.tensor([[500.0, 0.0, -500.0]], requires_grad=True)
    loss = symmetric_divergence(first, -first.detach())
    loss.backward()
    assert loss.detach().isfinite()
    assert first.grad is not None
    assert first.grad.isfinite().all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5))
def test_logits_are_joined_over_people(people: int, images: int, classes: int) -> None:
    given_ = torch.randn(people * images, classes)
    joined = joined_over_people(given_, images).tolist()
    assert len(joined) == images
    for image, row in enumerate(joined):
        expected = [
            value for person in range(people) for value in given_[person * images + image].tolist()
        ]
        assert row == expected


def test_joined_logits_share_one_softmax() -> None:
    """Two people with one image each: what favours a class of the first costs the second."""
    first, second = torch.zeros(2, 2), torch.tensor([[3.0, 3.0], [0.0, 0.0]])
    assert float(divergence(first, second)) == pytest.approx(0, abs=1e-6)
    joined = [joined_over_people(side, 1) for side in (first, second)]
    expected = naive(joined[0], joined[1])
    assert expected > 0.5
    assert float(divergence(joined[0], joined[1])) == pytest.approx(expected, abs=1e-6)
