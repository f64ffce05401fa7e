"""Incremental pretraining: go on from a parent's student, teacher and centres, or its backbone."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reid.errors import CheckpointError
from reid.nn.backbone_file import read_facts
from reid.nn.checkpoint import LoadReport, load_state, only_tensors, read_mapping
from reid.nn.foreign_backbone import POSITIONS, FittedBackbone, fit_backbone
from reid.nn.position import Grid, resample_positions
from reid.nn.training_file import PREFIX, TrainingHalves, select_backbone, select_halves
from reid.pretrain.distillation import SelfDistillation

STATE_FILE = "student_teacher.safetensors"
BACKBONE_FILE = "backbone.safetensors"

HALVES = ("student", "teacher")
MASK = "backbone.masked_embed"
STUDENTS_MASK = f"student.{MASK}"
CENTRES = {"centres.cls": "center", "centres.patch": "center2"}
FRESH_HEADS = ("*.head.*", "centres.*")
SIZE = "Take weights that were pretrained on images of the recipe's `views.global_size`."
_GRID = "grid"


def save_state(path: Path, distillation: SelfDistillation) -> None:
    """Write student, teacher and centres into one safetensors file, with the grid of positions.

    Equal arguments give equal bytes.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in distillation.state_dict().items()}
    save_file(state, path, metadata={_GRID: json.dumps(_grid(distillation))})


def load_parent(distillation: SelfDistillation, source: Path) -> LoadReport:
    """Put the weights of a parent into fresh student, teacher and centres.

    What `save_state` wrote is taken whole. Of any other file the teacher's backbone goes into both
    halves while heads and centres stay fresh, unless the file holds student and teacher with heads
    like these: then both are taken, and the centres if they are there. The vector for hidden
    patches is the file's student's, or stays as it is. Positions of another grid are resampled.

    Args:
        source: A folder that a pretraining wrote, what `save_state` or `save_backbone` wrote, or
            foreign weights: a training file of DINO, iBOT, PersonViT or MSN, or a plain backbone.

    Raises:
        CheckpointError: There is no such file, or it is another architecture; nothing is changed.
    """
    path = parent_file(source)
    content = read_mapping(path)
    if all(key in content for key in CENTRES):
        return _load_whole(distillation, only_tensors(content, path), path)
    halves = select_halves(content, path)
    heads = _fitting_heads(distillation, halves) if halves else None
    if halves and heads:
        return _load_halves(distillation, halves, heads)
    return _load_backbone(distillation, content, path, halves)


def parent_file(source: Path) -> Path:
    """Return the file that a parent's weights are taken from.

    Raises:
        CheckpointError: A folder without any.
    """
    if not source.is_dir():
        return source
    found = [source / name for name in (STATE_FILE, BACKBONE_FILE) if (source / name).is_file()]
    if not found:
        raise CheckpointError(
            f"{source}: neither {STATE_FILE} nor {BACKBONE_FILE}",
            "a folder that a pretraining wrote",
            "Run the parent's pretraining first, or name a file of weights.",
        )
    return found[0]


def _load_whole(distillation: SelfDistillation, state: dict[str, Tensor], path: Path) -> LoadReport:
    own = distillation.state_dict()
    for key in dict.fromkeys((*own, *state)):
        sizes = [list(of[key].shape) if key in of else "absent" for of in (state, own)]
        if sizes[0] != sizes[1] and (".head." in key or key in CENTRES):
            raise CheckpointError(
                f"{path}: '{key}' is {sizes[0]} in the parent and {sizes[1]} here",
                "the head of the parent",
                "Take the parent's `head` into the recipe, or name its file "
                f"{BACKBONE_FILE} to start with a fresh head.",
            )
    old, new = _saved_grid(path), _grid(distillation)
    names = [f"{half}.backbone.{POSITIONS}" for half in HALVES]
    resized = [name for name in names if name in state and old not in (None, new)]
    for name in resized:
        state[name] = resample_positions(state[name], old or new, new)
    return _reported(load_state(distillation, state), resized, [])


