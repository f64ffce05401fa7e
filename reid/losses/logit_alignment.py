"""Agreement of two sets of logits (IDKL, arXiv 2403.11708, class-level semantic alignment)."""

import torch.nn.functional as F
from torch import Tensor


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return KL(p of `first`, p of `second`), the mean over the rows of [n, C] logits."""
    return F.kl_div(
        second.log_softmax(dim=1), first.log_softmax(dim=1), reduction="batchmean", log_target=True
    )


def symmetric_divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of `divergence` in both directions."""
    return divergence(first, second) + divergence(second, first)


def joined_over_people(logits: Tensor, images: int) -> Tensor:
    """Join the logits of all people, so that one softmax goes over all of them.

    Args:
        logits: [P * images, C], person after person.
        images: Of each person.

    Returns:
        [images, P * C]: row k has the logits of the image k of every person.
    """
    people, classes = len(logits) // images, logits.shape[1]
    grouped = logits.view(people, images, classes).transpose(0, 1)
    return grouped.reshape(images, people * classes)
