"""The Lightning module: one for all methods."""

from typing import Any

import torch
from lightning import LightningModule, seed_everything
from torch import Tensor
from typing_extensions import override

from reid.data.images import Batch
from reid.data.transforms import augment, seed_rectangles
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Recipe
from reid.training.optimiser import build_optimiser
from reid.training.schedule import epoch_rate


class Learner(LightningModule):
    """Augment, ask the network for its losses, step.

    Every random draw of an epoch follows from the seed and the epoch's number, so a run that
    resumes at an epoch's start continues exactly as if it had never stopped.
    """

    def __init__(self, network: EmbeddingNetwork, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.network = network
        self._recipe, self._seed = recipe, seed

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimiser(self.network, self._recipe.optimiser)

    @override
    def on_train_epoch_start(self) -> None:
        number = self.current_epoch + 1
        mixed = (self._seed * 1_000_003 + number) * 1_009 + self.global_rank
        seed_everything(mixed % 2**32, verbose=False)
        seed_rectangles(mixed % 2**32)
        optimiser = self.trainer.optimizers[0]
        for group in optimiser.param_groups:
            group["lr"] = epoch_rate(
                self._recipe.schedule,
                self._recipe.optimiser.learning_rate,
                group["base_rate"],
                number,
            )

    @override
    def training_step(self, raw: Batch, _batch_index: int) -> Tensor:
        images = augment(raw.images, self._recipe.image, self._recipe.augment)
        losses = self.network.losses(raw._replace(images=images))
        size = len(images)
        detached: dict[str, Any] = {name: value.detach() for name, value in losses.items()}
        self.log_dict(detached, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return losses["loss"]
