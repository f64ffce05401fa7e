"""Foreign weights for ReIDMamba: Mamba-R backbones, published checkpoints, and their names."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from timm.layers import resample_abs_pos_embed
from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.reidmamba.network import ReIDMamba
from reid.nn.checkpoint import LoadReport, load_state, read_weights
from reid.nn.class_tokens import class_positions
from reid.nn.hub import timm_name
from reid.nn.patch import Pair

HEADS = ("necks.*", "norm_necks.*", "bnnecks.*", "gems.*", "sie_embed")
UNUSED = ("head.*", "neck.*", "norm_neck.*")  # of Mamba-R's classifier
CLASS_TABLES = ("cls_token", "pos_embed_cls")
TABLES = ("pos_embed", *CLASS_TABLES)


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load the backbone from a file of Mamba-R (arXiv 2405.14858).

    Its neck and classifier are dropped, the last two blocks and the final norm go into every
    branch, positions are resampled to the network's grid, and class tokens are chosen or filled in
    where their number differs.

    Raises:
        CheckpointError: The weights are those of another architecture, or `timm:<model name>` was
            asked for, which knows no such model.
    """
    if not isinstance(network, ReIDMamba):
        raise TypeError(f"{type(network).__name__} is no ReIDMamba network")
    name = timm_name(source)
    if name is not None:
        raise CheckpointError(
            f"pretrained is '{source}'",
            "a file of Mamba-R weights, which timm does not have",
            "Fetch mambar_small_patch16_224.pth and name that file.",
        )
    state = read_weights(Path(source))
    renamed = {name: value for key in state for name, value in _copies(key, state[key], network)}
    own = {key: getattr(network, key) for key in TABLES}
    fitted = {
        "pos_embed": lambda table: fit_positions(table, network.patch_embed.grid),
        "cls_token": lambda table: fit_class_table(table, own["cls_token"], network),
        "pos_embed_cls": lambda table: fit_class_table(table, own["pos_embed_cls"], network),
    }
    for key in TABLES:
        if key in renamed:
            renamed[key] = fitted[key](renamed[key])
    report = load_state(network, renamed, allow_missing=HEADS, drop=UNUSED)
    resized = tuple(key for key in TABLES if key in state and renamed[key] is not state[key])
    loaded = tuple(key for key in report.loaded if key not in resized)
    return replace(report, loaded=loaded, resized=resized)


def fit_positions(positions: Tensor, grid: Pair) -> Tensor:
    """Resample positions [1, g·g, D] bicubically with antialiasing to [1, rows·columns, D].

    As many positions on a grid that is no square are resampled too.

    Raises:
        CheckpointError: The positions are not those of a square grid.
    """
    count = positions.shape[1]
    if math.isqrt(count) ** 2 != count:
        raise CheckpointError(
            f"position embedding of {count} rows",
            "the rows of a square grid",
            "Use the weights of a Mamba-R backbone.",
        )
    resampled: Tensor = resample_abs_pos_embed(positions, list(grid), num_prefix_tokens=0)
    return resampled


def fit_class_table(table: Tensor, fresh: Tensor, network: ReIDMamba) -> Tensor:
    """Bring a table [1, m, D] of class tokens or their positions to [1, n, D].

    With fewer tokens each takes the row of the nearest old one that is still free, counted in
    patches that come before it on the network's grid. With more tokens the old rows go into the
    middle, and those around them stay as they are in `fresh` [1, n, D].

    Raises:
        CheckpointError: More tokens by an odd number, so that there is no middle.
    """
    old, new = table.shape[1], fresh.shape[1]
    if old == new:
        return table
    if old > new:
        patches = network.patch_embed.grid[0] * network.patch_embed.grid[1]
        return table[:, nearest_tokens(patches, old, new)]
    if (new - old) % 2:
        raise CheckpointError(
            f"weights with {old} class tokens for model.tokens {new}",
            "at most as many tokens, or more by an even number",
            "Change `model.tokens`.",
        )
    filled = fresh.detach().clone()
    first = (new - old) // 2
    filled[:, first : first + old] = table
    return filled


def nearest_tokens(patches: int, old: int, new: int) -> list[int]:
    """Return which of `old` class tokens each of `new` fewer ones continues; ties to the first."""
    before_old, before_new = (
        [place - k for k, place in enumerate(class_positions(patches, count))]
        for count in (old, new)
    )
    free = list(range(old))
    chosen = []
    for wanted in before_new:
        best = min(free, key=lambda k: abs(before_old[k] - wanted))
        free.remove(best)
        chosen.append(best)
    return chosen


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a fine-tuned checkpoint of the published code.

    All names are ours already but those of the exponents of `gem`: every other one, which never
    took part in training, is left out.

    Raises:
        CheckpointError: The state dict is not that of a ReIDMamba checkpoint.
    """
    if "cls_token" not in state or "bnnecks.0.bn.weight" not in state:
        raise CheckpointError(
            f"a state dict of {len(state)} keys without 'cls_token' and 'bnnecks.0.bn.weight'",
            "a fine-tuned ReIDMamba checkpoint",
            "Check the file and the method; Mamba-R weights go into `pretrained`.",
        )
    converted = {}
    for key, value in state.items():
        exponent = re.fullmatch(r"gems\.(\d+)\.p", key)
        if exponent is None:
            converted[key] = value
        elif int(exponent[1]) % 2 == 0:
            converted[f"gems.{int(exponent[1]) // 2}.p"] = value
    return converted


def upstream_names(network: ReIDMamba) -> dict[str, str]:
    """Return the published name of every key of the network's state dict."""
    return {
        key: re.sub(r"^gems\.(\d+)\.", lambda found: f"gems.{2 * int(found[1])}.", key)
        for key in network.state_dict()
    }


def _copies(key: str, value: Tensor, network: ReIDMamba) -> list[tuple[str, Tensor]]:
    """Return a weight of the backbone under all names that it has here."""
    branches = range(network.model_recipe.branches)
    block = re.fullmatch(r"layers\.(\d+)\.(.+)", key)
    own = int(block[1]) - len(network.layers) if block else -1
    if block and own >= 0:
        return [(f"multi_layers.{b}.{own}.{block[2]}", value) for b in branches]
    if key.startswith("norm_f."):
        return [(f"norm_fs.{b}.{key.removeprefix('norm_f.')}", value) for b in branches]
    return [(key, value)]
