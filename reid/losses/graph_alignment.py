"""Agreement of the distances within two sets of features (IDKL, arXiv 2403.11708, its TGSA).

Each row of distances goes through a softmax of the distance itself, so what is far weighs most, as
published.
"""

import torch
from torch import Tensor

from reid.losses.logit_alignment import divergence, symmetric_divergence

_SMALLEST = 1e-6
"""Squared distance below which the published code sees none."""


def graph_alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the symmetric divergence of the distances within each set, as in the published code.

    Args:
        first: [n, D] features.
        second: [n, D] features of the same people in the same order, from elsewhere.
    """
    return symmetric_divergence(distances_to_others(first), distances_to_others(second))


def paper_graph_alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the divergences within and between two sets, in the form of the paper.

    With A(x; y) the softmax over each row of the distances of x to y it is KL(A(a; a), A(b; b)) +
    KL(A(a; a), A(a; b)) + KL(A(a; b), A(b; b)), the mean over the rows. The paper does not say
    which argument of KL(p, q) is the expectation's: here p.

    Args:
        first: a, [n, D] features.
        second: b, [n, D].
    """
    within_first, within_second = distances(first, first), distances(second, second)
    between = distances(first, second)
    return (
        divergence(within_first, within_second)
        + divergence(within_first, between)
        + divergence(between, within_second)
    )


def half_of_each(first: Tensor, second: Tensor) -> Tensor:
    """Return as many rows as `first` has: its first half, and that of `second` behind it."""
    half = len(first) // 2
    return torch.cat([first[: len(first) - half], second[:half]])


def distances_to_others(features: Tensor) -> Tensor:
    """Return the distances [n, n - 1] of every row of [n, D] to all others, in their order."""
    n = len(features)
    # behind the first number of the square matrix, every run of n + 1 numbers ends on the diagonal
    flat = distances(features, features).flatten()[1:].view(n - 1, n + 1)
    return flat[:, :-1].reshape(n, n - 1)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distances [n, m] of the rows of [n, D] and [m, D], at least 0.001."""
    squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1)
    return torch.addmm(squares, first, second.T, alpha=-2).clamp_min(_SMALLEST).sqrt()
