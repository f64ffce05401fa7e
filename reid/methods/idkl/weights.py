"""Foreign weights for IDKL: residual networks, and published checkpoints."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.idkl.network import Idkl
from reid.nn.checkpoint import LoadReport, load_state, read_weights
from reid.nn.hub import fetch_timm_weights, timm_name

_FRONT = r"(conv1|bn1|layer[12])\..+"
_LATE = r"layer[34]\..+"
_TRUNKS = (
    (r"backbone\.shared_module_fr\.model_sh_fr\.", _FRONT, "front."),
    (r"backbone\.shared_module_bh\.model_sh_bh\.", _LATE, "shared.stages."),
    (r"backbone\.special\.special_module\.", _LATE, "specific.stages."),
)
_HEADS = {
    "backbone.IN.": "purifier.norm.",
    "backbone.mask1.channel_attention.": "purifier.reduce.",
    "backbone.mask2.channel_attention.": "purifier.enhance.",
    "bn_neck.": "shared.neck.",
    "bn_neck_sp.": "specific.neck.",
    "classifier.": "shared.classifier.",
    "classifier_sp.": "specific.classifier.",
    "C_sp_f.": "certainty.",
    "D_special.": "discriminator.",
    "D_shared_pseu.": "confuser.",
}
_OLDER_PURIFIER = "backbone.special_att."
_COUNTERS = "*.num_batches_tracked"  # of batch norms, which old files do not have
_HEADS_ONLY = ("purifier.*", "certainty.*", "discriminator.*", "confuser.*")
_OF_BRANCHES = ("*.neck.*", "*.classifier.*")


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load front and both branches from the weights of one whole residual network.

    Args:
        source: A file in torchvision's naming, or `timm:<model name>`.

    Raises:
        CheckpointError: The weights are those of another architecture.
    """
    if not isinstance(network, Idkl):
        raise TypeError(f"{type(network).__name__} is no IDKL network")
    name = timm_name(source)
    state = read_weights(Path(source)) if name is None else fetch_timm_weights(name)
    if any(re.match(prefix, key) for prefix, _, _ in _TRUNKS for key in state):
        raise CheckpointError(
            f"{source}: a whole IDKL checkpoint",
            "a residual network in `pretrained`",
            "Turn the checkpoint into a model with `reid import`.",
        )
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if re.fullmatch(_LATE, key):
            renamed |= {f"{branch}.stages.{key}": value for branch in ("shared", "specific")}
        else:
            renamed[key if key.startswith("fc.") else f"front.{key}"] = value
    absent = (_COUNTERS, *_HEADS_ONLY, *_OF_BRANCHES)
    return load_state(network, renamed, allow_missing=absent, drop=("fc.*",))


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a checkpoint of the published code.

    Of its three residual networks the parts that nobody runs are left out, and so is an older
    purifier. A key that the published code does not write stays as it is, so that it is noticed.

    Raises:
        CheckpointError: The state dict is not that of an IDKL checkpoint.
    """
    converted = {}
    for key, value in state.items():
        own = _our_name(key)
        if own is not None:
            converted[own] = value
    if not {"front.conv1.weight", "shared.classifier.weight"} <= converted.keys():
        raise CheckpointError(
            f"a state dict of {len(state)} keys without the residual networks and the classifier "
            "of IDKL",
            "a published IDKL checkpoint",
            "Check the file and the method; a residual network goes into `pretrained`.",
        )
    return converted


def _our_name(key: str) -> str | None:
    for prefix, used, own in _TRUNKS:
        found = re.match(prefix, key)
        if found:
            rest = key[found.end() :]
            return f"{own}{rest}" if re.fullmatch(used, rest) else None
    for prefix, own in _HEADS.items():
        if key.startswith(prefix):
            return f"{own}{key.removeprefix(prefix)}"
    return None if key.startswith(_OLDER_PURIFIER) else key
