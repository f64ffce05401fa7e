import pytest
import torch
from torch import Tensor, nn

from reid.nn.gradient_reversal import reverse_gradient


def gradients(strength: float | None) -> tuple[Tensor, Tensor]:
    """Gradients of the layers before and behind the reversal, without one for None."""
    torch.manual_seed(0)
    before, behind = nn.Linear(4, 3), nn.Linear(3, 2)
    hidden = before(torch.randn(5, 4)).tanh()
    turned = hidden if strength is None else reverse_gradient(hidden, strength)
    nn.functional.cross_entropy(behind(turned), torch.arange(5) % 2).backward()
    assert before.weight.grad is not None
    assert behind.weight.grad is not None
    return before.weight.grad, behind.weight.grad


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 2.0])
def test_only_what_lies_before_is_turned_round(strength: float) -> None:
    before, behind = gradients(strength)
    plain_before, plain_behind = gradients(None)
    torch.testing.assert_close(before, -strength * plain_before)
    assert torch.equal(behind, plain_behind)
    assert plain_before.any()


def test_values_pass_as_they_are() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert torch.equal(reverse_gradient(x, 0.7), x)


def test_features_unlearn_what_the_classifier_learns() -> None:
    """The classifier descends on the loss, and the feature climbs on it."""
    feature, weight = torch.tensor([1.0]), torch.tensor([0.5])
    for leaf in (feature, weight):
        leaf.requires_grad_()
    loss = (reverse_gradient(feature) * weight - 2).square().sum()
    loss.backward()
    assert feature.grad is not None
    assert weight.grad is not None
    with torch.no_grad():
        better = (feature * (weight - 0.1 * weight.grad) - 2).square()
        worse = ((feature - 0.1 * feature.grad) * weight - 2).square()
    assert float(better) < float(loss.detach()) < float(worse)
