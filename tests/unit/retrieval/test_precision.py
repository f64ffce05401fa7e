import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval.precision import as_float32, as_stored, name_of, rounded

SOME = np.random.default_rng(0).normal(size=(40, 25)).astype(np.float32)


def bfloat16(numbers: np.ndarray) -> np.ndarray:
    return torch.from_numpy(numbers).to(torch.bfloat16).float().numpy()


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_bfloat16_is_that_of_torch_for_all_bits(bits: list[int]) -> None:
    numbers = np.array(bits, np.uint32).view(np.float32)
    np.testing.assert_array_equal(as_float32(rounded(numbers, "bfloat16")), bfloat16(numbers))


@pytest.mark.parametrize(
    ("bits", "upper"),
    [
        (0x3F800000, 0x3F80),
        (0x3F808000, 0x3F80),  # halves to even: down
        (0x3F818000, 0x3F82),  # and up
        (0x3F807FFF, 0x3F80),
        (0x3F808001, 0x3F81),
        (0xBF818000, 0xBF82),
        (0x80000000, 0x8000),  # negative zero
        (0x7F7FFFFF, 0x7F80),  # the largest number becomes infinite
        (0x7F800000, 0x7F80),
        (0xFF800000, 0xFF80),
        (0x00000001, 0x0000),
        (0x00018000, 0x0002),
    ],
)
def test_rounding_to_bfloat16(bits: int, upper: int) -> None:
    number = np.array([bits], np.uint32).view(np.float32)
    assert rounded(number, "bfloat16").tolist() == [upper]
    np.testing.assert_array_equal(as_float32(rounded(number, "bfloat16")), bfloat16(number))


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FFFFFFF, 0xFFFFFFFF, 0xFF800001])
def test_what_is_no_number_stays_none(bits: int) -> None:
    number = np.array([bits], np.uint32).view(np.float32)
    assert np.isnan(as_float32(rounded(number, "bfloat16"))).all()
    assert np.isnan(as_float32(rounded(np.float32([np.nan]), "float16"))).all()


def test_parts_of_a_matrix_are_rounded_as_they_stand() -> None:
    part = SOME[::3, ::2]
    np.testing.assert_array_equal(as_float32(rounded(part, "bfloat16")), bfloat16(part.copy()))


@pytest.mark.parametrize(
    ("precision", "kind", "error"),
    [("float32", np.float32, 0), ("float16", np.float16, 2**-11), ("bfloat16", np.uint16, 2**-8)],
)
def test_rounded_numbers_come_back(precision: str, kind: type, error: float) -> None:
    stored = rounded(SOME, precision)
    assert (stored.dtype, name_of(stored)) == (kind, precision)
    back = as_float32(stored)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, SOME, rtol=error, atol=1e-7)
    # what fits a format is not rounded again
    np.testing.assert_array_equal(rounded(back, precision), stored)


def test_halves_of_float16_go_to_even() -> None:
    numbers = np.float32([1 + 2**-11, 1 + 3 * 2**-11])
    assert as_float32(rounded(numbers, "float16")).tolist() == [1, 1 + 2**-9]


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.uint16])
def test_stored_formats_are_not_copied(kind: type) -> None:
    stored = np.ones((3, 2), kind)
    assert as_stored(stored) is stored


def test_float64_is_rounded_to_float32() -> None:
    made = as_stored(np.array([[1 + 2**-30]]))
    assert made.dtype == np.float32
    assert made.tolist() == [[1.0]]


def test_float32_is_not_copied() -> None:
    assert as_float32(SOME) is SOME


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_, np.complex64])
def test_other_numbers_are_refused(kind: type) -> None:
    with pytest.raises(EvaluationError, match=r"features of type \w+; expected float32, float16 "):
        as_stored(np.ones((2, 2), kind))


def test_unknown_precision() -> None:
    with pytest.raises(EvaluationError, match="precision 'int8'; expected one of float32, float16"):
        rounded(SOME, "int8")  # type: ignore[arg-type]
