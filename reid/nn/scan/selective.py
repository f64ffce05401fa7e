"""The selective scan of Mamba (arXiv 2312.00752, section 3), on whatever computes it best."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.nn.scan.backends import Backend, choose_backend, load_backend
from reid.nn.scan.inputs import check_inputs


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    *,
    reverse: Sequence[bool] = (),
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the recurrence over time, with the state in float32 (float64 if `u` is).

    For channel e and state n, with d = softplus(delta + delta_bias):
    h_t = exp(d_t A) h_(t-1) + d_t B_t u_t and y_t = C_t · h_t + D u_t, times silu(z_t) if given.

    Args:
        u: [batch, E, L].
        delta: [batch, E, L].
        A: [E, N], negative.
        B: [batch, N, L], or [batch, G, N, L] with E / G consecutive channels for each group.
        C: As `B`.
        D: [E] skip connection.
        z: [batch, E, L] gate.
        delta_bias: [E].
        reverse: For each group, whether its time runs backwards; all forwards if empty.
        backend: See `choose_backend`.

    Returns:
        out [batch, E, L] in the type of `u`, and the last state [batch, E, N] without gradient.

    Raises:
        ParamsError: Shapes that do not belong together, or a backend that is not there.
    """
    with torch.autocast(u.device.type, enabled=False):
        inputs = check_inputs(u, delta, A, B, C, D, delta_bias, reverse)
        choice = choose_backend(backend, u.device.type, inputs.u.dtype)
        scan = load_backend(choice.name)
        out, last = scan(inputs)
        if z is not None:
            out = out * F.silu(z.to(out.dtype))
    return out.to(u.dtype), last
