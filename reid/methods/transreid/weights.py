"""Foreign weights for TransReID: ImageNet backbones, published checkpoints, and their names."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.transreid.network import TransReID
from reid.nn.checkpoint import LoadReport, load_state, read_weights
from reid.nn.hub import fetch_timm_weights, timm_name
from reid.nn.position import fit_positions

HEADS = ("necks.*", "classifiers.*", "trunk.side_information.*")
BRANCHES = ("global_branch", "local_branches.branch")
SIDE_TABLE = "trunk.side_information.table"


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load the backbone from ImageNet weights in timm's naming.

    The classification head and distillation parts are dropped, the position embedding is resampled
    to the network's grid, and the last block and norm go into every branch.

    Args:
        source: A file, or `timm:<model name>`, which fetches the weights of that model.

    Raises:
        CheckpointError: The weights are those of another architecture, or timm has no such model.
    """
    if not isinstance(network, TransReID):
        raise TypeError(f"{type(network).__name__} is no TransReID network")
    name = timm_name(source)
    state = read_weights(Path(source)) if name is None else fetch_timm_weights(name)
    skipped = {key for key in state if "head" in key or "dist" in key}
    distilled = any("dist_token" in key for key in skipped)
    kernel = network.trunk.patch_embed.proj.weight.shape[1:]
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key in skipped:
            renamed[key] = value
            continue
        if key == "patch_embed.proj.weight" and value.shape[1:] == (kernel.numel(),):
            value = value.reshape(-1, *kernel)
        for name in _backbone_names(key, network):
            renamed[name] = value
    fit = partial(fit_positions, grid=network.trunk.patch_embed.grid, distilled=distilled)
    return load_state(
        network,
        renamed,
        allow_missing=HEADS,
        drop=sorted(skipped),
        resize={"trunk.pos_embed": fit},
    )


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a published fine-tuned checkpoint to the names of `TransReID`.

    The 1000-way classifier `base.fc` is left out, and beside the branches of the jigsaw module
    also the last block and final norm of `base`, which never took part in training.

    Raises:
        CheckpointError: The state dict is not that of a TransReID checkpoint.
    """
    indices = [int(m[1]) for key in state if (m := re.match(r"base\.blocks\.(\d+)\.", key))]
    if not indices or "base.cls_token" not in state:
        raise CheckpointError(
            f"a state dict of {len(state)} keys without 'base.cls_token' and 'base.blocks.0'",
            "a published TransReID checkpoint",
            "Check the file and the method it was made with.",
        )
    last, jigsaw = max(indices), any(key.startswith("b1.") for key in state)
    unused = ("base.fc.", *((f"base.blocks.{last}.", "base.norm.") if jigsaw else ()))
    return {
        _our_name(key, last): value for key, value in state.items() if not key.startswith(unused)
    }


def upstream_names(network: TransReID) -> dict[str, str]:
    """Return the published name of every key of the network's state dict."""
    last = len(network.trunk.blocks)
    jigsaw = network.local_branches is not None
    return {key: _upstream_name(key, last, jigsaw) for key in network.state_dict()}


def _backbone_names(key: str, network: TransReID) -> list[str]:
    """Return the names under which a weight of a plain vision transformer is needed here."""
    last = f"blocks.{len(network.trunk.blocks)}."
    branches = BRANCHES if network.local_branches is not None else BRANCHES[:1]
    if key.startswith(last):
        return [f"{branch}.block.{key.removeprefix(last)}" for branch in branches]
    if key.startswith("norm."):
        return [f"{branch}.{key}" for branch in branches]
    return [f"trunk.{key}"]


def _our_name(key: str, last: int) -> str:
    if key == "base.sie_embed":
        return SIDE_TABLE
    if head := re.fullmatch(r"(bottleneck|classifier)(?:_(\d+))?\.(\w+)", key):
        kind = "necks" if head[1] == "bottleneck" else "classifiers"
        return f"{kind}.{head[2] or 0}.{head[3]}"
    if branch := re.fullmatch(r"b([12])\.([01])\.(.+)", key):
        return f"{BRANCHES[int(branch[1]) - 1]}.{('block', 'norm')[int(branch[2])]}.{branch[3]}"
    if key.startswith(f"base.blocks.{last}."):
        return key.replace(f"base.blocks.{last}", f"{BRANCHES[0]}.block")
    if key.startswith("base.norm."):
        return key.replace("base", BRANCHES[0])
    return key.replace("base.", "trunk.", 1) if key.startswith("base.") else key


def _upstream_name(key: str, last: int, jigsaw: bool) -> str:
    if key == SIDE_TABLE:
        return "base.sie_embed"
    if head := re.fullmatch(r"(necks|classifiers)\.(\d+)\.(\w+)", key):
        kind = "bottleneck" if head[1] == "necks" else "classifier"
        return f"{kind}.{head[3]}" if head[2] == "0" else f"{kind}_{head[2]}.{head[3]}"
    for number, branch in enumerate(BRANCHES, start=1):
        if key.startswith(f"{branch}."):
            part, rest = key.removeprefix(f"{branch}.").split(".", 1)
            if jigsaw:
                return f"b{number}.{0 if part == 'block' else 1}.{rest}"
            return f"base.blocks.{last}.{rest}" if part == "block" else f"base.norm.{rest}"
    return key.replace("trunk.", "base.", 1)
