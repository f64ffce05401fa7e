"""Foreign weights for PersonViT: self-supervised backbones, published checkpoints, their names."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.personvit.network import PersonVit
from reid.nn.backbone_file import read_facts
from reid.nn.checkpoint import LoadReport, load_state, read_mapping
from reid.nn.foreign_backbone import fit_backbone
from reid.nn.hub import fetch_timm_weights, timm_name
from reid.nn.training_file import select_backbone

HEADS = ("neck.*", "classifier.*", "reduction.*")
RATIO = "Set `model.pretrained_ratio` to the height over the width of the pretraining images."
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
    fitted = fit_backbone(
        state, network.backbone.patch_embed, grid, network.model_recipe.pretrained_ratio, RATIO
    )
    weights = {f"backbone.{key}": value for key, value in fitted.state.items()}
    report = load_state(network, weights, allow_missing=HEADS)
    resized = tuple(f"backbone.{key}" for key in fitted.resized)
    loaded = tuple(key for key in report.loaded if key not in resized)
    return replace(report, loaded=loaded, resized=resized, dropped=(*dropped, *fitted.dropped))


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
