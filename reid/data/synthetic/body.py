"""Legs, torso and arms with the clothes on them."""

from reid.data.synthetic.paint import (
    SHADE_DARK,
    SHADE_FAR,
    SHADE_NEAR,
    SHADE_PLAIN,
    Material,
    Painter,
)
from reid.data.synthetic.pattern import TorsoRows
from reid.data.synthetic.person import Identity
from reid.data.synthetic.skeleton import SHOULDER_LINE, Arm, Joint, Leg

WAIST_LINE = 0.40


def torso_rows(who: Identity) -> TorsoRows:
    """Outline of the upper garment from shoulder to hem as (y, half width, half depth)."""
    build = who.build
    loose = {"top": 1.0, "jacket": 1.07, "coat": 1.10}[who.garment]
    shoulder, hip, depth = build.shoulder * loose, build.hip * loose, build.depth * loose
    waist = 0.47 * (shoulder + hip) * (1.0 if who.garment == "top" else 1.06)
    rows = [
        (SHOULDER_LINE - 0.018, shoulder * 0.55, depth * 0.55),
        (SHOULDER_LINE, shoulder * 0.93, depth * 0.80),
        (0.29, shoulder * 0.95, depth * 1.05),
        (WAIST_LINE, waist, depth * 0.92),
    ]
    if who.garment == "coat":
        return [*rows, (build.hip_line, hip * 1.04, depth), (0.69, hip * 1.18, depth * 1.15)]
    hem = build.hip_line + (0.035 if who.garment == "jacket" else 0.0)
    return [*rows, (hem, hip, depth)]


def paint_legs(painter: Painter, who: Identity, legs: tuple[Leg, Leg]) -> None:
    """Both legs, far one first, then the skirt or the seat of the trousers."""
    for leg, shade in zip(legs, (SHADE_FAR, SHADE_PLAIN), strict=True):
        _paint_leg(painter, who, leg, shade)
    hip, depth, line = who.build.hip, who.build.depth, who.build.hip_line
    seat = [(WAIST_LINE, hip * 0.92, depth * 0.9), (line, hip, depth)]
    if who.lower.kind == "skirt":
        rows = [*seat, (0.70, hip * 1.22, depth * 1.45)]
    else:
        rows = [*seat, (line + 0.045, hip * 0.88, depth * 0.85)]
    painter.band(rows, Material.LOWER)
    painter.band(rows, Material.LOWER, SHADE_DARK, (0.55, 1.0))
    if who.lower.kind == "skirt" and who.lower.stripe:
        painter.band([(0.672, hip * 1.19, depth * 1.4), rows[-1]], Material.STRIPE)


def _between(start: Joint, end: Joint, share: float) -> Joint:
    x, y, z = (a + (b - a) * share for a, b in zip(start, end, strict=True))
    return x, y, z


def _paint_leg(painter: Painter, who: Identity, leg: Leg, shade: int) -> None:
    thick, kind = who.build.limb, who.lower.kind
    thigh = Material.SKIN if kind == "skirt" else Material.LOWER
    shank = Material.LOWER if kind == "trousers" else Material.SKIN
    loose = 1.12 if kind == "trousers" else 1.0
    painter.capsule((leg.hip, leg.knee), (0.050 * thick, 0.038 * thick * loose), thigh, shade)
    radii = (0.036 * thick * loose, 0.024 * thick * loose)
    painter.capsule((leg.knee, leg.ankle), radii, shank, shade)
    if kind == "shorts":
        below = _between(leg.knee, leg.ankle, 0.10)
        painter.capsule((leg.hip, below), (0.052 * thick, 0.044 * thick), Material.LOWER, shade)
    stripe_shows = who.lower.stripe is not None and kind != "skirt"
    if stripe_shows and leg.side * painter.sideways < 0.6:
        _paint_side_stripe(painter, who, leg, shade)
    if who.shoes.boots:
        shaft = _between(leg.knee, leg.ankle, 0.45)
        painter.capsule((shaft, leg.ankle), (0.034 * thick, 0.030 * thick), Material.SHOES, shade)
    painter.capsule((leg.heel, leg.toe), (0.021, 0.018), Material.SHOES, min(shade + 1, 15))


def _paint_side_stripe(painter: Painter, who: Identity, leg: Leg, shade: int) -> None:
    """A band down the outer side of the leg, on its edge from the front, amid it from aside."""
    outward = leg.side * 0.030 * who.build.limb
    end = leg.ankle if who.lower.kind == "trousers" else leg.knee
    hip, knee, tip = ((x + outward, y, z) for x, y, z in (leg.hip, leg.knee, end))
    painter.capsule((hip, knee), (0.010, 0.010), Material.STRIPE, shade)
    painter.capsule((knee, tip), (0.010, 0.009), Material.STRIPE, shade)


def paint_torso(painter: Painter, who: Identity) -> TorsoRows:
    """Upper garment without its details; returns its outline for the pattern."""
    rows = torso_rows(who)
    painter.band(rows, Material.UPPER)
    painter.band(rows, Material.UPPER, SHADE_NEAR, (-0.75, -0.15))
    painter.band(rows, Material.UPPER, SHADE_DARK, (0.55, 1.0))
    return rows


def paint_front(painter: Painter, who: Identity, rows: TorsoRows) -> None:
    """Open front, logo and belt: what the pattern must not cover."""
    shift = painter.sideways
    if who.garment != "top" and painter.facing > 0.15:
        half = (0.30 if who.inner else 0.035) * painter.facing
        material = Material.INNER if who.inner else Material.DETAIL
        middle = 0.75 * shift
        painter.band(rows[1:], material, SHADE_PLAIN, (middle - half, middle + half))
    if who.logo and painter.facing > 0.30:
        across = who.logo.across * who.build.shoulder * 0.9
        centre = (across, 0.21 + 0.26 * who.logo.down, who.build.depth * 0.9)
        size = painter.pixels(who.logo.size)
        x, y = painter.view.place(centre)
        painter.ellipse((x, y), size * painter.facing, size * 0.9, Material.LOGO)
    if who.belt:
        line = who.build.hip_line - (0.0 if who.garment == "top" else 0.055)
        half, depth = who.build.hip * 1.06, who.build.depth * 1.04
        belt = [(line - 0.014, half, depth), (line + 0.014, half, depth)]
        painter.band(belt, Material.BELT)


def paint_arm(painter: Painter, who: Identity, arm: Arm, shade: int) -> None:
    """Sleeve, forearm and hand."""
    thick = who.build.limb * (1.0 if who.garment == "top" else 1.18)
    forearm = Material.SKIN if who.sleeve.short else Material.SLEEVE
    painter.disc(arm.hand, 0.023, Material.SKIN, shade)
    painter.capsule((arm.elbow, arm.wrist), (0.028 * thick, 0.021 * thick), forearm, shade)
    upper_end = _between(arm.shoulder, arm.elbow, 0.72) if who.sleeve.short else arm.elbow
    if who.sleeve.short:
        bare = (0.030 * thick, 0.027 * thick)
        painter.capsule((upper_end, arm.elbow), bare, Material.SKIN, shade)
    sleeve = (0.037 * thick, 0.031 * thick)
    painter.capsule((arm.shoulder, upper_end), sleeve, Material.SLEEVE, shade)
