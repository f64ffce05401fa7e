from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.retrieval import features as room
from reid.retrieval.features import FeatureRows
from reid.retrieval.precision import as_float32, rounded

SOME = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
PRECISIONS = ("float32", "float16", "bfloat16")


def everything(rows: FeatureRows) -> np.ndarray:
    return rows.take(slice(0, len(rows)))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_CHUNK", 8)


@pytest.mark.parametrize("hold", [True, False])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_rows_are_float32_whatever_is_stored(precision: str, hold: bool) -> None:
    stored = rounded(SOME, precision)
    rows = FeatureRows(stored, hold=hold)
    made = everything(rows)
    assert (len(rows), rows.width, made.dtype) == (30, 7, np.float32)
    np.testing.assert_array_equal(made, as_float32(stored))
    squares = (as_float32(stored).astype(np.float64) ** 2).sum(axis=1)
    np.testing.assert_allclose(rows.lengths, squares, rtol=1e-12)


def test_float64_is_rounded_to_float32() -> None:
    rows = FeatureRows(np.random.default_rng(1).normal(size=(9, 3)))
    assert everything(rows).dtype == np.float32


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("unit", [True, False])
def test_a_mapped_file_and_holding_change_no_bit(
    tmp_path: Path, precision: str, unit: bool
) -> None:
    stored = rounded(SOME, precision)
    np.save(tmp_path / "features.npy", stored)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="r")
    expected = FeatureRows(stored, unit=unit)
    for source, hold in ((stored, False), (mapped, True), (mapped, False)):
        rows = FeatureRows(source, unit=unit, hold=hold)
        assert (rows.held is not None) == hold
        np.testing.assert_array_equal(everything(rows), everything(expected))
        np.testing.assert_array_equal(rows.lengths, expected.lengths)


def test_held_rows_are_in_memory_and_not_in_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", SOME)
    rows = FeatureRows(np.load(tmp_path / "features.npy", mmap_mode="r"))
    assert not isinstance(rows.held, np.memmap)


def test_rows_that_lie_in_memory_are_not_copied() -> None:
    assert np.shares_memory(everything(FeatureRows(SOME)), SOME)


@pytest.mark.parametrize("hold", [True, False])
def test_unit_rows_have_length_one_and_zeros_stay(hold: bool) -> None:
    stored = SOME.copy()
    stored[[4, 29]] = 0
    rows = FeatureRows(stored, unit=True, hold=hold)
    lengths = np.ones(30)
    lengths[[4, 29]] = 0
    made = everything(rows)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), lengths, atol=1e-6)
    np.testing.assert_allclose(rows.lengths, (made.astype(np.float64) ** 2).sum(axis=1))
    np.testing.assert_allclose(made[3], SOME[3] / np.linalg.norm(SOME[3]), rtol=1e-6)


@given(
    rows=st.lists(st.integers(0, 29), min_size=1, max_size=12),
    first=st.integers(0, 11),
    length=st.integers(1, 12),
    unit=st.booleans(),
    hold=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_subsets_of_subsets(
    rows: list[int], first: int, length: int, unit: bool, hold: bool
) -> None:
    whole = FeatureRows(SOME, unit=unit, hold=hold)
    second = np.arange(len(rows))[first : first + length]
    part = whole.subset(np.array(rows)).subset(second)
    chosen = np.array(rows)[second]
    np.testing.assert_array_equal(everything(part), everything(whole)[chosen])
    np.testing.assert_array_equal(part.lengths, whole.lengths[chosen])
    np.testing.assert_array_equal(everything(whole)[:3], everything(whole.subset(np.arange(3))))


@pytest.mark.parametrize("hold", [True, False])
def test_rows_may_be_chosen_at_the_start(hold: bool) -> None:
    chosen = np.array([17, 3, 3, 29])
    rows = FeatureRows(SOME, unit=True, rows=chosen, hold=hold)
    expected = FeatureRows(SOME[chosen], unit=True)
    np.testing.assert_array_equal(everything(rows), everything(expected))
    np.testing.assert_array_equal(rows.lengths, expected.lengths)


def test_consecutive_rows_are_not_copied() -> None:
    part = FeatureRows(SOME).subset(np.arange(5, 20))
    assert np.shares_memory(everything(part), SOME)


@pytest.mark.parametrize("hold", [True, False])
def test_parts_are_slices(hold: bool) -> None:
    rows = FeatureRows(SOME, rows=np.arange(29, -1, -1), hold=hold)
    part = rows.take(slice(25, 99))
    assert part.flags.c_contiguous
    np.testing.assert_array_equal(part, SOME[4::-1])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(precision: str, value: float) -> None:
    stored = SOME.copy()
    stored[[2, 19], 3] = value
    with pytest.raises(EvaluationError) as caught:
        FeatureRows(rounded(stored, precision), "gallery")
    assert str(caught.value) == (
        "gallery features hold NaN or infinity in 2 of 30 rows; expected finite numbers. "
        "Embed again with a model that gives finite features."
    )


def test_faulty_rows_that_are_not_chosen_do_not_matter() -> None:
    stored = SOME.copy()
    stored[2] = np.nan
    assert len(FeatureRows(stored, rows=np.arange(3, 30))) == 27


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_are_refused(kind: type) -> None:
    with pytest.raises(EvaluationError, match="expected float32, float16 or float64"):
        FeatureRows(SOME.astype(kind))


@pytest.mark.parametrize("shape", [(30,), (3, 2, 5)])
def test_rows_must_be_flat(shape: tuple[int, ...]) -> None:
    with pytest.raises(EvaluationError, match=r"query features have shape .* Flatten the features"):
        FeatureRows(np.zeros(shape, np.float32), "query")
