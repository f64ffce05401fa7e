import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from reid.data.images import Batch, ImageFacts, ImageTable
from reid.data.storage import open_storage
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Recipe
from reid.retrieval.features import FloatArray
from reid.retrieval.pair_scorer import PairScorer
from reid.training import nearest
from reid.training.nearest import nearest_images

# brightness of red and green of six images; by angle 0, 1 and 4 are close, then 2 and 3
COLOURS = [(200, 10), (100, 6), (10, 200), (6, 100), (100, 40), (90, 100)]


class Colours(EmbeddingNetwork):
    feature_size = 2
    uses_cameras = False

    def __init__(self, scorer: PairScorer | None = None) -> None:
        super().__init__()
        self.frozen = nn.Dropout(0.5).eval()
        self.noise = nn.Dropout(0.5)
        self.scale = nn.Parameter(torch.ones(2))
        self._scorer = scorer

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return {"loss": self.embed(batch).sum()}

    def embed(self, batch: Batch) -> Tensor:
        features: Tensor = self.noise(self.frozen(batch.images.mean((2, 3))[:, :2])) * self.scale
        return features

    def scorer(self) -> PairScorer | None:
        return self._scorer


class FirstGallery:
    """Prefers redder images as the gallery; what the query shows does not count."""

    shape, flops, symmetric = (2,), 1.0, False

    def scores(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        return np.tile(1000 * gallery[:, 0], (len(queries), 1))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    folder = tmp_path_factory.mktemp("colours")
    for number, (red, green) in enumerate(COLOURS):
        Image.new("RGB", (16, 16), (red, green, 0)).save(folder / f"{number}.png")
    zeros = torch.zeros(len(COLOURS), dtype=torch.int64)
    paths = [f"{number}.png" for number in range(len(COLOURS))]
    facts = ImageFacts(*[zeros] * 4)
    return ImageTable(open_storage(folder), paths, facts, 16, 16, Image.Resampling.BILINEAR)


def recipe(precision: str = "fp32") -> Recipe:
    return Recipe.model_validate(
        {
            "method": "colours",
            "image": {"height": 16, "width": 16, "mean": [0, 0, 0], "std": [1, 1, 1]},
            "optimiser": {"learning_rate": 1},
            "precision": precision,
            "embed_batch": 4,
        }
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_features_are_compared_by_their_angle(
    table: ImageTable, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_BLOCK", 4)
    found = nearest_images(Colours(), recipe(precision), table, [5, 4, 3, 2, 1, 0], 2)
    # places in the order in which they were asked for
    assert {frozenset(row) for row in found[[1, 4, 5]].tolist()} == {
        frozenset(pair) for pair in ((4, 5), (1, 5), (1, 4))
    }
    assert found[2].tolist() == [3, 0]
    assert found[3].tolist() == [2, 0]


def test_pairs_are_scored_with_the_anchor_as_the_query(table: ImageTable) -> None:
    found = nearest_images(Colours(FirstGallery()), recipe(), table, [0, 2, 5, 1], 3)
    assert found.tolist() == [[3, 2, 1], [0, 3, 2], [0, 3, 1], [0, 2, 1]]


def test_the_training_is_left_as_it_was(table: ImageTable) -> None:
    network = Colours()
    before = [module.training for module in network.modules()]
    assert len(set(before)) == 2
    state = torch.random.get_rng_state()
    nearest_images(network, recipe(), table, [0, 1, 2], 1)
    assert [module.training for module in network.modules()] == before
    assert torch.equal(torch.random.get_rng_state(), state)
    batch = table[0]
    loss = network.losses(batch._replace(images=batch.images.float()))["loss"]
    loss.backward()
    assert network.scale.grad is not None
