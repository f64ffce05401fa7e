import pytest
import torch
from torchvision.transforms import functional

from reid.data import colour


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 16, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("turn", [-0.1, 0.05, 0.5])
def test_hue_turns_as_in_torchvision(images: torch.Tensor, turn: float) -> None:
    images[0] = 0.5  # grey has no hue and stays grey
    found = colour.turn_hue(images, torch.full((4,), turn))
    torch.testing.assert_close(found, functional.adjust_hue(images, turn), rtol=0, atol=1e-5)


def test_grey_as_in_torchvision(images: torch.Tensor) -> None:
    wanted = functional.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(colour.grey(images), wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2)])
def test_jitter_as_in_torchvision(images: torch.Tensor, order: tuple[int, ...]) -> None:
    gains, turn = torch.tensor([[1.2, 0.7, 1.1], [0.8, 1.3, 0.9]]), torch.tensor([0.05, -0.1])
    found = colour.jitter(images[:2], gains, turn, torch.tensor(order))
    for image, (brightness, contrast, saturation), t, out in zip(
        images[:2], gains.tolist(), turn.tolist(), found, strict=True
    ):
        changes = [
            lambda x, by=brightness: functional.adjust_brightness(x, by),
            lambda x, by=contrast: functional.adjust_contrast(x, by),
            lambda x, by=saturation: functional.adjust_saturation(x, by),
            lambda x, by=t: functional.adjust_hue(x, by),
        ]
        for index in order:
            image = changes[index](image)
        torch.testing.assert_close(out, image, rtol=0, atol=1e-3)


def test_gains_of_one_and_no_turn_change_nothing(images: torch.Tensor) -> None:
    found = colour.jitter(images, torch.ones(4, 3), torch.zeros(4), torch.arange(4))
    torch.testing.assert_close(found, images, rtol=0, atol=1e-5)
