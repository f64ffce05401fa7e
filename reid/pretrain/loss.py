"""The two losses of a pretraining: agreement of class tokens, and of masked patches.

Source: iBOT (arXiv 2111.07832, section 3.2); PersonViT (arXiv 2408.05398), equations 4 to 8.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def teacher_probabilities(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """Centre and sharpen: softmax((logits - centre) / temperature) over the last axis, float32."""
    return F.softmax((logits.float() - centre) / temperature, dim=-1)


def class_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean cross entropy over all pairs of a teacher's and another crop of a student.

    Args:
        student: [V, B, K] logits; the first G crops are those that the teacher saw too.
        teacher: [G, B, K] probabilities.
        temperature: Of the student.
    """
    logs = F.log_softmax(student.float() / temperature, dim=-1)
    with torch.autocast(student.device.type, enabled=False):  # a product of thousands of terms
        # over all pairs at once, [G, V]; a crop is never compared with itself
        entropy = -torch.einsum("gbk,vbk->gv", teacher, logs) / student.shape[1]
    same = torch.eye(*entropy.shape, dtype=torch.bool, device=entropy.device)
    return entropy.masked_fill(same, 0).sum() / (~same).sum()


def patch_loss(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Return the mean over images of the mean cross entropy of their masked patches.

    An image without masked patches counts as 0.

    Args:
        student: [M, K] logits of the masked patches alone, in the order of `mask`.
        teacher: [M, K] probabilities of the same patches.
        mask: [B, N], True at the M masked patches.
        temperature: Of the student.
    """
    logs = F.log_softmax(student.float() / temperature, dim=-1)
    entropy = -(teacher * logs).sum(dim=-1)
    counts = mask.sum(dim=1, keepdim=True).clamp_min(1)
    weights = (1 / counts).expand_as(mask)[mask]
    return (entropy * weights).sum() / len(mask)
