"""The soft rank correlation: any order of the batch, a naive double loop, and its refusals."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid.errors import ParamsError
from reid.losses.rank_correlation import inter_loss, intra_loss

Loss = Callable[[list[Tensor], Tensor, float], Tensor]


def _batch(persons: int, images: int, branches: int, seed: int) -> tuple[list[Tensor], Tensor]:
    draw = torch.Generator().manual_seed(seed)
    size = persons * images
    features = [F.normalize(torch.randn(size, 8, generator=draw), dim=1) for _ in range(branches)]
    return features, torch.arange(persons).repeat_interleave(images) * 7 + 3


def _tau(x: list[float], y: list[float], t: float) -> float:
    pairs = [(i, j) for i in range(len(x)) for j in range(i + 1, len(x))]
    return sum(math.tanh((x[i] - x[j]) / t) * math.tanh((y[i] - y[j]) / t) for i, j in pairs) / len(
        pairs
    )


def _naive(features: list[Tensor], labels: Tensor, t: float, kind: str) -> float:
    """Follow the definition sample by sample."""
    seen: list[list[list[float]]] = []
    for feature in features:
        centres = {
            person: F.normalize(feature[labels == person].mean(dim=0), dim=0)
            for person in set(labels.tolist())
        }
        lists = []
        for row, label in enumerate(labels.tolist()):
            if kind == "intra":
                others = [
                    feature[other]
                    for other in range(len(labels))
                    if other != row and labels[other] == label
                ]
            else:
                others = [centre for person, centre in centres.items() if person != label]
            lists.append([float(feature[row] @ other) for other in others])
        seen.append(lists)
    pairs = [(a, b) for a in range(len(seen)) for b in range(a + 1, len(seen))]
    taus = [_tau(x, y, t) for a, b in pairs for x, y in zip(seen[a], seen[b], strict=True)]
    return sum(taus) / len(taus)


@settings(max_examples=15, deadline=None)
@given(st.integers(3, 5), st.integers(3, 5), st.integers(2, 4), st.integers(0, 1000))
def test_definition_in_any_order(persons: int, images: int, branches: int, seed: int) -> None:
    features, labels = _batch(persons, images, branches, seed)
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    mixed = [feature[shuffled] for feature in features]
    for kind, loss in (("intra", intra_loss), ("inter", inter_loss)):
        expected = _naive(features, labels, 0.1, kind)
        assert float(loss(features, labels, 0.1)) == pytest.approx(expected, abs=1e-5)
        assert float(loss(mixed, labels[shuffled], 0.1)) == pytest.approx(expected, abs=1e-5)
        assert -1 <= expected <= 1


def test_equal_branches_agree_and_reversed_ones_disagree() -> None:
    (feature,), labels = _batch(4, 4, 1, 0)
    for loss in (intra_loss, inter_loss):
        assert float(loss([feature, feature], labels, 1e-6)) == pytest.approx(1)
    # three images on a circle; from each of them the nearer of the others is the farther one
    # in the second branch
    angles = torch.tensor([[0.0, 0.1, 0.3], [0.0, 0.3, 0.1]]).repeat(1, 3)
    ring = [torch.stack([row.cos(), row.sin()], dim=1) for row in angles]
    reversed_order = intra_loss(ring, torch.arange(3).repeat_interleave(3), 1e-6)
    assert float(reversed_order) == pytest.approx(-1)


@pytest.mark.parametrize("loss", [intra_loss, inter_loss])
def test_gradients_reach_every_branch_and_are_right(loss: Loss) -> None:
    features, labels = _batch(3, 3, 2, 1)
    leaves = [feature.clone().requires_grad_() for feature in features]
    value = loss(leaves, labels, 0.5)
    value.backward()
    step = 1e-2
    for leaf in leaves:
        assert leaf.grad is not None
        with torch.no_grad():
            leaf += step * leaf.grad
            higher = loss(leaves, labels, 0.5)
            leaf -= 2 * step * leaf.grad
            lower = loss(leaves, labels, 0.5)
            leaf += step * leaf.grad
        slope = float(higher - lower) / (2 * step)
        assert slope == pytest.approx(float(leaf.grad.square().sum()), rel=1e-2)


def test_single_precision_under_autocast() -> None:
    features, labels = _batch(4, 4, 3, 2)
    for loss in (intra_loss, inter_loss):
        exact = loss(features, labels, 0.1)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(loss(features, labels, 0.1), exact)
        halved = [feature.bfloat16() for feature in features]
        assert loss(halved, labels, 0.1).dtype == torch.float32


def test_refusals() -> None:
    features, labels = _batch(3, 2, 2, 0)
    with pytest.raises(ParamsError, match=r"batch with 2 images of a person.*at least 3.*images"):
        intra_loss(features, labels, 0.1)
    features, labels = _batch(2, 3, 2, 0)
    with pytest.raises(ParamsError, match=r"batch with 2 persons.*at least 3.*identities"):
        inter_loss(features, labels, 0.1)
    features, labels = _batch(3, 3, 2, 0)
    uneven = labels.clone()
    uneven[0] = labels[-1]
    for loss in (intra_loss, inter_loss):
        with pytest.raises(ParamsError, match=r"2 to 4 images of a person.*equally many"):
            loss(features, uneven, 0.1)
        with pytest.raises(ParamsError, match=r"1 branch .*at least 2"):
            loss(features[:1], labels, 0.1)
