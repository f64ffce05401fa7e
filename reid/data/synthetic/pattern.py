"""Patterns of the upper cloth, computed in torso coordinates so that they move with the body."""

import numpy as np
from numpy.typing import NDArray

from reid.data.synthetic.paint import Codes, Material
from reid.data.synthetic.person import Pattern
from reid.data.synthetic.skeleton import View

Floats = NDArray[np.float64]
TorsoRows = list[tuple[float, float, float]]


def apply_pattern(codes: Codes, pattern: Pattern, view: View, rows: TorsoRows) -> None:
    """Give the second colour to those upper-cloth pixels that the pattern says, in place.

    Args:
        codes: [H, W] code map with a painted torso.
        pattern: Kind and repeats.
        view: View of the painted figure.
        rows: Torso outline as (y, half width, half depth) in body heights, from the top.
    """
    if pattern.kind == "plain":
        return
    heights = np.array([view.place((0.0, y, 0.0))[1] for y, _, _ in rows])
    halves = np.array([view.half_width(side, front) for _, side, front in rows])
    top, bottom = max(int(heights[0]), 0), min(int(heights[-1]) + 2, codes.shape[0])
    reach = float(halves.max()) + 1
    left = max(int(view.centre - reach), 0)
    right = min(int(view.centre + reach) + 2, codes.shape[1])
    if top >= bottom or left >= right:
        return
    window = codes[top:bottom, left:right]
    y = np.arange(top, bottom, dtype=np.float64)
    v = (y - heights[0]) / (heights[-1] - heights[0])
    across = (np.arange(left, right) - view.centre)[None, :] / np.interp(y, heights, halves)[
        :, None
    ]
    # an angle around the body in half turns: cloth crowds together towards the outline
    u = np.arcsin(np.clip(across, -1.0, 1.0)) / np.pi + 0.35 * view.yaw / np.pi
    second = _pattern_mask(pattern, u, np.broadcast_to(v[:, None], u.shape))
    second &= window >> 4 == Material.UPPER
    window[second] = window[second] & 15 | Material.SECOND << 4


def _pattern_mask(pattern: Pattern, u: Floats, v: Floats) -> NDArray[np.bool_]:
    n = pattern.repeats
    if pattern.kind == "stripes":
        return v * n % 1.0 < 0.5
    if pattern.kind == "columns":
        return u * n % 1.0 < 0.5
    if pattern.kind == "check":
        return (v * n % 1.0 < 0.5) ^ (u * n % 1.0 < 0.5)
    if pattern.kind == "block":
        return v > 0.25 + 0.06 * n
    if pattern.kind == "diagonal":
        return (u + v) * n % 1.0 < 0.5
    down, around = v * n % 1.0 - 0.5, u * n % 1.0 - 0.5
    return down**2 + around**2 < 0.10
