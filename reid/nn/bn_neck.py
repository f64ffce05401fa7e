"""Batch-norm neck: the layer between the metric feature and the classifier (arXiv 1903.07071)."""

from torch import nn


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation with a bias that stays at zero.

    Without a bias the classifier's hyperplanes pass through the origin, so that the cosine used
    in retrieval fits the space in which the classes were separated. The bias is kept as a frozen
    parameter because published checkpoints hold it.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.bias.requires_grad_(False)


def classifier(width: int, num_classes: int) -> nn.Linear:
    """Return the linear classifier on a neck: no bias, weights normal with deviation 0.001."""
    linear = nn.Linear(width, num_classes, bias=False)
    nn.init.normal_(linear.weight, std=0.001)
    return linear
