"""The scan on an NVIDIA GPU, by the kernels of mamba-ssm, in single precision.

Importing this module fails where mamba-ssm, or the extension that it compiles, is missing.
"""

from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
from torch import Tensor

from reid.nn.scan.inputs import ScanInputs, flip_groups


def scan(inputs: ScanInputs) -> tuple[Tensor, Tensor]:
    """Return y [G, batch, L, e] and the last states [G, batch, e, N]; mamba-ssm differentiates it.

    Its kernels go forwards only, so groups that run backwards are turned round and back; they take
    the channels of all groups in one dimension, and time in the last.
    """
    u, step, A, B, C, _ = inputs.run_forwards()
    groups, batch, _, channels = u.shape
    out, last = selective_scan_fn(
        _time_last(u).flatten(1, 2),
        _time_last(step).flatten(1, 2),
        A.flatten(0, 1).contiguous(),
        _time_last(B),
        _time_last(C),
        return_last_state=True,
    )
    y = out.reshape(batch, groups, channels, -1).permute(1, 0, 3, 2)
    states = last.detach().reshape(batch, groups, channels, -1).transpose(0, 1)
    return flip_groups(y, inputs.reverse), states


def _time_last(x: Tensor) -> Tensor:
    """Turn [G, batch, L, n] into [batch, G, n, L], contiguous as the kernels want it."""
    return x.permute(1, 0, 3, 2).contiguous()
