"""Identity loss whose smoothing spares the right class (ReIDMamba, arXiv 2511.07948)."""

import torch.nn.functional as F
from torch import Tensor


def smoothed_identity_loss(score: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross entropy with 1 - smoothing for the right class.

    The share `smoothing` of the target goes to the wrong classes alone; torch spreads it over all
    of them, the right one included.

    Args:
        score: [B, classes] logits of at least 2 classes.
        labels: [B] person classes.
        smoothing: At most (classes - 1) / classes.
    """
    classes = score.shape[1]
    return F.cross_entropy(score, labels, label_smoothing=smoothing * classes / (classes - 1))
