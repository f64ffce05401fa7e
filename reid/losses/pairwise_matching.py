"""Losses on the scores of all pairs of a batch (TransMatcher, arXiv 2105.14432).

The scores are [B, B]: row i compares image i, as a query, with every image of the batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def pairwise_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return for each row [B] the sum of binary cross entropies over its pairs.

    A pair is positive where both images show one person; so is an image with itself.

    Args:
        scores: [B, B] logits.
        labels: [B] person classes.
    """
    targets = _same(labels).to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, targets, reduction="none").sum(dim=1)


def score_triplet(scores: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return for each row [B] the hinge max(0, margin - (lowest positive - highest negative)).

    Source: QAConv 2.1 (its batch-hard triplet loss). A row without another image of its person, or
    without one of somebody else, gives 0.
    """
    return F.relu(margin - score_gap(scores, labels))


def score_gap(scores: Tensor, labels: Tensor) -> Tensor:
    """Return lowest positive - highest negative of each row [B], the image itself left out.

    Infinite where a row lacks the one or the other.
    """
    same = _same(labels)
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    lowest = scores.masked_fill(~same | own, torch.inf).amin(dim=1)
    highest = scores.masked_fill(same, -torch.inf).amax(dim=1)
    return lowest - highest


def mean_of_finite(losses: Tensor) -> Tensor:
    """Return the mean over the finite rows of [B]; where none is, a zero that has a gradient."""
    finite = losses.isfinite()
    return torch.where(finite, losses, 0.0).sum() / finite.sum().clamp_min(1)


def _same(labels: Tensor) -> Tensor:
    return labels[:, None] == labels[None, :]
