"""The triplet loss with other distances and other choices of positive and negative.

Source: ReIDMamba (arXiv 2511.07948), whose published runs use the defaults. With `weighted` on both
sides and the soft margin it is the weighted regularised triplet loss of AGW (arXiv 2001.04193,
section 4).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.losses.triplet import euclidean_distance, margin_loss, mine_hardest
from reid.params import Params


class TripletVariant(Params):
    """Which distances the triplet loss compares; by default those of `triplet_loss`.

    Attributes:
        squared: Distances are squared, after they are chosen and before the margin.
        normalised: Features are scaled to length 1 before.
        positives: Which image of the same person: `hard` the farthest, `easy` the nearest other,
            `weighted` all others, the far ones more (softmax of the distance).
        negatives: Which image of another person: `hard` the nearest, `semihard` the nearest of
            those farther than the positive, `weighted` all, the near ones more.
    """

    squared: bool = False
    normalised: bool = False
    positives: Literal["hard", "easy", "weighted"] = "hard"
    negatives: Literal["hard", "semihard", "weighted"] = "hard"


def variant_triplet_loss(
    features: Tensor, labels: Tensor, margin: float | None, variant: TripletVariant
) -> Tensor:
    """Return the mean over the anchors that have a negative; 0 if none has.

    Differs from the reference code: people may have different numbers of images in a batch.

    Args:
        features: [B, D].
        labels: [B] person classes.
        margin: Margin between the distances, None for the soft margin.
    """
    if variant.normalised:
        features = F.normalize(features.float(), dim=1)
    distance = euclidean_distance(features)
    hardest = mine_hardest(distance, labels)
    positive, negative = hardest.positive, hardest.negative
    if variant.positives == "easy":
        positive = distance.masked_fill(~_others_of_person(labels), torch.inf).amin(dim=1)
    elif variant.positives == "weighted":
        positive = _weighted(distance, _others_of_person(labels), 1)
    if variant.negatives == "semihard":
        negative = _semi_hard(distance, labels, positive)
    elif variant.negatives == "weighted":
        negative = _weighted(distance, labels[:, None] != labels[None, :], -1)
    if variant.squared:
        positive, negative = positive.square(), negative.square()
    return margin_loss(positive, negative, hardest.valid, margin)


def _others_of_person(labels: Tensor) -> Tensor:
    """Mark the other images of the person of each anchor, or the anchor itself if alone: [B, B]."""
    same = labels[:, None] == labels[None, :]
    own = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    alone = same.sum(dim=1, keepdim=True) == 1
    return same & (~own | alone)


def _weighted(distance: Tensor, chosen: Tensor, sign: int) -> Tensor:
    """Return the mean of the chosen distances, weighted by the softmax of `sign` times them: [B].

    Where none is chosen, it is 0.
    """
    least = torch.finfo(distance.dtype).min  # minus infinity in a whole row would give no number
    weights = (sign * distance).masked_fill(~chosen, least).softmax(dim=1)
    return (weights.masked_fill(~chosen, 0) * distance).sum(dim=1)


def _semi_hard(distance: Tensor, labels: Tensor, positive: Tensor) -> Tensor:
    """Return the smallest distance to another person above that of the positive: [B].

    Where there is none, it is that to the first image of another person in the batch, as in the
    reference code.
    """
    other = labels[:, None] != labels[None, :]
    farther = other & (distance > positive[:, None])
    nearest = distance.detach().masked_fill(~farther, torch.inf).argmin(dim=1)
    index = torch.where(farther.any(dim=1), nearest, other.int().argmax(dim=1))
    return distance.gather(1, index[:, None])[:, 0]
