import pytest
import torch
from torchvision.transforms import functional

from reid.pretrain import colour


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(0))


def test_each_image_is_blurred_by_itself(images: torch.Tensor) -> None:
    images[0] = 0.25
    out = colour.blur(images, torch.tensor([2.0, 1.5, 1.0, 0.5]), 2.0)
    torch.testing.assert_close(out[0], images[0])
    assert float(out[1].std()) < float(images[1].std())
    torch.testing.assert_close(out.mean(), images.mean(), rtol=0, atol=0.02)


def test_blur_as_in_torchvision() -> None:
    pixels = torch.rand(2, 3, 20, 18)
    wanted = functional.gaussian_blur(pixels, [13, 13], [1.5, 1.5])
    inner = (..., slice(6, -6), slice(6, -6))  # edges are continued in another way
    torch.testing.assert_close(
        colour.blur(pixels, torch.full((2,), 1.5), 2.0)[inner], wanted[inner], rtol=0, atol=1e-5
    )


def test_solarisation_inverts_what_is_bright() -> None:
    pixels = torch.tensor([0.0, 0.4, 0.5, 0.9])
    torch.testing.assert_close(colour.solarise(pixels), torch.tensor([0.0, 0.4, 0.5, 0.1]))
