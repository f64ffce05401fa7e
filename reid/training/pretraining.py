"""Pretrain a backbone: Lightning's loop around student and teacher."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from typing_extensions import override

from reid.data.images import ImageTable
from reid.data.samplers.shuffled import BatchPlan, ShuffledBatchSampler
from reid.errors import ParamsError
from reid.pretrain.collapse import CollapseMonitor, measure, require_finite
from reid.pretrain.distillation import SelfDistillation, follow
from reid.pretrain.draws import Draws, draw
from reid.pretrain.gradient import clip_each, decay_groups, freeze_last_layer
from reid.pretrain.pretrained_directory import export_backbone
from reid.pretrain.recipe import PretrainRecipe
from reid.pretrain.schedule import epoch_tables, step_tables
from reid.pretrain.views import cut_views
from reid.training.callbacks import LAST_CHECKPOINT, AtomicCheckpoint, History, MetricSink
from reid.training.epoch_batches import loader_workers
from reid.training.loop import make_trainer
from reid.training.precision import require_precision, unscale_gradients
from reid.training.processes import Processes

MEASURE_EVERY = 50  # steps between two looks at the teacher's health
KEPT = "kept"


class RawViews(NamedTuple):
    """What a loader hands out: whole images, and what is to be done to them.

    Attributes:
        images: [B, 3, H, W] uint8.
        draws: Crops and masks.
    """

    images: Tensor
    draws: Draws


class PlannedImages(Dataset[RawViews]):
    """Images and draws of one step at a time; crops are cut where the network is."""

    def __init__(self, table: ImageTable, recipe: PretrainRecipe, seed: int) -> None:
        self._table, self._recipe, self._seed = table, recipe, seed

    def __getitem__(self, plan: BatchPlan) -> RawViews:
        images = self._table.__getitems__(plan.indices).images
        return RawViews(images, draw(self._recipe, plan, self._seed))


class _Loaders(LightningDataModule):
    """Give Lightning a loader for every epoch, with that epoch's order."""

    def __init__(self, table: ImageTable, recipe: PretrainRecipe, seed: int) -> None:
        super().__init__()
        self._table, self._recipe, self._seed = table, recipe, seed

    def train_dataloader(self) -> DataLoader[RawViews]:
        trainer = self.trainer
        if trainer is None:
            raise RuntimeError("the loader is made by a running trainer")
        sampler = ShuffledBatchSampler(
            len(self._table),
            self._recipe.batch,
            self._seed,
            trainer.current_epoch,
            trainer.global_rank,
            trainer.world_size,
        )
        return DataLoader(
            PlannedImages(self._table, self._recipe, self._seed),
            batch_size=None,
            sampler=sampler,
            num_workers=loader_workers(self._table),
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else each iterator takes a draw from the global one
        )


