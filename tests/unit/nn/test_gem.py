import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.nn.gem import generalised_mean


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 4), st.integers(1, 4), st.floats(1, 6), st.integers(0, 999))
def test_it_is_the_root_of_the_mean_of_powers(
    height: int, width: int, power: float, seed: int
) -> None:
    maps = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))
    found = generalised_mean(maps, power)
    assert found.shape == (2, 3)
    for image in range(2):
        for channel in range(3):
            values = maps[image, channel].flatten().tolist()
            mean = sum(max(x, 1e-6) ** power for x in values) / len(values)
            assert float(found[image, channel]) == pytest.approx(mean ** (1 / power), rel=1e-4)


def test_between_mean_and_maximum() -> None:
    maps = torch.rand(1, 1, 5, 3) + 0.1
    mean, largest = float(maps.mean()), float(maps.max())
    assert float(generalised_mean(maps, 1)) == pytest.approx(mean)
    assert mean < float(generalised_mean(maps)) < float(generalised_mean(maps, 9)) < largest


def test_stripes_are_pooled_each_for_itself() -> None:
    maps = torch.randn(2, 3, 6, 2)
    found = generalised_mean(maps, stripes=3)
    parts = [generalised_mean(maps[:, :, top : top + 2]) for top in (0, 2, 4)]
    assert found.shape == (2, 9)
    assert torch.allclose(found, torch.stack(parts, dim=2).flatten(1))


def test_half_precision_is_left_for_the_powers() -> None:
    """A cube of 50 is more than float16 can hold; in bfloat16 it would lose its digits."""
    maps = torch.full((1, 2, 2, 2), 50.0)
    for kind in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", kind):
            found = generalised_mean(maps.to(kind))
        assert found.dtype == torch.float32
        assert found.tolist() == [pytest.approx([50, 50], rel=1e-5)]


def test_maps_of_zeros_have_finite_gradients() -> None:
    maps = torch.zeros(1, 2, 3, 3, requires_grad=True)
    generalised_mean(maps).sum().backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()
