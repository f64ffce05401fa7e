"""Neck, scarf, head, hair, face and hat."""

from reid.data.synthetic.paint import SHADE_DARK, SHADE_FAR, SHADE_PLAIN, Material, Painter
from reid.data.synthetic.person import Identity
from reid.data.synthetic.skeleton import Point

HEAD_LINE = 0.078


def paint_head(painter: Painter, who: Identity) -> None:
    """Everything above the collar, in the order in which it covers."""
    neck = [(0.115, 0.026, 0.028), (0.185, 0.034, 0.036)]
    painter.band(neck, Material.SKIN, SHADE_DARK)
    if who.hair.style == "long" and painter.facing > -0.2:
        _paint_hanging_hair(painter, who, 0.24)
    if who.scarf:
        _paint_scarf(painter)
    centre = painter.view.place((0.0, HEAD_LINE, 0.012))
    across = painter.pixels(who.build.head * 0.80)
    down = painter.pixels(who.build.head * 1.16)
    painter.ellipse(centre, across, down, Material.SKIN)
    if who.hair.style != "bald":
        _paint_hair(painter, who, centre, across, down)
    _paint_face(painter, centre, across, down)
    if who.hat:
        _paint_hat(painter, centre, across, down)


def _paint_hanging_hair(painter: Painter, who: Identity, end: float) -> None:
    radius = who.build.head
    rows = [(0.05, radius * 0.9, radius), (0.13, radius * 1.05, radius * 0.8)]
    rows.append((end, radius * 1.0, radius * 0.7))
    painter.band(rows, Material.HAIR, SHADE_DARK)


def _paint_scarf(painter: Painter) -> None:
    rows = [(0.138, 0.050, 0.052), (0.165, 0.066, 0.066), (0.192, 0.058, 0.058)]
    painter.band(rows, Material.SCARF)
    if painter.facing > 0:
        x, y = painter.view.place((0.025, 0.19, 0.07))
        half, length = painter.pixels(0.018), painter.pixels(0.13)
        tail = [(x - half, y), (x + half, y), (x + half, y + length), (x - half, y + length)]
        painter.polygon(tail, Material.SCARF, SHADE_DARK)


def _paint_hair(painter: Painter, who: Identity, centre: Point, across: float, down: float) -> None:
    """Hair over the whole head, then the face cut free where it can be seen."""
    x, y = centre
    style = who.hair.style
    full = 1.22 if style == "bob" else 1.10
    if style in ("short", "bun"):
        nape = -0.22 if painter.facing > -0.45 else -0.10
        painter.ellipse((x, y + nape * down), across * full, down * 0.88, Material.HAIR)
    else:
        painter.ellipse((x, y - 0.06 * down), across * full, down * 1.03, Material.HAIR)
    if style == "bob":
        low = [(x - across * 1.2, y), (x + across * 1.2, y)]
        low += [(x + across * 1.12, y + down * 0.85), (x - across * 1.12, y + down * 0.85)]
        painter.polygon(low, Material.HAIR)
    if style == "bun":
        bun = (
            x - painter.sideways * across * 1.25,
            y - down * (0.95 - 0.25 * (painter.facing < 0)),
        )
        painter.ellipse(bun, across * 0.55, across * 0.55, Material.HAIR, SHADE_DARK)
    if style == "long" and painter.facing <= -0.2:
        _paint_hanging_hair(painter, who, 0.29)
        painter.ellipse((x, y - 0.06 * down), across * full, down * 1.03, Material.HAIR)
    if painter.facing > -0.45:
        shift = painter.sideways * across * 0.42
        narrow = 0.62 + 0.26 * max(painter.facing, 0.0)
        face = (x + shift, y + down * 0.20)
        painter.ellipse(face, across * narrow, down * 0.80, Material.SKIN)


def _paint_face(painter: Painter, centre: Point, across: float, down: float) -> None:
    if painter.facing <= 0.15:
        return
    x, y = centre[0] + painter.sideways * across * 0.5, centre[1]
    for side in (-1, 1):
        eye = (x + side * across * 0.34 * painter.facing, y + down * 0.08)
        painter.ellipse(eye, across * 0.11, down * 0.07, Material.DETAIL)
    mouth = (x, y + down * 0.58)
    painter.ellipse(mouth, across * 0.24 * painter.facing, down * 0.05, Material.DETAIL)
    painter.ellipse((x, y + down * 0.32), across * 0.07, down * 0.12, Material.SKIN, SHADE_FAR)


def _paint_hat(painter: Painter, centre: Point, across: float, down: float) -> None:
    x, y = centre
    wide = across * 1.16
    crown = [(x - wide, y - down * 0.28), (x - wide * 0.92, y - down * 0.85)]
    crown += [(x - wide * 0.45, y - down * 1.18), (x + wide * 0.45, y - down * 1.18)]
    crown += [(x + wide * 0.92, y - down * 0.85), (x + wide, y - down * 0.28)]
    painter.polygon(crown, Material.HAT, SHADE_PLAIN)
    if painter.facing > -0.3:
        brim = (x + painter.sideways * across * 0.75, y - down * 0.26)
        painter.ellipse(brim, across * 0.95, down * 0.13, Material.HAT, SHADE_DARK)
