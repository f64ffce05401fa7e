import pytest
import torch
import torch.nn.functional as F

from reid.losses.smoothed_identity import smoothed_identity_loss


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_wrong_classes_share_what_the_right_one_gives(classes: int, smoothing: float) -> None:
    draw = torch.Generator().manual_seed(classes)
    score = torch.randn(6, classes, generator=draw)
    labels = torch.randint(classes, (6,), generator=draw)
    target = torch.full((6, classes), smoothing / (classes - 1))
    target[torch.arange(6), labels] = 1 - smoothing
    expected = F.cross_entropy(score, target)
    assert float(smoothed_identity_loss(score, labels, smoothing)) == pytest.approx(float(expected))
