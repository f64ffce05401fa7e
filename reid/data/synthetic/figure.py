"""A whole person: body, clothes, bags and head painted in the order in which they cover."""

import numpy as np
from PIL import Image

from reid.data.synthetic.bags import paint_backpack_behind, paint_bag_on_torso, paint_hand_bag
from reid.data.synthetic.body import paint_arm, paint_front, paint_legs, paint_torso
from reid.data.synthetic.head import paint_head
from reid.data.synthetic.paint import SHADE_FAR, SHADE_NEAR, Painter
from reid.data.synthetic.pattern import TorsoRows, apply_pattern
from reid.data.synthetic.person import Identity
from reid.data.synthetic.skeleton import View, walking_pose


def paint_person(who: Identity, view: View, height: int) -> Image.Image:
    """Paint a person on an empty picture.

    Args:
        who: The identity.
        view: Yaw, walking phase and place in pixels.
        height: Height of the picture; its width is the half.

    Returns:
        Code map, one byte a pixel, height // 2 × height; 0 where the person is not.
    """
    painter = Painter(Image.new("L", (height // 2, height)), who.build, view)
    pose = walking_pose(who.build, view)
    far, near = pose.arms
    paint_arm(painter, who, far, SHADE_FAR)
    paint_hand_bag(painter, who, far, SHADE_FAR)
    paint_backpack_behind(painter, who)
    paint_legs(painter, who, pose.legs)
    rows = paint_torso(painter, who)
    painter = _with_pattern(painter, who, rows)
    paint_front(painter, who, rows)
    paint_bag_on_torso(painter, who)
    paint_arm(painter, who, near, SHADE_NEAR)
    paint_hand_bag(painter, who, near, SHADE_NEAR)
    paint_head(painter, who)
    return painter.picture


def _with_pattern(painter: Painter, who: Identity, rows: TorsoRows) -> Painter:
    """A painter that goes on over the patterned torso."""
    if who.pattern.kind == "plain":
        return painter
    codes = np.array(painter.picture)
    apply_pattern(codes, who.pattern, painter.view, rows)
    return Painter(Image.fromarray(codes), painter.build, painter.view)
