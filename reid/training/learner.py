"""The Lightning module: one for all methods."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, seed_everything
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from typing_extensions import override

from reid.data.images import Batch
from reid.data.transforms import augment, seed_rectangles
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Recipe
from reid.training.optimiser import build_optimiser
from reid.training.precision import unscale_gradients
from reid.training.schedule import AdaptiveStep, IterationCosine, epoch_rate


class Learner(LightningModule):
    """Augment, ask the network for its losses, step.

    Every random draw of an epoch follows from the seed and the epoch's number, so a run that
    resumes at an epoch's start continues exactly as if it had never stopped.

    Several processes see the images that one would see: each makes all draws of the whole batch and
    keeps its share. What the network draws for itself, as dropout and stochastic depth do, is drawn
    by each process for its own images, apart from those draws; it differs from one process, where
    both come from one generator. Where the network draws nothing, the trainings are the same but
    for rounding.

    Attributes:
        adaptive: For the schedule `adaptive`, which somebody must tell the loss of every epoch.
        learning_rate: That of now, without the factors of biases and of the backbone.
    """

    def __init__(self, network: EmbeddingNetwork, recipe: Recipe, seed: int) -> None:
        super().__init__()
        self.network = network
        self._recipe, self._seed = recipe, seed
        schedule, rate = recipe.schedule, recipe.optimiser.learning_rate
        self.learning_rate = rate
        by_iteration = schedule.name == "iteration_cosine"
        self._cosine = IterationCosine(schedule, rate) if by_iteration else None
        self.adaptive = AdaptiveStep(schedule, rate) if schedule.name == "adaptive" else None

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimiser(self.network, self._recipe.optimiser)

    @override
    def on_train_epoch_start(self) -> None:
        number = self.current_epoch + 1
        mixed = (self._seed * 1_000_003 + number) * 1_009
        seed_everything(mixed % 2**32, verbose=False)
        seed_rectangles(mixed % 2**32)
        self.network.start_epoch(self.current_epoch / self._recipe.schedule.epochs)
        if self._cosine is not None:
            self._cosine.start_epoch(self.global_step)
            return
        adaptive = self.adaptive
        if adaptive is not None:
            self._set_rates(lambda group_base: adaptive.rate(group_base, number))
            return
        schedule, base = self._recipe.schedule, self._recipe.optimiser.learning_rate
        self._set_rates(lambda group_base: epoch_rate(schedule, base, group_base, number))

    @override
    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        cosine, iteration = self._cosine, self.global_step
        if cosine is not None:
            self._set_rates(lambda group_base: cosine.rate(group_base, iteration))

    @override
    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        clip = self._recipe.optimiser.clip
        if clip is not None:
            unscale_gradients(self.trainer, optimizer)
            for part in self.network.clipped():
                clip_grad_norm_(part.parameters(), clip)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._cosine is not None:
            checkpoint["cosine_steps"] = self._cosine.steps

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self._cosine is not None:
            self._cosine.steps = checkpoint["cosine_steps"]

    @override
    def training_step(self, raw: Batch, batch_index: int) -> Tensor:
        images = self._augmented(raw.images)
        with self._own_draws(batch_index):
            losses = self.network.losses(raw._replace(images=images))
        size = len(images)
        detached: dict[str, Any] = {name: value.detach() for name, value in losses.items()}
        self.log_dict(detached, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return losses["loss"]

    def _augmented(self, images: Tensor) -> Tensor:
        """Change images [B / processes, 3, H, W] as one process would change them in the batch.

        The draws depend on the places in the batch alone, so blank images stand for those of the
        other processes. That costs each process the changes of a whole batch, little beside its
        share of a backbone.
        """
        image, changes = self._recipe.image, self._recipe.augment
        processes, share = self.trainer.world_size, len(images)
        if processes == 1:
            return augment(images, image, changes)
        own = slice(self.global_rank * share, (self.global_rank + 1) * share)
        batch = images.new_zeros(processes * share, *images.shape[1:])
        batch[own] = images
        return augment(batch, image, changes)[own].clone()  # else the whole batch would live on

    @contextmanager
    def _own_draws(self, batch_index: int) -> Iterator[None]:
        """Let the network of one of several processes draw without moving what all have alike."""
        if self.trainer.world_size == 1:
            yield
            return
        key = [self._seed, self.current_epoch, batch_index, self.global_rank]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(seed)
            yield

    def _set_rates(self, rate: Callable[[float], float]) -> None:
        self.learning_rate = rate(self._recipe.optimiser.learning_rate)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = rate(group["base_rate"])
