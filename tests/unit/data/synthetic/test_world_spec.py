import pytest

from reid.data.synthetic import DEFAULT_SEEDS, GENERATOR_VERSION, SIZES, WorldSpec
from reid.errors import ParamsError


def test_each_size_has_a_seed_and_keeps_the_aspect() -> None:
    assert set(DEFAULT_SEEDS) == set(SIZES) == {"smoke", "demo", "bench", "bench_hr"}
    for size in SIZES.values():
        assert size.height // 2 >= 32
        assert size.height % 2 == size.paint_height % 2 == 0
        assert size.train_ids % 2 == 0, "twins look at the parity of the place in the split"


def test_parameters_name_all_that_determines_the_files() -> None:
    parameters = WorldSpec("smoke", "A", 1, background_colour=2.0).parameters()
    assert parameters["generator_version"] == GENERATOR_VERSION
    assert parameters["seed"] == 1
    assert parameters["background_colour"] == 2.0
    assert parameters["counts"]["cameras"] == 4
    assert parameters["ranges"]["gamma"] == (0.88, 1.15)


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


def test_difficulty_may_not_be_negative_or_undefined() -> None:
    with pytest.raises(ParamsError, match=r"colour_cast -0\.5; expected a number of at least 0"):
        WorldSpec("demo", "A", 0, colour_cast=-0.5)
    with pytest.raises(ParamsError, match="background_colour nan"):
        WorldSpec("demo", "A", 0, background_colour=float("nan"))
