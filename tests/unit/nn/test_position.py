import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.errors import CheckpointError
from reid.nn.position import (
    fit_positions,
    resample_positions,
    stretch_positions,
    upright_grid,
)


def ramp(side: int) -> torch.Tensor:
    """Patch rows whose two channels are the row and the column number; the class row is 100."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    patches = torch.stack([rows, columns], dim=-1).float().view(1, -1, 2)
    return torch.cat([torch.full((1, 1, 2), 100.0), patches], dim=1)


def test_half_the_grid_takes_the_means_of_two() -> None:
    out = fit_positions(ramp(4), (2, 4))
    assert out[0, 0].tolist() == [100, 100]
    assert out[0, 1:, 0].view(2, 4)[:, 0].tolist() == [0.5, 2.5]  # without antialiasing
    assert out[0, 1:, 1].view(2, 4)[0].tolist() == [0, 1, 2, 3]


def test_fitting_positions_stay_as_they_are() -> None:
    positions = ramp(4)
    assert fit_positions(positions, (4, 4)) is positions
    assert fit_positions(positions, (8, 2)) is positions  # as many rows: nothing to resample


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
def test_any_grid_is_reached_within_the_range(side: int, rows: int, columns: int) -> None:
    out = fit_positions(ramp(side), (rows, columns))
    assert out.shape == (1, 1 + rows * columns, 2)
    if rows * columns != side * side:
        rounding = 1e-5
        assert float(out[:, 1:].min()) >= -rounding
        assert float(out[:, 1:].max()) <= side - 1 + rounding


def test_the_distillation_row_is_found_by_the_count() -> None:
    plain = ramp(3)
    distilled = torch.cat([plain[:, :1], torch.full((1, 1, 2), -5.0), plain[:, 1:]], dim=1)
    assert torch.equal(fit_positions(distilled, (2, 3)), fit_positions(plain, (2, 3)))
    assert torch.equal(fit_positions(distilled, (3, 3), distilled=True), plain)


def test_rows_of_no_square_grid_are_refused() -> None:
    with pytest.raises(CheckpointError, match="position embedding of 8 rows; expected 13 rows"):
        fit_positions(torch.zeros(1, 8, 4), (4, 3))


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.sampled_from([1, 2, 3]))
def test_the_number_of_patches_tells_an_upright_grid(columns: int, ratio: int) -> None:
    grid = (columns * ratio, columns)
    patches = grid[0] * grid[1]
    assert upright_grid(patches, ratio) == upright_grid(patches, None) == grid


def test_a_ratio_that_does_not_hold_gives_no_grid() -> None:
    assert upright_grid(128, 1) is None
    assert upright_grid(210, None) is None
    assert upright_grid(64, 4) == (16, 4)


def test_equal_counts_on_other_grids_are_resampled() -> None:
    positions = ramp(4)
    out = resample_positions(positions, (8, 2), (4, 4))
    assert out.shape == positions.shape
    assert not torch.equal(out, positions)
    assert resample_positions(positions, (8, 2), (8, 2)) is positions


def test_stretching_is_a_little_off_on_purpose() -> None:
    positions = ramp(4)
    assert stretch_positions(positions, (4, 4), (4, 4)) is positions
    out = stretch_positions(positions, (4, 4), (2, 4))
    assert out.shape == (1, 9, 2)
    assert torch.equal(out[:, 0], positions[:, 0])
    # the sampling step of 4/2.1 rows instead of 2 moves the first row up a little
    rows = out[0, 1:, 0].view(2, 4).mean(dim=1)
    assert float(rows[0]) == pytest.approx(4 / 2.1 / 2 - 0.5, abs=0.1)
    assert float(rows[0]) < 0.5
