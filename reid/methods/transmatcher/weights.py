"""Foreign weights for TransMatcher: residual networks, and published checkpoints."""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError
from reid.methods.base import EmbeddingNetwork
from reid.methods.transmatcher.network import TransMatcher
from reid.nn.checkpoint import LoadReport, load_state, read_weights
from reid.nn.hub import fetch_timm_weights, timm_name

_MODEL = re.compile(r"(base|neck_conv|encoder)\.")
_CRITERION = "criterion."
_TEMPLATE = "criterion.matcher.decoder_layer."  # of the layers; nothing ever used it
_COUNTERS = "*.num_batches_tracked"  # of batch norms, which old files do not have
_FIRST_PRIOR = "criterion.matcher.decoder.layers.0.score_embed"


def load_pretrained(network: EmbeddingNetwork, source: Path | str) -> LoadReport:
    """Load the backbone from weights in torchvision's or IBN-Net's naming.

    Stages behind the last one that is run, and the classifier, are dropped.

    Args:
        source: A file, or `timm:<model name>` for a backbone without instance norms.

    Raises:
        CheckpointError: The weights are those of another architecture.
    """
    if not isinstance(network, TransMatcher):
        raise TypeError(f"{type(network).__name__} is no TransMatcher network")
    name = timm_name(source)
    if name is not None and network.ibn != "none":
        raise CheckpointError(
            f"pretrained is '{source}' with model.ibn {network.ibn}",
            "a file of IBN-Net, whose weights timm does not have under these names",
            f"Fetch its weights of kind {network.ibn}, or set `model.ibn: none`.",
        )
    state = read_weights(Path(source)) if name is None else fetch_timm_weights(name)
    base = network.features.base
    return load_state(base, state, allow_missing=(_COUNTERS,), drop=base.left_out(state))


def convert_checkpoint(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the state dict of a checkpoint of the published code.

    Args:
        state: What it has under `model`, and under `criterion` with that name before the keys.

    Raises:
        CheckpointError: The state dict is not that of a TransMatcher checkpoint.
    """
    if "base.conv1.weight" not in state or _FIRST_PRIOR not in state:
        raise CheckpointError(
            f"a state dict of {len(state)} keys without 'base.conv1.weight' and '{_FIRST_PRIOR}'",
            "a TransMatcher checkpoint, with its network under 'model' and its matcher under "
            "'criterion'",
            "Check the file and the method; a residual network goes into `pretrained`.",
        )
    converted = {}
    for key, value in state.items():
        if not key.startswith(_TEMPLATE):
            own = f"features.{key}" if _MODEL.match(key) else key.removeprefix(_CRITERION)
            converted[own] = value
    return converted
