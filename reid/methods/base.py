"""What a method is: a recipe schema, a network, and a rule for published checkpoints."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reid.data.images import Batch
from reid.nn.checkpoint import LoadReport
from reid.nn.scan.backends import Choice
from reid.recipe import Recipe
from reid.retrieval.pair_scorer import PairPrecision, PairScorer


@dataclass(frozen=True)
class DataFacts:
    """What a network must know of its training data to be built."""

    num_classes: int
    num_cameras: int
    num_views: int


class EmbeddingNetwork(nn.Module, ABC):
    """A network that turns an image into one row of numbers.

    Attributes:
        feature_size: Length D of the row.
        uses_cameras: The embedding depends on `Batch.cameras` or `Batch.views`.
        backbone_prefix: Start of the names of those parameters that `optimiser.backbone_factor`
            slows down; empty where no part stands out.
        idle_parameters: Some may get no gradient, for example by a weight of 0 in the recipe.
    """

    feature_size: int
    uses_cameras: bool
    backbone_prefix: str = ""
    idle_parameters: bool = False

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return named scalar losses; `loss` is the one to minimise, the others are its parts.

        Where several processes share a batch, each has some of its people and gets the losses of
        all: `gather_rows` stands between the parts of `per_image` and the losses.
        """

    @abstractmethod
    def embed(self, batch: Batch) -> Tensor:
        """Return the [B, D] features, not normalised."""

    def start_epoch(self, done: float) -> None:
        """Hear before each epoch which share of the training is done, from 0 to less than 1."""

    def scorer(
        self,
        precision: PairPrecision = "fp32",  # noqa: ARG002 - for those that score pairs
        device: str = "cpu",  # noqa: ARG002
    ) -> PairScorer | None:
        """Return what compares two rows, or None where they are vectors in a Euclidean space.

        Args:
            precision: Of most of the arithmetic; what a row holds and the score are float32.
            device: Where it runs, `cpu` or a device of torch.
        """
        return None

    def branches(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002 - for those with any
        """Return the [B, D] features of each branch by its name, not normalised.

        For pictures of what each branch learned. Most networks have no branches.
        """
        return {}

    def per_image(self) -> list[nn.Module]:
        """Return the parts that come before any image meets another, but for batch norms in them.

        Empty where `losses` sees the images of one process alone: such a network is trained by one.
        """
        return []

    def clipped(self) -> list[nn.Module]:
        """Return the parts whose gradients are clipped each by a norm of its own."""
        return [self]

    def fit_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return those weights of a converted published checkpoint that have a place here.

        Raises:
            CheckpointError: One line says better than the shapes why the weights do not fit.
        """
        return dict(state)

    def backends(self, device: str) -> dict[str, Choice]:  # noqa: ARG002 - for those with parts
        """Return what computes each part that has several implementations, and why that one.

        It goes into the records of a run. Most networks have no such part.

        Args:
            device: Kind of device, `cpu` or `cuda`.
        """
        return {}


@dataclass(frozen=True)
class Method:
    """One entry of the registry.

    Attributes:
        recipe: Schema of its recipe.
        build: Makes the network with fresh weights.
        load_pretrained: Puts backbone weights (the recipe's `pretrained`) into a network.
        convert_checkpoint: Renames the state dict of a published fine-tuned checkpoint to ours.
    """

    name: str
    recipe: type[Recipe]
    build: Callable[[Any, DataFacts], EmbeddingNetwork]
    load_pretrained: Callable[[EmbeddingNetwork, Path | str], LoadReport]
    convert_checkpoint: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
