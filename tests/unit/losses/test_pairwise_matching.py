import math

import pytest
import torch
from torch import Tensor

from reid.losses.pairwise_matching import (
    mean_of_finite,
    pairwise_cross_entropy,
    score_gap,
    score_triplet,
)

LABELS = torch.tensor([4, 4, 7, 7, 4])


def scores(seed: int = 0) -> Tensor:
    return 5 * torch.randn(5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def test_cross_entropy_is_the_sum_over_all_pairs() -> None:
    drawn = scores()
    for i, loss in enumerate(pairwise_cross_entropy(drawn, LABELS)):
        signs = [1 if LABELS[i] == LABELS[j] else -1 for j in range(5)]
        terms = [
            math.log1p(math.exp(-sign * float(x))) for sign, x in zip(signs, drawn[i], strict=True)
        ]
        assert float(loss) == pytest.approx(sum(terms))


def test_gap_leaves_the_image_itself_out() -> None:
    drawn = scores()
    for i, gap in enumerate(score_gap(drawn, LABELS)):
        positives = [drawn[i, j] for j in range(5) if LABELS[j] == LABELS[i] and j != i]
        negatives = [drawn[i, j] for j in range(5) if LABELS[j] != LABELS[i]]
        assert float(gap) == pytest.approx(float(min(positives) - max(negatives)))


def test_triplet_is_a_hinge_on_the_gap() -> None:
    drawn = scores(1)
    gap = score_gap(drawn, LABELS)
    for margin in (0.5, 16.0):
        expected = [max(0.0, margin - float(value)) for value in gap]
        assert score_triplet(drawn, LABELS, margin).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("labels", [[1, 2, 3, 4, 5], [1, 1, 1, 1, 1]])
def test_a_row_without_the_one_or_the_other_gives_nothing(labels: list[int]) -> None:
    drawn = scores().requires_grad_()
    loss = score_triplet(drawn, torch.tensor(labels), 16.0)
    assert loss.tolist() == [0] * 5
    loss.sum().backward()
    assert drawn.grad is not None
    assert not drawn.grad.any()


def test_only_finite_rows_count() -> None:
    losses = torch.tensor([1.0, math.inf, 3.0, math.nan], requires_grad=True)
    mean = mean_of_finite(losses)
    assert float(mean) == 2.0
    mean.backward()
    assert losses.grad is not None
    assert losses.grad.tolist() == [0.5, 0, 0.5, 0]


def test_no_finite_row_gives_a_zero_with_a_gradient() -> None:
    losses = torch.tensor([math.inf, math.nan], requires_grad=True)
    mean = mean_of_finite(losses)
    mean.backward()
    assert (float(mean), losses.grad is None) == (0.0, False)
