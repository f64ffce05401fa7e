"""Foreign weights for PersonViT: self-supervised backbones, published checkpoints, their names."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.personvit.network import PersonVit
from reid.methods.personvit.training_file import select_backbone
from reid.nn.backbone_file import read_facts
from reid.nn.checkpoint import LoadReport, load_state, read_mapping
from reid.nn.hub import fetch_timm_weights, timm_name
from reid.nn.position import Grid, resample_positions, upright_grid, without_distillation_row

HEADS = ("neck.*", "classifier.*", "reduction.*")
NOT_BACKBONE = ("head", "dist", "pre_logits", "masked_embed")
POSITIONS, PROJECTION = "pos_embed", "patch_embed.proj.weight"
UPSTREAM = {"backbone": "base", "neck": "bottleneck", "reduction": "fcneck"}


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load the backbone; of a self-supervised training file the teacher's, never the student's.

    Heads, ImageNet classifiers and the mask token are dropped. Positions are resampled wherever
    their grid differs from the network's, even if it has as many patches.

    Args:
        source: `timm:<model name>`, or a file: a backbone that we pretrained, a plain transformer
            in timm's naming, or a training file of DINO, iBOT, PersonViT or MSN.

    Raises:
        CheckpointError: The weights are those of another architecture or make no upright grid.
    """
    if not isinstance(network, PersonVit):
        raise TypeError(f"{type(network).__name__} is no PersonViT network")
    name, grid = timm_name(source), None
    if name is None:
        facts = read_facts(Path(source))
        grid = facts.grid if facts else None
        state, dropped = select_backbone(read_mapping(Path(source)), Path(source))
    else:
        state, dropped = fetch_timm_weights(name), []
    left_out = [key for key in state if _is_left_out(key)]
    kept = {key: value for key, value in state.items() if key not in left_out}
    resized = _fit(kept, network, grid, distilled=any("dist_token" in key for key in left_out))
    report = load_state(
        network, {f"backbone.{key}": value for key, value in kept.items()}, allow_missing=HEADS
    )
    loaded = tuple(key for key in report.loaded if key not in resized)
    return replace(report, loaded=loaded, resized=resized, dropped=(*dropped, *left_out))


def _is_left_out(key: str) -> bool:
    return key.startswith("fc.") or any(part in key for part in NOT_BACKBONE)


def _fit(
    state: dict[str, Tensor], network: PersonVit, grid: Grid | None, *, distilled: bool
) -> tuple[str, ...]:
    """Bring projection and positions to the network's shapes; return what was resampled."""
    embedding = network.backbone.patch_embed
    kernel = embedding.proj.weight.shape[1:]
    projection = state.get(PROJECTION)
    if projection is not None and projection.shape[1:] == (kernel.numel(),):
        state[PROJECTION] = projection.reshape(-1, *kernel)
    positions = state.get(POSITIONS)
    if positions is None:
        return ()  # the load will name it as missing
    if distilled:
        positions = without_distillation_row(positions)
    ratio = network.model_recipe.pretrained_ratio
    old = grid or _stored_grid(positions.shape[1] - 1, ratio, embedding.grid)
    state[POSITIONS] = resample_positions(positions, old, embedding.grid)
    return (f"backbone.{POSITIONS}",) if old != embedding.grid else ()


def _stored_grid(patches: int, ratio: int | None, own: Grid) -> Grid:
    """Find the grid that the positions were learned on.

    The ratio or the number of patches tells it. If neither does, it is the network's own grid,
    provided that has as many patches.
    """
    grid = upright_grid(patches, ratio)
    if grid is None and patches == own[0] * own[1]:
        return own
    if grid is None:
        told = "not given" if ratio is None else str(ratio)
        raise CheckpointError(
            f"position embedding of {patches} patches, model.pretrained_ratio {told}",
            "a grid as high as wide or that many times, or if not given twice or three times",
            "Set `model.pretrained_ratio` to the height over the width of the pretraining images.",
        )
    return grid


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a published fine-tuned checkpoint to the names of `PersonVit`.

    The classifier `base.fc` for ImageNet, which never took part in training, is left out.

    Raises:
        CheckpointError: The state dict is not that of a PersonViT checkpoint.
    """
    if "base.cls_token" not in state or "bottleneck.weight" not in state:
        raise CheckpointError(
            f"a state dict of {len(state)} keys without 'base.cls_token' and 'bottleneck.weight'",
            "a published fine-tuned PersonViT checkpoint",
            "Check the file and the method; self-supervised weights go into `pretrained`.",
        )
    ours = {theirs: name for name, theirs in UPSTREAM.items()}
    return {
        _rename(key, ours): value for key, value in state.items() if not key.startswith("base.fc.")
    }


def upstream_names(network: PersonVit) -> dict[str, str]:
    """Return the published name of every key of the network's state dict."""
    return {key: _rename(key, UPSTREAM) for key in network.state_dict()}


def _rename(key: str, names: Mapping[str, str]) -> str:
    first, dot, rest = key.partition(".")
    return names.get(first, first) + dot + rest
