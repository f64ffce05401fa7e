"""Rank-aware regularisers of features with several branches (ReIDMamba, arXiv 2511.07948).

Each branch orders what a sample resembles; where two branches order it alike, one of them is
superfluous. The agreement is Kendall's tau with tanh in the place of the sign:

    tau(x, y) = mean over i < j of tanh((x_i - x_j) / t) tanh((y_i - y_j) / t)

averaged over samples and over pairs of branches. It lies in [-1, 1] and is minimised.

Differs from the reference code: the groups follow from the labels, not from the order of the batch;
the arithmetic is single precision under autocast too, as differences of similarities divided by a
small temperature need the digits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import ParamsError

_FEWEST = 3  # two others to compare, and the one compared with them


def intra_loss(features: list[Tensor], labels: Tensor, temperature: float) -> Tensor:
    """Return how alike the branches order the other images of a person.

    Args:
        features: [B, D] per branch, each row of length 1.
        labels: [B] person classes, in any order, every person equally often.
        temperature: Difference of cosine similarities that counts as clear.

    Raises:
        ParamsError: Fewer than 2 branches, fewer than 3 images of a person, or persons with
            different numbers of images.
    """
    _require_branches(features)
    with torch.autocast(labels.device.type, enabled=False):
        groups = _grouped(features, labels)
        _require_several(groups.shape[2], "images of a person", "sampler.images")
        return _agreement(_without_own(groups @ groups.mT), temperature)


def inter_loss(features: list[Tensor], labels: Tensor, temperature: float) -> Tensor:
    """Return how alike the branches order the centres of the other persons.

    A centre is the mean of a person's features in that branch, scaled to length 1.

    Args:
        features: [B, D] per branch, each row of length 1.
        labels: [B] person classes, in any order, every person equally often.
        temperature: Difference of cosine similarities that counts as clear.

    Raises:
        ParamsError: Fewer than 2 branches, fewer than 3 persons, or persons with different
            numbers of images.
    """
    _require_branches(features)
    with torch.autocast(labels.device.type, enabled=False):
        groups = _grouped(features, labels)
        _require_several(groups.shape[1], "persons", "sampler.identities")
        centres = F.normalize(groups.mean(dim=2), dim=2)
        # each image of all persons in turn: [G, K, P, D] against [G, 1, P, D]
        return _agreement(_without_own(groups.transpose(1, 2) @ centres[:, None].mT), temperature)


def _grouped(features: list[Tensor], labels: Tensor) -> Tensor:
    """Return the features as [branches, persons, images, D], whatever the order of the batch."""
    counts = [count for count in labels.bincount().tolist() if count]
    if min(counts) != max(counts):
        raise ParamsError(
            f"a batch with {min(counts)} to {max(counts)} images of a person",
            "equally many of every person for the rank correlation",
            "Draw batches with the identity sampler.",
        )
    ordered = torch.stack(features).float()[:, labels.argsort(stable=True)]
    return ordered.reshape(len(features), len(counts), counts[0], -1)


def _without_own(similarity: Tensor) -> Tensor:
    """Return [..., N, N - 1]: the square matrices [..., N, N] without their diagonals."""
    *lead, count, _ = similarity.shape
    # behind the first entry, every run of N + 1 entries ends on the diagonal
    runs = similarity.flatten(-2)[..., 1:].reshape(*lead, count - 1, count + 1)
    return runs[..., :-1].reshape(*lead, count, count - 1)


def _agreement(similarity: Tensor, temperature: float) -> Tensor:
    """Return the mean tau over the pairs of branches; similarity: [branches, ..., M]."""
    difference = similarity[..., :, None] - similarity[..., None, :]
    order = torch.tanh(difference / temperature).flatten(1)
    # i > j repeats i < j, and i = j adds nothing
    others = similarity.shape[-1]
    terms = order.shape[1] * (others - 1) / others
    branches = len(order)
    return (order @ order.T).triu(1).sum() / (terms * branches * (branches - 1) / 2)


def _require_branches(features: list[Tensor]) -> None:
    if len(features) < 2:
        raise ParamsError(
            f"{len(features)} branch for the rank correlation between branches",
            "at least 2",
            "Give the model more branches, or both regularisers the weight 0.",
        )


def _require_several(count: int, what: str, parameter: str) -> None:
    if count < _FEWEST:
        raise ParamsError(
            f"a batch with {count} {what}",
            f"at least {_FEWEST} for the rank correlation",
            f"Raise {parameter}, or give the regulariser the weight 0.",
        )
