"""Which images each epoch trains on, as Lightning asks for them."""

import os
from collections.abc import Sequence
from typing import Any, cast

import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader
from typing_extensions import override

from reid.data.images import Batch, ImageTable, keep_batch
from reid.data.samplers.cross_modal import CrossModalBatchSampler
from reid.data.samplers.graph import GraphBatchSampler, IntArray
from reid.data.samplers.identity import IdentityBatchSampler
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Recipe
from reid.training.nearest import nearest_images

EpochSampler = IdentityBatchSampler | CrossModalBatchSampler | GraphBatchSampler


class EpochBatches(LightningDataModule):
    """Give Lightning a fresh loader for every epoch: the number of batches differs.

    A sampler may go by what the network has learned, and may have a state of its own, which is kept
    in the checkpoints.
    """

    def __init__(
        self,
        network: EmbeddingNetwork,
        recipe: Recipe,
        table: ImageTable,
        labels: Sequence[int],
        seed: int,
    ) -> None:
        super().__init__()
        self._network, self._recipe, self._table = network, recipe, table
        self._labels, self._seed = labels, seed

    @override
    def setup(self, stage: str) -> None:
        self._sampler = self._make_sampler(self._running())

    @override
    def train_dataloader(self) -> DataLoader[Batch]:
        # behind a checkpoint the trainer's own number of the epoch is one too low at first
        progress = self._running().fit_loop.epoch_progress.current
        self._sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]  # typed as its base
        return DataLoader(
            self._table,
            batch_sampler=self._sampler,
            num_workers=loader_workers(self._table),
            collate_fn=keep_batch,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each iterator takes a draw from the global one
        )

    @override
    def state_dict(self) -> dict[str, Any]:
        return self._sampler.state_dict() if isinstance(self._sampler, GraphBatchSampler) else {}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if isinstance(self._sampler, GraphBatchSampler):
            self._sampler.load_state_dict(state_dict)

    def _make_sampler(self, trainer: Trainer) -> EpochSampler:
        recipe, process = self._recipe.sampler, (trainer.global_rank, trainer.world_size)
        size = (recipe.identities, recipe.images)
        if recipe.name == "identity":
            return IdentityBatchSampler(self._labels, *size, self._seed, *process)
        if recipe.name == "cross_modal":
            return CrossModalBatchSampler(
                self._labels, self._table.modalities, *size, self._seed, *process
            )
        return GraphBatchSampler(
            self._labels, *size, self._seed, self._nearest, *process, recipe.max_classes
        )

    def _nearest(self, chosen: Sequence[int], count: int) -> IntArray:
        """Compare in the first process, and tell the others: rounding must not part them."""
        trainer, found = self._running(), None
        if trainer.is_global_zero:
            found = nearest_images(self._network, self._recipe, self._table, chosen, count)
        return cast(IntArray, trainer.strategy.broadcast(found))

    def _running(self) -> Trainer:
        if self.trainer is None:
            raise RuntimeError("the loader is made by a running trainer")
        return self.trainer


def loader_workers(table: ImageTable) -> int:
    """Return how many processes decode images: none where all are in memory already."""
    return 0 if table.preloaded else min(os.cpu_count() or 1, 8)