def _load_halves(
    distillation: SelfDistillation, halves: TrainingHalves, heads: Mapping[str, Tensor]
) -> LoadReport:
    state, resized = dict(heads), []
    given = {
        f"{name}.{key}": value
        for name, half in zip(HALVES, halves[:2], strict=True)
        for key, value in half.items()
    }
    for name in HALVES:
        prefix = f"{name}.{PREFIX}"
        backbone = {k.removeprefix(prefix): v for k, v in given.items() if k.startswith(prefix)}
        fitted = _fit(distillation, backbone, None)
        state |= {prefix + key: value for key, value in fitted.state.items()}
        resized += [prefix + key for key in fitted.resized]
    state |= _mask(distillation, halves) | _centres(distillation, halves)
    report = load_state(distillation, state, allow_missing=(STUDENTS_MASK, "centres.*"))
    return _reported(report, resized, [key for key in given if key not in state])


def _load_backbone(
    distillation: SelfDistillation,
    content: Mapping[str, object],
    path: Path,
    halves: TrainingHalves | None,
) -> LoadReport:
    backbone, dropped = select_backbone(content, path)
    facts = read_facts(path)
    fitted = _fit(distillation, backbone, facts.grid if facts else None)
    state = {f"{half}.{PREFIX}{k}": v for half in HALVES for k, v in fitted.state.items()}
    resized = [f"{half}.{PREFIX}{key}" for half in HALVES for key in fitted.resized]
    dropped += fitted.dropped
    if halves:
        state |= (mask := _mask(distillation, halves))
        dropped += [name for key in halves.student if (name := f"student.{key}") not in mask]
    report = load_state(distillation, state, allow_missing=(STUDENTS_MASK, *FRESH_HEADS))
    return _reported(report, resized, dropped)


def _fit(
    distillation: SelfDistillation, backbone: Mapping[str, Tensor], grid: Grid | None
) -> FittedBackbone:
    return fit_backbone(backbone, distillation.student.backbone.patch_embed, grid, None, SIZE)


def _fitting_heads(
    distillation: SelfDistillation, halves: TrainingHalves
) -> dict[str, Tensor] | None:
    """Return the heads of both halves in our names; None if one has another form or size.

    Shared prototypes stand in the file twice. Those that are not shared do not fit a shared head.
    """
    found: dict[str, Tensor] = {}
    for name, half in zip(HALVES, halves[:2], strict=True):
        own = distillation.get_submodule(f"{name}.head").state_dict()
        head = {k.removeprefix("head."): v for k, v in half.items() if k.startswith("head.")}
        for key in [key for key in head if key.startswith("last_layer2.") and key not in own]:
            first = head.get(key.replace("last_layer2", "last_layer"))
            if first is not None and torch.equal(head[key], first):
                del head[key]
        if {k: v.shape for k, v in head.items()} != {k: v.shape for k, v in own.items()}:
            return None
        found |= {f"{name}.head.{key}": value for key, value in head.items()}
    return found


def _mask(distillation: SelfDistillation, halves: TrainingHalves) -> dict[str, Tensor]:
    """Return the file's vector for hidden patches, if it has one of our length."""
    own, found = distillation.student.backbone.masked_embed, halves.student.get(MASK)
    fits = own is not None and found is not None and found.shape == own.shape
    return {STUDENTS_MASK: found} if fits and found is not None else {}


def _centres(distillation: SelfDistillation, halves: TrainingHalves) -> dict[str, Tensor]:
    """Return the file's centres, as far as it has them with our number of prototypes."""
    size = distillation.centres.cls.numel()
    return {
        name: halves.centres[theirs].reshape(1, size)
        for name, theirs in CENTRES.items()
        if theirs in halves.centres and halves.centres[theirs].numel() == size
    }


def _grid(distillation: SelfDistillation) -> Grid:
    return distillation.student.backbone.patch_embed.grid


def _saved_grid(path: Path) -> Grid | None:
    if path.suffix != ".safetensors":
        return None
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_GRID)
    if text is None:
        return None
    rows, columns = json.loads(text)
    return rows, columns


def _reported(report: LoadReport, resized: list[str], dropped: list[str]) -> LoadReport:
    loaded = tuple(key for key in report.loaded if key not in resized)
    return replace(report, loaded=loaded, resized=tuple(resized), dropped=tuple(dropped))
