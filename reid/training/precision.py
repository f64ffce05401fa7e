"""How numbers are kept small in training: autocast, and the scale of the loss in fp16."""

from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision

from reid.errors import ParamsError
from reid.recipe import Precision

_LIGHTNING_NAME = {"fp32": "32-true", "bf16": "bf16-mixed"}
# of the loss in fp16. It doubles while gradients stay finite; torch's own start of 2^16 loses the
# first steps (ReIDMamba, arXiv 2511.07948, starts here)
_LOSS_SCALE = 2.0**10


def require_precision(precision: Precision) -> None:
    """Refuse fp16 where there is no GPU: the CPU has no fast half precision."""
    if precision == "fp16" and not torch.cuda.is_available():
        raise ParamsError(
            "precision is fp16 but there is no GPU", "fp32 or bf16 on a CPU", "Change the recipe."
        )


def trainer_precision(precision: Precision) -> dict[str, Any]:
    """Return what Lightning's trainer is told."""
    if precision == "fp16":
        return {"plugins": [half_precision("cuda")]}
    return {"precision": _LIGHTNING_NAME[precision]}


def half_precision(device: str) -> MixedPrecision:
    """Return autocast to fp16 with a scaled loss; gradients that overflow skip their step."""
    scaler = torch.amp.GradScaler(device, init_scale=_LOSS_SCALE)
    return MixedPrecision("16-mixed", device, scaler)


def unscale_gradients(trainer: Trainer, optimiser: torch.optim.Optimizer) -> None:
    """Take the scale of the loss off the gradients, before they are measured against a limit.

    A fused step would undo it itself, too late for that.
    """
    precision = trainer.precision_plugin
    if isinstance(precision, MixedPrecision) and precision.scaler is not None:
        precision.scaler.unscale_(optimiser)
