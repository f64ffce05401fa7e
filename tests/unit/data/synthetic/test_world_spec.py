from typing import Any

import pytest

from reid.data.synthetic import (
    DEFAULT_SEEDS,
    GENERATOR_VERSION,
    SIZES,
    UNLABELLED_SIZES,
    WorldSpec,
    sizes_of,
)
from reid.errors import ParamsError


def test_each_size_has_a_seed_and_keeps_the_aspect() -> None:
    assert set(SIZES) == {"smoke", "demo", "bench", "bench_hr"}
    assert set(DEFAULT_SEEDS) == {*SIZES, *UNLABELLED_SIZES}
    for size in (*SIZES.values(), *UNLABELLED_SIZES.values()):
        assert size.height // 2 >= 32
        assert size.height % 2 == size.paint_height % 2 == 0
        assert size.train_ids % 2 == 0, "twins look at the parity of the place in the split"


def test_parameters_name_all_that_determines_the_files() -> None:
    parameters = WorldSpec("smoke", "A", 1, background_colour=2.0).parameters()
    assert parameters["generator_version"] == GENERATOR_VERSION
    assert parameters["seed"] == 1
    assert parameters["background_colour"] == 2.0
    assert parameters["counts"]["cameras"] == 4
    assert parameters["kind"] == "colour"
    assert parameters["infrared_cameras"] == []
    assert parameters["ranges"]["A"]["gamma"] == (0.88, 1.15)


def test_parameters_of_a_mixed_world_name_both_domains() -> None:
    parameters = WorldSpec("smoke", "AB", 1, "unlabelled").parameters()
    assert list(parameters["ranges"]) == ["A", "B"]
    assert parameters["ranges"]["A"]["wall"] != parameters["ranges"]["B"]["wall"]


def test_cross_modal_worlds_have_the_cameras_of_sysu_and_a_tie() -> None:
    for size in SIZES:
        spec = WorldSpec(size, "A", 1, "cross_modal")
        assert spec.counts.cameras == 6
        assert spec.parameters()["infrared_cameras"] == [3, 6]
        assert spec.ir_tie is not None
        assert spec == WorldSpec(size, "A", 1, "cross_modal", ir_tie=spec.ir_tie)
        assert spec != WorldSpec(size, "A", 1, "cross_modal", ir_tie=0.987)


def test_people_do_not_depend_on_the_kind_of_a_labelled_world() -> None:
    for kind in ("occluded", "cross_modal"):
        assert WorldSpec("demo", "B", 4, kind).draw("id", 7).random() == (
            WorldSpec("demo", "B", 4).draw("id", 7).random()
        )


def test_mixed_worlds_take_turns() -> None:
    mixed, plain = WorldSpec("smoke", "AB", 1, "unlabelled"), WorldSpec("smoke", "B", 1)
    assert [mixed.part(number).domain for number in range(1, 5)] == ["A", "B", "A", "B"]
    assert plain.part(1) is plain
    assert sizes_of("colour")["smoke"] == plain.counts != mixed.counts


@pytest.mark.parametrize(
    ("size", "domain", "seed", "message"),
    [
        ("huge", "A", 0, "synthetic size 'huge'; expected one of smoke, demo, bench, bench_hr"),
        ("demo", "C", 0, "synthetic domain 'C'; expected one of A, B"),
        ("demo", "A", -1, "synthetic seed -1; expected a number of at least 0"),
    ],
)
def test_wrong_names_are_refused(size: str, domain: str, seed: int, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        WorldSpec(size, domain, seed)


@pytest.mark.parametrize(
    ("size", "domain", "kind", "tie", "message"),
    [
        ("smoke", "A", "thermal", None, "kind 'thermal'; expected one of colour, occluded, cross"),
        ("pretrain", "A", "colour", None, "size 'pretrain'; expected one of smoke, demo, bench"),
        ("bench", "A", "unlabelled", None, "size 'bench'; expected one of smoke, demo, pretrain"),
        ("smoke", "AB", "occluded", None, "domain 'AB'; expected one of A, B. "),
        ("smoke", "C", "unlabelled", None, "domain 'C'; expected one of A, B, AB"),
        ("smoke", "A", "cross_modal", 1.5, "synthetic ir_tie 1.5; expected a number from 0 to 1"),
        ("smoke", "A", "occluded", 0.5, "ir_tie 0.5 in a synthetic world of kind occluded"),
    ],
)
def test_what_a_kind_does_not_have_is_refused(
    size: str, domain: str, kind: Any, tie: float | None, message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        WorldSpec(size, domain, 0, kind, ir_tie=tie)


def test_difficulty_may_not_be_negative_or_undefined() -> None:
    with pytest.raises(ParamsError, match=r"colour_cast -0\.5; expected a number of at least 0"):
        WorldSpec("demo", "A", 0, colour_cast=-0.5)
    with pytest.raises(ParamsError, match="background_colour nan"):
        WorldSpec("demo", "A", 0, background_colour=float("nan"))
