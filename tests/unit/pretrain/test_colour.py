import pytest
import torch
from torchvision.transforms import functional

from reid.pretrain import colour


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("turn", [-0.1, 0.05, 0.5])
def test_hue_turns_as_in_torchvision(images: torch.Tensor, turn: float) -> None:
    images[0] = 0.5  # grey has no hue and stays grey
    found = colour.turn_hue(images, torch.full((4, 1, 1), turn))
    torch.testing.assert_close(found, functional.adjust_hue(images, turn), rtol=0, atol=1e-5)


def test_grey_as_in_torchvision(images: torch.Tensor) -> None:
    wanted = functional.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(colour.grey(images), wanted, rtol=0, atol=1e-4)


def test_each_image_is_blurred_by_itself(images: torch.Tensor) -> None:
    images[0] = 0.25
    out = colour.blur(images)
    torch.testing.assert_close(out[0], images[0])
    assert float(out[1].std()) < float(images[1].std())
    torch.testing.assert_close(out.mean(), images.mean(), rtol=0, atol=0.02)


def test_blur_as_in_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "SIGMA", (1.5, 1.5))
    pixels = torch.rand(2, 3, 20, 18)
    wanted = functional.gaussian_blur(pixels, [13, 13], [1.5, 1.5])
    inner = (..., slice(6, -6), slice(6, -6))  # edges are continued in another way
    torch.testing.assert_close(colour.blur(pixels)[inner], wanted[inner], rtol=0, atol=1e-5)


def test_solarisation_inverts_what_is_bright() -> None:
    pixels = torch.tensor([0.0, 0.4, 0.5, 0.9])
    torch.testing.assert_close(colour.solarise(pixels), torch.tensor([0.0, 0.4, 0.5, 0.1]))


def test_jitter_stays_in_range_and_differs_per_image(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    out = colour.jitter(images[:1].expand(4, -1, -1, -1))
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert not torch.allclose(out[0], out[1])


def test_changes_come_with_their_probability(images: torch.Tensor) -> None:
    torch.manual_seed(0)
    many = images[:1].repeat(400, 1, 1, 1)
    out = colour.sometimes(many, 0.2, lambda x: x * 0)
    gone = (out.amax(dim=(1, 2, 3)) == 0).sum()
    assert 50 < int(gone) < 110
    assert float(many.amin(dim=0).amax()) > 0  # the given images are left alone
    assert colour.sometimes(images, 0.0, lambda x: x * 0) is images
