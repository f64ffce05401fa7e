"""The selective scan of Mamba (arXiv 2312.00752, section 3), on whatever computes it best."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from reid.errors import ParamsError
from reid.nn.scan.backends import Backend, choose_backend, load_backend
from reid.nn.scan.inputs import ScanInputs, check_inputs


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
    B, C = (x[:, None] if x.dim() == 3 else x for x in (B, C))
    groups = B.shape[1]
    _check_channels(u, delta, A, groups)
    with torch.autocast(u.device.type, enabled=False):
        kind = torch.promote_types(u.dtype, torch.float32)
        delta = delta.to(kind) if delta_bias is None else delta + delta_bias.to(kind)[:, None]
        out, last = grouped_scan(
            _in_groups(u, groups),
            _in_groups(F.softplus(delta), groups),
            A.reshape(groups, -1, A.shape[1]),
            B.permute(1, 0, 3, 2),
            C.permute(1, 0, 3, 2),
            reverse=tuple(reverse) or (False,) * groups,
            backend=backend,
        )
        out = out.permute(1, 0, 3, 2).flatten(1, 2)
        if D is not None:
            out = torch.addcmul(out, u.to(kind), D.to(kind)[:, None])
        if z is not None:
            out = out * F.silu(z.to(kind))
    return out.to(u.dtype), last.transpose(0, 1).flatten(1, 2)


def grouped_scan(
    u: Tensor,
    step: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    reverse: Sequence[bool],
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Run the bare recurrence h_t = exp(d_t A) h_(t-1) + d_t B_t u_t, y_t = C_t · h_t.

    This is the form in which the backends take it, without skip and gate; nothing is copied on the
    way if the tensors are contiguous.

    Args:
        u: [G, batch, L, e], e channels in each of G groups.
        step: As `u`, the positive d.
        A: [G, e, N], negative.
        B: [G, batch, L, N].
        C: As `B`.
        reverse: For each group, whether its time runs backwards.
        backend: See `choose_backend`.

    Returns:
        y as `u`, at least in float32, and the last states [G, batch, e, N] without gradient.

    Raises:
        ParamsError: Shapes that do not belong together, or a backend that is not there.
    """
    with torch.autocast(u.device.type, enabled=False):
        inputs = check_inputs(ScanInputs(u, step, A, B, C, tuple(reverse)))
        choice = choose_backend(backend, u.device.type, inputs.u.dtype)
        return load_backend(choice.name)(inputs)


def _check_channels(u: Tensor, delta: Tensor, A: Tensor, groups: int) -> None:
    if u.shape != delta.shape or u.shape[1] % groups or len(A) != u.shape[1]:
        raise ParamsError(
            f"scan: u {list(u.shape)}, delta {list(delta.shape)}, A {list(A.shape)}, "
            f"{groups} groups",
            "u and delta [batch, E, L], A [E, N], groups that divide E",
            "Check the shapes of the inputs.",
        )


def _in_groups(x: Tensor, groups: int) -> Tensor:
    """Turn [batch, E, L] into [G, batch, L, e]."""
    return x.reshape(len(x), groups, -1, x.shape[2]).permute(1, 0, 3, 2)
