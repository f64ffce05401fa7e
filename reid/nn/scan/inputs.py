"""What a scan takes, checked and brought to one form for all backends."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reid.errors import ParamsError


class ScanInputs(NamedTuple):
    """Everything in one floating-point type; nothing is optional.

    Attributes:
        u: [batch, E, L] sequence.
        delta: [batch, E, L] step sizes before the bias and softplus.
        A: [E, N], negative.
        B: [batch, G, N, L]; every group serves E / G consecutive channels.
        C: As `B`.
        D: [E] skip.
        delta_bias: [E].
        reverse: For each group, whether its time runs from the last step to the first.
    """

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor
    delta_bias: Tensor
    reverse: tuple[bool, ...]


def check_inputs(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    reverse: Sequence[bool],
) -> ScanInputs:
    """Fill in what was left out, widen half precision to float32 and check the shapes.

    Raises:
        ParamsError: Shapes that do not belong together.
    """
    kind = torch.promote_types(u.dtype, torch.float32)
    batch, channels, steps = u.shape
    B, C = (x[:, None] if x.dim() == 3 else x for x in (B, C))
    groups, states = B.shape[1], A.shape[1]
    if D is None:
        D = u.new_zeros(channels, dtype=kind)
    if delta_bias is None:
        delta_bias = u.new_zeros(channels, dtype=kind)
    directions = tuple(reverse) or (False,) * groups
    wanted = {
        "delta": (delta, (batch, channels, steps)),
        "A": (A, (channels, states)),
        "B": (B, (batch, groups, states, steps)),
        "C": (C, (batch, groups, states, steps)),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
    }
    for name, (found, shape) in wanted.items():
        if found.shape != shape:
            raise ParamsError(
                f"scan: {name} is {list(found.shape)} beside u {list(u.shape)}",
                f"{list(shape)}",
                "Check the shapes of the inputs.",
            )
    if channels % groups or len(directions) != groups or steps < 1:
        raise ParamsError(
            f"scan: {channels} channels, {groups} groups, {len(directions)} directions, "
            f"{steps} steps",
            "groups that divide the channels, a direction for each, and at least one step",
            "Check the shapes of the inputs.",
        )
    u, delta, A, B, C, D, delta_bias = (x.to(kind) for x in (u, delta, A, B, C, D, delta_bias))
    return ScanInputs(u, delta, A, B, C, D, delta_bias, directions)


def flip_groups(x: Tensor, reverse: Sequence[bool]) -> Tensor:
    """Turn the last dimension round in those of equal consecutive parts of dim 1 that are named."""
    if not any(reverse):
        return x
    parts = x.chunk(len(reverse), dim=1)
    return torch.cat([p.flip(-1) if back else p for p, back in zip(parts, reverse, strict=True)], 1)


def run_forwards(inputs: ScanInputs) -> ScanInputs:
    """Return the same inputs with time turned round where it runs backwards."""
    turn = inputs.reverse
    return inputs._replace(
        u=flip_groups(inputs.u, turn),
        delta=flip_groups(inputs.delta, turn),
        B=flip_groups(inputs.B, turn),
        C=flip_groups(inputs.C, turn),
        reverse=(False,) * len(turn),
    )
