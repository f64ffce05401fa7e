"""What a scan takes, checked and brought to one form for all backends."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from reid.errors import ParamsError


class ScanInputs(NamedTuple):
    """Channels in G groups of e, each with its own B and C; everything in one type.

    Attributes:
        u: [G, batch, L, e] sequence.
        step: As `u`, step sizes, positive.
        A: [G, e, N], negative.
        B: [G, batch, L, N].
        C: As `B`.
        reverse: For each group, whether its time runs from the last step to the first.
    """

    u: Tensor
    step: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    reverse: tuple[bool, ...]

    def run_forwards(self) -> "ScanInputs":
        """Return the same with time turned round where it runs backwards."""
        if not any(self.reverse):
            return self
        u, step, B, C = (flip_groups(x, self.reverse) for x in (self.u, self.step, self.B, self.C))
        return ScanInputs(u, step, self.A, B, C, (False,) * len(self.reverse))


def check_inputs(inputs: ScanInputs) -> ScanInputs:
    """Widen half precision to float32 and check the shapes.

    Raises:
        ParamsError: Shapes that do not belong together.
    """
    groups, batch, steps, channels = inputs.u.shape
    states = inputs.A.shape[2]
    wanted = {
        "step": (groups, batch, steps, channels),
        "A": (groups, channels, states),
        "B": (groups, batch, steps, states),
        "C": (groups, batch, steps, states),
    }
    for name, shape in wanted.items():
        found = getattr(inputs, name).shape
        if found != shape:
            raise ParamsError(
                f"scan: {name} is {list(found)} beside u {list(inputs.u.shape)}",
                f"{list(shape)} ([groups, batch, steps, channels or states])",
                "Check the shapes of the inputs.",
            )
    if len(inputs.reverse) != groups or steps < 1:
        raise ParamsError(
            f"scan: {groups} groups with {len(inputs.reverse)} directions and {steps} steps",
            "a direction for each group and at least one step",
            "Check the shapes of the inputs.",
        )
    kind = torch.promote_types(inputs.u.dtype, torch.float32)
    u, step, A, B, C = (x.to(kind) for x in inputs[:5])
    return ScanInputs(u, step, A, B, C, inputs.reverse)


def flip_groups(x: Tensor, reverse: Sequence[bool]) -> Tensor:
    """Turn the time of [G, batch, L, ...] round in the groups that are named."""
    if not any(reverse):
        return x
    return torch.stack([g.flip(1) if back else g for g, back in zip(x, reverse, strict=True)])