class Pretrainer(LightningModule):
    """One step: cut the crops, ask for the losses, clip, step, let the teacher follow.

    All that is random in a step follows from seed, epoch and step, so that a run which resumes
    continues exactly as if it had never stopped.

    Attributes:
        learning_rate: That of the last step.
    """

    learning_rate: float

    def __init__(self, distillation: SelfDistillation, recipe: PretrainRecipe, seed: int) -> None:
        super().__init__()
        self.distillation = distillation
        self._recipe, self._seed = recipe, seed
        self._monitor = CollapseMonitor(recipe.collapse)

    @override
    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(decay_groups(self.distillation.student), fused=True)

    @override
    def on_train_start(self) -> None:
        recipe, steps = self._recipe, int(self.trainer.num_training_batches)
        self._steps = step_tables(recipe.optimiser, recipe.epochs, steps, recipe.batch)
        self._epochs = epoch_tables(recipe.loss, recipe.mask.first_epoch, recipe.epochs)

    @override
    def on_train_epoch_start(self) -> None:
        step, epoch = self.trainer.global_step, self.current_epoch
        self.log("momentum", float(self._steps.momentum[step]))
        self.log("weight_decay", float(self._steps.weight_decay[step]))
        self.log("teacher_temperature", float(self._epochs.class_temperature[epoch]))

    @override
    def on_train_batch_start(self, batch: RawViews, batch_idx: int) -> None:
        step = self.trainer.global_step
        self.learning_rate = float(self._steps.learning_rate[step])
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = self.learning_rate
            if group["name"] == "decayed":
                group["weight_decay"] = float(self._steps.weight_decay[step])
        # stochastic depth draws from the global generator
        key = np.random.SeedSequence([self._seed, step, self.global_rank]).generate_state(1)
        torch.manual_seed(int(key[0]))

    @override
    def training_step(self, raw: RawViews, batch_index: int) -> Tensor:
        views = cut_views(raw.images, raw.draws, self._recipe.views)
        epoch, count = self.current_epoch, len(raw.images)
        temperatures = tuple(float(table[epoch]) for table in self._epochs)
        step = self.distillation(views, *temperatures)
        loss: Tensor = step.losses["loss"]
        require_finite(loss, self.trainer.global_step)
        metrics: dict[str, Any] = {name: value.detach() for name, value in step.losses.items()}
        self._log(metrics, count)
        if batch_index % MEASURE_EVERY == 0:
            health = measure(step.probabilities, step.features)
            self._log(dict(health._asdict()), count)
            self._monitor.check(health, epoch)
        return loss

    @override
    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        student, recipe = self.distillation.student, self._recipe.optimiser
        if recipe.clip is not None:
            unscale_gradients(self.trainer, optimizer)
            clip_each(student.parameters(), recipe.clip)
        if self.current_epoch < recipe.freeze_last_layer:
            freeze_last_layer(student)

    @override
    def on_train_batch_end(self, outputs: Any, batch: RawViews, batch_idx: int) -> None:
        step = self.trainer.global_step - 1  # the optimiser has counted on
        momentum = float(self._steps.momentum[step])
        follow(self.distillation.teacher, self.distillation.student, momentum)

    def _log(self, metrics: dict[str, Any], count: int) -> None:
        self.log_dict(metrics, on_step=False, on_epoch=True, batch_size=count, sync_dist=True)


class _KeepBackbone(Callback):
    """Keep the teacher's backbone every so many epochs: the last is not always the best."""

    def __init__(self, folder: Path, recipe: PretrainRecipe) -> None:
        self._folder, self._recipe = folder, recipe

    @override
    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch, every = trainer.current_epoch + 1, self._recipe.keep_every
        due = every is not None and epoch % every == 0
        if due and trainer.is_global_zero and isinstance(pl_module, Pretrainer):
            backbone = pl_module.distillation.teacher.backbone
            self._folder.mkdir(exist_ok=True)
            export_backbone(self._folder / f"epoch_{epoch:04d}.safetensors", backbone, self._recipe)


def pretrain(
    distillation: SelfDistillation,
    recipe: PretrainRecipe,
    table: ImageTable,
    seed: int,
    checkpoints: Path,
    sink: MetricSink,
    devices: int = 1,
) -> list[dict[str, float]]:
    """Pretrain in place, resuming from `checkpoints` if a run was stopped there.

    Args:
        checkpoints: Folder that belongs to exactly these parameters and data; backbones that the
            recipe wants kept lie in `kept/`.
        devices: Processes that share each batch. With several, Lightning starts the program again
            for each of the others.

    Returns:
        One row per epoch: epoch, learning rate, mean of every loss, health of the teacher.

    Raises:
        ParamsError: fp16 without a GPU, no device, or processes that do not divide the batch.
        DataError: Fewer images than a batch.
        TrainingError: The loss is no number, or the teacher has collapsed.
    """
    require_precision(recipe.precision)
    if devices < 1:
        raise ParamsError(f"{devices} devices", "at least 1", "Correct --devices or REID_DEVICES.")
    # refuses here, before other processes are started, what it would refuse in all of them
    ShuffledBatchSampler(len(table), recipe.batch, seed, 0, 0, devices)
    checkpoints.mkdir(parents=True, exist_ok=True)
    pretrainer = Pretrainer(distillation, recipe, seed)
    history = History(sink, lambda: pretrainer.learning_rate)
    keep = _KeepBackbone(checkpoints / KEPT, recipe)
    callbacks: list[Callback] = [history, keep, AtomicCheckpoint(checkpoints)]
    # without masks the prototypes of patches, if they are apart, get no gradient
    idle = not recipe.head.shared and not recipe.loss.lambda2
    strategy = DDPStrategy(find_unused_parameters=idle) if devices > 1 else "auto"
    trainer = make_trainer(recipe.epochs, recipe.precision, callbacks, Processes(devices), strategy)
    last = checkpoints / LAST_CHECKPOINT
    trainer.fit(
        pretrainer,
        datamodule=_Loaders(table, recipe, seed),
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    return history.rows
