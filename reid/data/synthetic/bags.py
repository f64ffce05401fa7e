"""Backpack, shoulder bag and hand bag, each as its side of the body lets it be seen."""

from reid.data.synthetic.paint import SHADE_DARK, SHADE_FAR, SHADE_PLAIN, Material, Painter
from reid.data.synthetic.person import Identity
from reid.data.synthetic.skeleton import Arm, Joint, Point

BEHIND = -0.25
"""Below this facing the backpack lies over the torso instead of behind it."""


def paint_backpack_behind(painter: Painter, who: Identity) -> None:
    """The part of a backpack that sticks out behind a torso seen from the front or from aside."""
    if who.bag.kind == "backpack" and painter.facing > BEHIND:
        _paint_pack(painter, who, SHADE_FAR)


def paint_bag_on_torso(painter: Painter, who: Identity) -> None:
    """Backpack from behind or its straps from the front, or the shoulder bag."""
    if who.bag.kind == "backpack":
        if painter.facing <= BEHIND:
            _paint_pack(painter, who, SHADE_PLAIN)
        elif painter.facing > 0.15:
            for side in (-1, 1):
                x = side * who.build.shoulder * 0.55
                chest = who.build.depth * 0.8
                ends = ((x, 0.19, 0.0), (x * 1.15, 0.36, chest))
                painter.capsule(ends, (0.012, 0.011), Material.BAG)
    if who.bag.kind == "shoulder":
        _paint_shoulder_bag(painter, who)


def _paint_pack(painter: Painter, who: Identity, shade: int) -> None:
    half, depth = who.build.shoulder * 0.72, 0.062
    behind = -who.build.depth - depth * 0.75
    outline: list[Point] = []
    for y, share in ((0.185, 0.70), (0.215, 1.0), (0.43, 1.0), (0.455, 0.85)):
        outline.append(_offset(painter, (0.0, y, behind), -half * share, depth * share))
    for y, share in ((0.455, 0.85), (0.43, 1.0), (0.215, 1.0), (0.185, 0.70)):
        outline.append(_offset(painter, (0.0, y, behind), half * share, depth * share))
    painter.polygon(outline, Material.BAG, shade)
    if painter.facing <= BEHIND:
        x, y = painter.view.place((0.0, 0.38, behind))
        wide = painter.view.half_width(half * 0.7, depth)
        tall = painter.pixels(0.045)
        pocket = [(x - wide, y - tall), (x + wide, y - tall), (x + wide, y + tall)]
        painter.polygon([*pocket, (x - wide, y + tall)], Material.BAG, SHADE_DARK)


def _offset(painter: Painter, centre: Joint, half: float, depth: float) -> Point:
    x, y = painter.view.place(centre)
    reach = painter.view.half_width(half, depth)
    return (x - reach if half < 0 else x + reach), y


def _paint_shoulder_bag(painter: Painter, who: Identity) -> None:
    """A bag at the hip on a strap across the chest; hidden when on the far side."""
    side, build = who.bag.side, who.build
    hip = (side * (build.hip + 0.035), build.hip_line + 0.005, 0.0)
    if abs(painter.facing) > 0.2:
        front = build.depth * (1.0 if painter.facing > 0 else -1.0)
        over = (-side * build.shoulder * 0.60, 0.185, front * 0.3)
        under = (side * build.hip * 0.95, build.hip_line - 0.04, front)
        painter.capsule((over, under), (0.010, 0.010), Material.BAG, SHADE_DARK)
    if painter.view.depth(hip) < -0.07:
        return
    x, y = painter.view.place(hip)
    wide = painter.view.half_width(0.036, 0.078)
    tall = painter.pixels(0.062)
    box = [(x - wide, y - tall), (x + wide, y - tall), (x + wide * 1.1, y + tall)]
    painter.polygon([*box, (x - wide * 1.1, y + tall)], Material.BAG)
    painter.polygon([*box[:2], (x + wide, y - tall * 0.2), (x, y)], Material.BAG, SHADE_DARK)


def paint_hand_bag(painter: Painter, who: Identity, arm: Arm, shade: int) -> None:
    """The hand bag, when this arm carries it."""
    if who.bag.kind != "hand" or arm.side != who.bag.side:
        return
    x, y = painter.view.place(arm.hand)
    wide = painter.view.half_width(0.034, 0.072)
    high, low = y + painter.pixels(0.035), y + painter.pixels(0.145)
    handle = [(x - wide * 0.5, high), (x, y), (x + wide * 0.5, high)]
    painter.pen.line(handle, fill=Material.BAG << 4 | SHADE_DARK, width=1)
    box = [(x - wide * 0.85, high), (x + wide * 0.85, high), (x + wide, low), (x - wide, low)]
    painter.polygon(box, Material.BAG, shade)
