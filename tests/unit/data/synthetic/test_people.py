from dataclasses import fields

import pytest

from reid.data.synthetic import WorldSpec
from reid.data.synthetic.keys import generator
from reid.data.synthetic.person import VISIBLE_DIFFERENCE, Identity, stranger
from reid.data.synthetic.twins import TWIN_CHANGES, person

SPEC = WorldSpec("bench", "A", 0)
PEOPLE = {number: person(SPEC, number) for number in range(1, 301)}


def differing_fields(one: Identity, other: Identity) -> list[str]:
    names = [f.name for f in fields(Identity) if not f.name.startswith("twin_")]
    return [name for name in names if getattr(one, name) != getattr(other, name)]


def differing_attributes(one: Identity, other: Identity) -> list[str]:
    left, right = one.attributes(), other.attributes()
    return [key for key in left if left[key] != right[key] and not key.startswith("twin_")]


def test_twins_differ_in_exactly_one_attribute() -> None:
    twins = {number: who for number, who in PEOPLE.items() if who.twin_of}
    assert 25 <= len(twins) <= 65  # 15 % of 300
    for who in twins.values():
        original = PEOPLE[who.twin_of or 0]
        assert len(differing_fields(who, original)) == 1
        assert differing_attributes(who, original) == [who.twin_detail]


def test_twins_stay_within_their_split_and_do_not_chain() -> None:
    for number, who in PEOPLE.items():
        if who.twin_of:
            assert who.twin_of == number - 1
            assert PEOPLE[number - 1].twin_of is None
            assert (number <= 200) == (number - 1 <= 200)


@pytest.mark.parametrize("detail", TWIN_CHANGES)
def test_each_kind_of_change_changes_what_it_says(detail: str) -> None:
    tops = [who for who in PEOPLE.values() if who.garment == "top"][:20]
    for number, who in enumerate(tops):
        changed = TWIN_CHANGES[detail](generator("change", number), who)
        assert differing_fields(who, changed) == [detail]


def test_changed_shoes_and_trousers_can_be_seen() -> None:
    for who in PEOPLE.values():
        shoes = TWIN_CHANGES["shoes"](generator(0), who).shoes.colour
        lower = TWIN_CHANGES["lower"](generator(0), who).lower.colour
        assert shoes.difference(who.shoes.colour) >= VISIBLE_DIFFERENCE
        assert lower.difference(who.lower.colour) >= VISIBLE_DIFFERENCE


def test_strangers_do_not_look_alike() -> None:
    people = [stranger(SPEC, number) for number in range(60)]
    assert len({str(who.attributes()) for who in people}) == 60
    assert all(who.second.difference(who.upper) >= VISIBLE_DIFFERENCE for who in people)


def test_winter_brings_coats_hats_and_dark_cloth() -> None:
    summer = [stranger(WorldSpec("bench", "A", 0), number) for number in range(200)]
    winter = [stranger(WorldSpec("bench", "B", 0), number) for number in range(200)]
    for wears in (
        lambda who: who.garment == "coat",
        lambda who: who.hat is not None,
        lambda who: who.upper.name.startswith("winter_"),
    ):
        assert sum(map(wears, winter)) > sum(map(wears, summer)) + 20
