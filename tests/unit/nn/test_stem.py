import pytest
import torch

from reid.errors import DataError, ParamsError
from reid.nn.stem import ConvolutionStem, HalfInstanceNorm


def test_half_of_the_channels_are_normalised_per_image() -> None:
    torch.manual_seed(0)
    maps = torch.randn(3, 6, 5, 4) * torch.tensor([1.0, 5.0, 9.0]).view(3, 1, 1, 1)
    out = HalfInstanceNorm(6)(maps).detach()
    spread = out.std(dim=(2, 3), correction=0)
    torch.testing.assert_close(spread[:, :3], torch.ones(3, 3), rtol=1e-3, atol=1e-3)
    assert float(spread[2, 3:].min()) > 2 * float(spread[0, 3:].max())


def test_tokens_are_those_of_patches_of_16_pixels() -> None:
    stem = ConvolutionStem((48, 32), width=6).eval()
    assert stem.grid == (3, 2)
    assert stem(torch.randn(2, 3, 48, 32)).shape == (2, 6, 6)
    with pytest.raises(DataError, match="images of 32x32 pixels; expected 48x32"):
        stem(torch.zeros(1, 3, 32, 32))


def test_a_part_of_a_patch_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"image size 40x32 with model\.stem; expected multiples"):
        ConvolutionStem((40, 32), width=6)
