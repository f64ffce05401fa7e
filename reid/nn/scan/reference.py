"""The scan written as it is defined: one step after the other, for tests and float64."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.nn.scan.inputs import ScanInputs, flip_groups, run_forwards


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [batch, E, L] and the last state [batch, E, N]; autograd gives the gradients.

    Slow: the backward pass of its indexing costs L squared.
    """
    turn, inputs = inputs.reverse, run_forwards(inputs)
    channels, groups = inputs.u.shape[1], inputs.B.shape[1]
    step = F.softplus(inputs.delta + inputs.delta_bias[:, None])
    decay = torch.exp(step[..., None] * inputs.A[:, None])
    into = inputs.B.repeat_interleave(channels // groups, dim=1).transpose(2, 3)
    out_of = inputs.C.repeat_interleave(channels // groups, dim=1).transpose(2, 3)
    state = decay.new_zeros(*inputs.u.shape[:2], inputs.A.shape[1])
    outputs = []
    for t in range(inputs.u.shape[2]):
        state = decay[:, :, t] * state + (step * inputs.u)[:, :, t, None] * into[:, :, t]
        outputs.append((state * out_of[:, :, t]).sum(dim=2))
    out = torch.stack(outputs, dim=2) + inputs.D[:, None] * inputs.u
    return flip_groups(out, turn), state.detach()
