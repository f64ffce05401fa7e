"""The code for an accelerator, run with the CPU as the device of torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import EvaluationError
from reid.progress import silent
from reid.retrieval import device
from reid.retrieval.device import check_device, device_blocks, device_neighbours
from reid.retrieval.distance import distance_blocks
from reid.retrieval.features import FeatureRows
from reid.retrieval.neighbours import nearest_neighbours


def features(rows: int, seed: int = 0, hold: bool = True) -> FeatureRows:
    stored = np.random.default_rng(seed).normal(size=(rows, 12)).astype(np.float32)
    return FeatureRows(stored, unit=True, hold=hold)


def blocks(query: FeatureRows, gallery: FeatureRows, size: int = 7) -> np.ndarray:
    return np.concatenate(list(device_blocks(query, gallery, "cpu", size)))


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_ROWS", 16)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("hold", [True, False])
def test_distances_are_those_of_the_cpu(hold: bool) -> None:
    query, gallery = features(37, hold=hold), features(51, 1, hold)
    expected = np.concatenate(list(distance_blocks(query, gallery)))
    np.testing.assert_allclose(blocks(query, gallery), expected, rtol=0, atol=2e-6)


@pytest.mark.usefixtures("small_tiles")
@given(size=st.integers(1, 60))
@settings(max_examples=12, deadline=None)
def test_block_size_changes_no_bit(size: int) -> None:
    query, gallery = features(37), features(51, 1)
    made = list(device_blocks(query, gallery, "cpu", size))
    assert max(len(block) for block in made) == min(size, 37)
    np.testing.assert_array_equal(np.concatenate(made), blocks(query, gallery, 37))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("hold", [True, False])
def test_lists_are_those_of_the_cpu(hold: bool) -> None:
    rows = features(75, hold=hold)
    made, expected = device_neighbours(rows, 9, "cpu", silent), nearest_neighbours(rows, 9)
    np.testing.assert_array_equal(made.indices, expected.indices)
    np.testing.assert_allclose(made.distances, expected.distances, rtol=0, atol=2e-6)
    np.testing.assert_allclose(made.row_maximum, expected.row_maximum, rtol=0, atol=2e-6)


def test_no_more_neighbours_than_images() -> None:
    made = device_neighbours(features(5), 21, "cpu", silent)
    assert made.indices.shape == (5, 5)
    assert made.indices[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert not made.distances[:, 0].any()


def test_near_ties_are_decided_in_double_precision() -> None:
    stored = np.float32([[100, 0], [100, 2e-3], [100, 1e-3]])
    made = device_neighbours(FeatureRows(stored), 3, "cpu", silent)
    assert made.indices[0].tolist() == [0, 2, 1]


@pytest.mark.usefixtures("small_tiles")
def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    device_neighbours(features(40), 3, "cpu", lambda done, total: told.append((done, total)))
    assert told == [(16, 40), (32, 40), (40, 40)]


@pytest.mark.parametrize("name", ["abacus", "cuda:4711", "meta"])
def test_devices_that_cannot_be_used(name: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        check_device(name)
    message = str(caught.value)
    assert message.startswith(f"device '{name}': ")
    assert "expected cpu, or a device of this machine such as cuda. " in message
    assert "\n" not in message


def test_the_cpu_can_be_used() -> None:
    check_device("cpu")


@pytest.mark.parametrize("size", [0, -3])
def test_block_sizes_below_one(size: int) -> None:
    with pytest.raises(EvaluationError, match=f"block size {size}; expected at least 1"):
        blocks(features(3), features(3), size)
