"""The scan written as it is defined: one step after the other, for tests and float64."""

import torch
from torch import Tensor

from reid.nn.scan.inputs import ScanInputs, flip_groups


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [G, batch, L, e] and the last states [G, batch, e, N]; autograd differentiates it.

    Slow: the backward pass of its indexing costs L squared.
    """
    u, step, A, B, C, _ = inputs.run_forwards()
    decay = torch.exp(step[..., None] * A[:, None, None])
    given = (step * u)[..., None] * B[..., None, :]
    state = torch.zeros_like(given[:, :, 0])
    outputs = []
    for t in range(u.shape[2]):
        state = decay[:, :, t] * state + given[:, :, t]
        outputs.append((state * C[:, :, t, None]).sum(dim=3))
    return flip_groups(torch.stack(outputs, dim=2), inputs.reverse), state.detach()
