"""Batch-hard triplet loss (arXiv 1703.07737)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Hardest(NamedTuple):
    """Per anchor the farthest image of its person and the nearest of another; all tensors are [B].

    Attributes:
        valid: The batch holds another person, so that there is a negative.
    """

    positive: Tensor
    negative: Tensor
    positive_index: Tensor
    negative_index: Tensor
    valid: Tensor


def euclidean_distance(features: Tensor) -> Tensor:
    """Return the [B, B] distances of the rows of [B, D], at least 1e-6, in float32."""
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()  # the difference of large squares needs the digits
        squares = features.square().sum(dim=1)
        squared = squares[:, None] + squares[None, :] - 2 * features @ features.T
        return squared.clamp_min(1e-12).sqrt()


def mine_hardest(distance: Tensor, labels: Tensor) -> Hardest:
    """Find the hardest positive (the anchor itself included) and negative of every anchor.

    Differs from the reference code: people may have different numbers of images in a batch.

    Args:
        distance: [B, B].
        labels: [B] person classes.
    """
    same = labels[:, None] == labels[None, :]
    positive, positive_index = distance.masked_fill(~same, -torch.inf).max(dim=1)
    negative, negative_index = distance.masked_fill(same, torch.inf).min(dim=1)
    return Hardest(positive, negative, positive_index, negative_index, ~same.all(dim=1))


def triplet_loss(features: Tensor, labels: Tensor, margin: float | None) -> Tensor:
    """Return the mean over the anchors that have a negative; 0 if none has.

    Args:
        features: [B, D], not normalised.
        labels: [B] person classes.
        margin: mean max(0, positive - negative + margin); None for the soft margin
            mean log(1 + exp(positive - negative)).
    """
    hardest = mine_hardest(euclidean_distance(features), labels)
    return margin_loss(hardest.positive, hardest.negative, hardest.valid, margin)


def margin_loss(positive: Tensor, negative: Tensor, valid: Tensor, margin: float | None) -> Tensor:
    """Return the mean over the valid anchors; 0 if none is.

    Args:
        positive: [B] distance of each anchor to an image of its person.
        negative: [B] distance to an image of another person.
        valid: [B] the anchor has a negative.
        margin: None for the soft margin.
    """
    gap = positive - torch.where(valid, negative, positive)
    loss = F.softplus(gap) if margin is None else F.relu(gap + margin)
    return (loss * valid).sum() / valid.sum().clamp_min(1)
