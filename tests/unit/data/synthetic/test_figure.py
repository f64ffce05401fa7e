from dataclasses import replace
from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from reid.data.synthetic import WorldSpec
from reid.data.synthetic.colour import cloth_palette, lay_person, side_light
from reid.data.synthetic.figure import paint_person
from reid.data.synthetic.paint import Material
from reid.data.synthetic.palette import Colour
from reid.data.synthetic.person import Bag, Hair, Identity, Logo, Pattern, stranger
from reid.data.synthetic.skeleton import View

WHO = stranger(WorldSpec("bench", "A", 0), 1)
FRONT = View(yaw=0.0, phase=0.6, elevation=0.95, centre=32, top=8, height=112)
SIDE, BACK = replace(FRONT, yaw=pi / 2), replace(FRONT, yaw=pi)
RED = Colour("red", (200, 20, 20))


def pixels(who: Identity, view: View, material: Material) -> int:
    return int((np.asarray(paint_person(who, view, 128)) >> 4 == material).sum())


def test_views_are_named_by_facing() -> None:
    assert [view.label for view in (FRONT, SIDE, BACK)] == [0, 2, 1]


def test_logo_and_eyes_are_seen_from_the_front_only() -> None:
    who = replace(WHO, garment="top", inner=None, logo=Logo(RED, 0.2, 0.3, 0.04))
    assert pixels(who, FRONT, Material.LOGO) > 3
    assert pixels(who, FRONT, Material.DETAIL) > 0
    assert pixels(who, BACK, Material.LOGO) == pixels(who, BACK, Material.DETAIL) == 0


def test_backpack_is_largest_from_behind() -> None:
    who = replace(WHO, bag=Bag("backpack", 1, RED))
    behind, aside = pixels(who, BACK, Material.BAG), pixels(who, SIDE, Material.BAG)
    assert behind > aside > 0
    assert behind > 2 * pixels(who, FRONT, Material.BAG) > 0


@pytest.mark.parametrize("kind", ["shoulder", "hand"])
def test_bags_change_the_picture_and_their_absence_leaves_none(kind: str) -> None:
    assert pixels(replace(WHO, bag=Bag(kind, 1, RED)), FRONT, Material.BAG) > 20
    assert pixels(replace(WHO, bag=Bag("none", 1, RED)), FRONT, Material.BAG) == 0


def test_long_hair_covers_the_back() -> None:
    long = replace(WHO, hair=Hair("long", RED), hat=None)
    short = replace(WHO, hair=Hair("short", RED), hat=None)
    bald = replace(WHO, hair=Hair("bald", RED), hat=None)
    assert pixels(long, BACK, Material.HAIR) > 2 * pixels(short, BACK, Material.HAIR) > 0
    assert pixels(bald, BACK, Material.HAIR) == 0


@pytest.mark.parametrize("kind", ["stripes", "columns", "check", "block", "dots", "diagonal"])
def test_patterns_share_the_torso_with_the_first_colour(kind: str) -> None:
    who = replace(WHO, garment="top", inner=None, pattern=Pattern(kind, 4))
    second, upper = pixels(who, FRONT, Material.SECOND), pixels(who, FRONT, Material.UPPER)
    plain = pixels(replace(who, pattern=Pattern("plain", 4)), FRONT, Material.UPPER)
    assert second + upper == plain
    assert 0.15 < second / plain < 0.85


def test_side_view_is_narrower_than_front_view() -> None:
    def torso(view: View) -> int:
        return pixels(replace(WHO, pattern=Pattern("plain", 3)), view, Material.UPPER)

    assert torso(SIDE) < torso(FRONT)


@settings(deadline=None, max_examples=25)
@given(
    yaw=st.floats(-7, 7),
    phase=st.floats(0, 7),
    elevation=st.floats(0.78, 1.0),
    centre=st.floats(-40, 104),
    number=st.integers(0, 500),
)
def test_any_view_of_anybody_can_be_painted(
    yaw: float, phase: float, elevation: float, centre: float, number: int
) -> None:
    who = stranger(WorldSpec("bench", "B", 3), number)
    view = View(yaw, phase, elevation, centre, 8, 112)
    painted = paint_person(who, view, 128)
    scene = Image.new("RGB", (64, 128), (1, 2, 3))
    mask = np.asarray(lay_person(scene, painted, cloth_palette(who), side_light(0.0, (64, 128))))
    assert ((np.asarray(painted) > 0) == (mask == 255)).all()
    assert (np.asarray(scene)[mask == 0] == (1, 2, 3)).all()
    if 16 <= centre <= 48:
        assert 0.08 < (mask == 255).mean() < 0.50
