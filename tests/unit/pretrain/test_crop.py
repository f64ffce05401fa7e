import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms import functional

from reid.pretrain.crop import draw_boxes, resize_boxes


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@settings(deadline=None, max_examples=40)
@given(st.integers(8, 80), st.integers(8, 80), st.floats(0.02, 0.9), st.floats(0.2, 2))
def test_boxes_lie_inside_and_keep_their_shape(
    height: int, width: int, low: float, aspect: float
) -> None:
    boxes = draw_boxes(50, (height, width), (low, 1.0), (aspect, 1.5 * aspect), generator())
    top, left, tall, wide = boxes.unbind(1)
    slack = 1e-3
    assert float(torch.stack([top, left]).min()) >= -slack
    assert float((top + tall).max()) <= height + slack
    assert float((left + wide).max()) <= width + slack
    shape = wide / tall
    assert aspect - slack <= float(shape.min()) <= float(shape.max()) <= 1.5 * aspect + slack


def test_areas_are_uniform() -> None:
    boxes = draw_boxes(4000, (256, 128), (0.05, 0.4), (0.375, 2 / 3), generator())
    share = boxes[:, 2] * boxes[:, 3] / (256 * 128)
    quarters = torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(share.quantile(quarters), 0.05 + 0.35 * quarters, rtol=0, atol=0.02)


def test_an_impossible_box_becomes_the_largest_central_one() -> None:
    # no square has 0.9 of the area
    boxes = draw_boxes(3, (64, 32), (0.9, 1.0), (1.0, 1.0), generator())
    assert boxes.tolist() == [[16, 0, 32, 32]] * 3


def test_boxes_are_cut_out_and_resized() -> None:
    images = torch.rand(2, 3, 20, 16, generator=generator())
    boxes = torch.tensor(
        [
            [[2.0, 3.0, 10.0, 8.0], [4.0, 4.0, 12.0, 6.0]],
            [[0.0, 0.0, 20.0, 16.0], [8.0, 2.0, 10, 9]],
        ]
    )
    found = resize_boxes(images, boxes, (20, 16))
    assert found.shape == (2, 2, 3, 20, 16)
    for crop in range(2):
        for image, box, out in zip(images, boxes[crop].int().tolist(), found[crop], strict=True):
            wanted = functional.resized_crop(
                image, *box, [20, 16], functional.InterpolationMode.BICUBIC, antialias=False
            ).clamp(0, 1)
            # at its edge a box sees the pixels around it, a cut-out piece only itself
            inner = (slice(None), slice(4, -4), slice(6, -6))
            torch.testing.assert_close(out[inner], wanted[inner], rtol=0, atol=1e-4)


def test_the_whole_image_stays_as_it_is() -> None:
    images = torch.rand(1, 3, 12, 8)
    whole = torch.tensor([[[0.0, 0.0, 12.0, 8.0]]])
    torch.testing.assert_close(resize_boxes(images, whole, (12, 8))[0], images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(6, 4), (24, 16)])
def test_results_stay_in_range(size: tuple[int, int]) -> None:
    images = (torch.rand(2, 3, 12, 8) > 0.5).float()
    boxes = draw_boxes(6, (12, 8), (0.1, 0.5), (0.4, 0.6), generator()).view(3, 2, 4)
    out = resize_boxes(images, boxes, size)
    assert out.shape == (3, 2, 3, *size)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    assert resize_boxes(images, boxes[:0], size).shape == (0, 2, 3, *size)
