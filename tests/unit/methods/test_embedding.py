import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reid.data.images import Batch
from reid.methods.base import EmbeddingNetwork
from reid.methods.embedding import embed_batch, embed_parts
from reid.recipe import Recipe

RECIPE = Recipe.model_validate(
    {
        "method": "means",
        "image": {"height": 16, "width": 16},
        "optimiser": {"learning_rate": 1},
        "embed_flip": True,
    }
)


class Means(EmbeddingNetwork):
    """Means of the left half of each channel, so that a flip changes them."""

    feature_size, uses_cameras = 3, False

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.embed(batch).sum()}

    def embed(self, batch: Batch) -> Tensor:
        return self.scale * batch.images[..., :8].mean((2, 3))


def raw(size: int) -> Batch:
    images = torch.randint(0, 256, (size, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    unknown = torch.full((size,), -1)
    return Batch(images.to(torch.uint8), unknown, unknown, unknown, torch.zeros_like(unknown))


@pytest.mark.parametrize("sizes", [(5,), (2, 2, 1), (1, 4)])
def test_parts_give_the_rows_of_the_whole_batch(sizes: tuple[int, ...]) -> None:
    whole = raw(5)
    pieces = zip(*(fact.split(sizes) for fact in whole), strict=True)
    rows = embed_parts(Means(), RECIPE, (Batch(*piece) for piece in pieces), 5)
    assert (rows.dtype, rows.shape) == (np.float32, (5, 3))
    np.testing.assert_allclose(rows, embed_batch(Means(), RECIPE, whole), rtol=1e-6)
    # channels and images differ, so that no row stands in the place of another
    assert len(np.unique(rows.round(4))) == rows.size
