import pytest
import torch

from reid.errors import DataError, ParamsError
from reid.nn.patch import PatchEmbedding, patch_grid


@pytest.mark.parametrize(
    ("size", "stride", "grid"),
    [  # arXiv 2102.04378, table of strides
        ((256, 128), 16, (16, 8)),
        ((256, 128), 14, (18, 9)),
        ((256, 128), 12, (21, 10)),
        ((256, 128), 11, (22, 11)),
        ((384, 128), 12, (31, 10)),
        ((256, 256), 12, (21, 21)),
    ],
)
def test_grid_of_overlapping_patches(
    size: tuple[int, int], stride: int, grid: tuple[int, int]
) -> None:
    assert patch_grid(size, 16, (stride, stride)) == grid


def test_tokens_run_along_the_rows_of_the_grid() -> None:
    torch.manual_seed(0)
    embedding = PatchEmbedding((12, 8), 4, (4, 2), width=5)
    assert embedding.grid == (3, 3)
    images = torch.randn(2, 3, 12, 8)
    tokens = embedding(images)
    assert tokens.shape == (2, 9, 5)
    patch = images[:, :, 4:8, 2:6]  # second row, second column
    expected = patch.flatten(1) @ embedding.proj.weight.flatten(1).T + embedding.proj.bias
    torch.testing.assert_close(tokens[:, 4], expected, rtol=1e-5, atol=1e-6)


def test_another_image_size_is_refused() -> None:
    embedding = PatchEmbedding((12, 8), 4, (4, 4), width=5)
    with pytest.raises(DataError, match="images of 8x12 pixels; expected 12x8, the size of the"):
        embedding(torch.zeros(1, 3, 8, 12))


def test_an_image_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(ParamsError, match="image size 32x8 with patch 16"):
        patch_grid((32, 8), 16, (16, 16))
