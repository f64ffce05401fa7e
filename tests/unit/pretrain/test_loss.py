import math

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.pretrain.loss import class_loss, patch_loss, teacher_probabilities


def entropy(teacher: Tensor, student: Tensor, temperature: float) -> Tensor:
    return -(teacher * F.log_softmax(student / temperature, dim=-1)).sum(dim=-1)


def test_class_loss_is_the_mean_over_pairs_of_different_crops() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3, 4), torch.randn(2, 3, 4).softmax(dim=-1)
    pairs = [(q, v) for q in range(2) for v in range(5) if q != v]
    assert len(pairs) == 2 * (1 + 3)
    expected = sum(entropy(teacher[q], student[v], 0.1).mean() for q, v in pairs) / len(pairs)
    torch.testing.assert_close(class_loss(student, teacher, 0.1), torch.as_tensor(expected))


def test_losses_keep_their_digits_under_autocast() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(4, 3, 500), torch.randn(2, 3, 500).softmax(dim=-1)
    mask = torch.ones(3, 4, dtype=torch.bool)
    masked = torch.randn(12, 500), torch.randn(12, 500).softmax(dim=-1)
    exact = class_loss(student, teacher, 0.1), patch_loss(*masked, mask, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        found = class_loss(student, teacher, 0.1), patch_loss(*masked, mask, 0.1)
    assert found == exact


def test_patch_loss_weighs_images_alike() -> None:
    torch.manual_seed(0)
    mask = torch.tensor([[True, False, True, True], [False] * 4, [False, True, False, False]])
    student, teacher = torch.randn(3, 4, 6), torch.randn(3, 4, 6).softmax(dim=-1)
    found = patch_loss(student[mask], teacher[mask], mask, 0.1)
    each = entropy(teacher, student, 0.1)
    expected = (each[0, [0, 2, 3]].mean() + 0 + each[2, 1]) / 3
    torch.testing.assert_close(found, expected)


def test_no_masked_patch_costs_nothing() -> None:
    nothing = torch.zeros(0, 6, requires_grad=True)
    loss = patch_loss(nothing, torch.zeros(0, 6), torch.zeros(2, 4, dtype=torch.bool), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0


def test_the_teacher_is_centred_and_sharpened() -> None:
    logits, centre = torch.tensor([[0.1, 0.0]]), torch.tensor([[0.1, -0.1]])
    found = teacher_probabilities(logits, centre, 0.05)
    odds = math.exp((0.0 - 0.1) / 0.05)
    torch.testing.assert_close(found, torch.tensor([[odds, 1.0]]) / (1 + odds))
    half = teacher_probabilities(logits.bfloat16(), centre, 0.05)
    assert half.dtype == torch.float32
