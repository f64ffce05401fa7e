"""Which of the weights in a self-supervised training file are wanted, and where they stand.

DINO, iBOT and PersonViT files hold `student`, `teacher`, optimiser, options and the loss with its
centres; MSN files hold `target_encoder`. Which half is the backbone to use is the rule of the
published fine-tuning code.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from reid.errors import CheckpointError
from reid.nn.checkpoint import only_tensors, unwrap

WRAPPERS = ("model", "state_dict", "module")
PARALLEL = "module."  # what data-parallel training puts before every name
PREFIX = "backbone."
LOSSES = ("ibot_loss", "dino_loss")


class TrainingHalves(NamedTuple):
    """Student and teacher of a training file, with names such as `backbone.norm.bias`.

    Attributes:
        centres: State of the loss: `center` [1, K] of class tokens, in iBOT also `center2`
            [1, 1, K] of patches; empty if the file does not hold it.
    """

    student: dict[str, Tensor]
    teacher: dict[str, Tensor]
    centres: dict[str, Tensor]


def select_backbone(
    content: Mapping[str, object], path: Path
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the backbone's weights in plain names, and the keys beside it that were left.

    Args:
        content: What the file holds.
        path: The file, for the error message.

    Raises:
        CheckpointError: Neither a teacher nor plain weights, or a teacher without a backbone.
    """
    state = unwrap(content, WRAPPERS)
    teacher, target = state.get("teacher"), state.get("target_encoder")
    if isinstance(teacher, Mapping):
        return _teacher(only_tensors(teacher, path), path)
    if isinstance(target, Mapping):
        return _without_parallel(only_tensors(target, path)), []
    if "student" in state:
        raise CheckpointError(
            f"{path}: a training file with a student and no teacher",
            "the weights of the teacher, which are those that PersonViT uses",
            "Fetch the whole training file, or save the backbone that you want alone.",
        )
    return _without_parallel(only_tensors(state, path)), []


def select_halves(content: Mapping[str, object], path: Path) -> TrainingHalves | None:
    """Return student and teacher with their heads; None if the file does not hold both.

    Args:
        content: What the file holds.
        path: The file, for the error message.

    Raises:
        CheckpointError: A half holds something else than tensors.
    """
    state = unwrap(content, WRAPPERS)
    student, teacher = state.get("student"), state.get("teacher")
    if not isinstance(student, Mapping) or not isinstance(teacher, Mapping):
        return None
    losses = [loss for name in LOSSES if isinstance(loss := state.get(name), Mapping)]
    return TrainingHalves(
        _without_parallel(only_tensors(student, path)),
        _without_parallel(only_tensors(teacher, path)),
        only_tensors(losses[0], path) if losses else {},
    )


def _teacher(teacher: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    state = _without_parallel(teacher)
    left = [key for key in state if not key.startswith(PREFIX)]
    if len(left) == len(state):
        raise CheckpointError(
            f"{path}: a teacher of {len(state)} tensors and none of them '{PREFIX}...'",
            "a training file of DINO, iBOT or PersonViT",
            "Save the backbone's state dict alone.",
        )
    return {key.removeprefix(PREFIX): state[key] for key in state if key not in left}, left


def _without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace(PARALLEL, ""): value for key, value in state.items()}
