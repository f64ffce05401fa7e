from hypothesis import given, settings
from hypothesis import strategies as st

from reid.data.synthetic.keys import generator, uniform


def test_a_draw_depends_on_its_name_alone() -> None:
    first = generator(0, "A", "id", 7).random(4)
    generator(0, "A", "id", 8).random(100)
    assert (generator(0, "A", "id", 7).random(4) == first).all()


def test_names_that_differ_in_one_part_give_other_draws() -> None:
    names = [(0, "A", "id", 7), (1, "A", "id", 7), (0, "B", "id", 7), (0, "A", "bg", 7), (0, "A")]
    assert len({generator(*name).random() for name in names}) == len(names)


@settings(deadline=None, max_examples=25)
@given(low=st.floats(-100, 100), width=st.floats(0, 100), number=st.integers(0, 10**6))
def test_uniform_stays_inside_its_bounds(low: float, width: float, number: int) -> None:
    assert low <= uniform(generator(number), (low, low + width)) <= low + width
