"""Who tells the spectrum of an image: the discriminator, and the confuser against the features."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from reid.errors import DataError


class ModalityClassifier(nn.Module):
    """Three layers from features to the logits of visible and infrared."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.fc1, self.bn1 = nn.Linear(inputs, width), nn.BatchNorm1d(width)
        self.fc2, self.bn2 = nn.Linear(width, width), nn.BatchNorm1d(width)
        self.fc3 = nn.Linear(width, 2)
        self.dropout = nn.Dropout(0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Turn [B, D] into [B, 2]."""
        hidden = self.dropout(self.bn1(self.fc1(features)).relu())
        hidden = self.dropout(self.bn2(self.fc2(hidden)).relu())
        return self.fc3(hidden)  # type: ignore[no-any-return]


class Spectra(NamedTuple):
    """Which rows of a batch are visible and which infrared, paired: both [n].

    Attributes:
        images: Of each person in each spectrum.
    """

    visible: Tensor
    infrared: Tensor
    images: int


def pair_spectra(labels: Tensor, modalities: Tensor) -> Spectra:
    """Pair the k-th visible image of a batch with the k-th infrared one.

    Args:
        labels: [B] person classes, all images of a person together.
        modalities: [B] 0 visible, 1 infrared.

    Raises:
        DataError: A spectrum is missing, or the two do not show the same people in the same order.
    """
    visible, infrared = ((modalities == kind).nonzero()[:, 0] for kind in (0, 1))
    people = [labels[rows].tolist() for rows in (visible, infrared)]
    if people[0] != people[1] or not people[0]:
        raise DataError(
            f"a batch of {len(visible)} visible and {len(infrared)} infrared images"
            f"{next(_differences(*people), '')}",
            "as many of each spectrum, of the same people in the same order",
            "Set `sampler.name: cross_modal`, and train on a dataset with both spectra.",
        )
    return Spectra(visible, infrared, people[0].count(people[0][0]))


def rolled_labels(modalities: Tensor) -> Tensor:
    """Return labels [B] of the spectrum half of which are wrong, as the published code trains on.

    They are the first half of the labels, each twice, moved up by one.
    """
    doubled = modalities[: (len(modalities) + 1) // 2].repeat_interleave(2)[: len(modalities)]
    return doubled.roll(-1)


def share_right(logits: Tensor, modalities: Tensor) -> Tensor:
    """Return the share of images whose spectrum is told rightly."""
    return (logits.detach().argmax(dim=1) == modalities).float().mean()


def _differences(visible: list[int], infrared: list[int]) -> Iterator[str]:
    for one, other in zip(visible, infrared, strict=False):
        if one != other:
            yield f", person {one} beside person {other}"
