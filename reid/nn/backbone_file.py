"""A pretrained backbone on disk, with what its weights cannot say about themselves."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from reid.params import Params
from reid.recipe import Triple

_KEY = "backbone"


class BackboneFacts(Params):
    """How the images of the pretraining looked.

    Attributes:
        grid: Patches per column and per row that the position embedding was learned on.
        image_size: Height and width in pixels.
        mean, std: Normalisation of the pixels; fine-tuning may use another and must know.
    """

    grid: tuple[int, int]
    image_size: tuple[int, int]
    mean: Triple
    std: Triple


def save_backbone(path: Path, state: Mapping[str, Tensor], facts: BackboneFacts) -> None:
    """Write weights and facts into one safetensors file; equal arguments give equal bytes."""
    plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    save_file(plain, path, metadata={_KEY: facts.model_dump_json()})


def read_facts(path: Path) -> BackboneFacts | None:
    """Return the facts of a file that `save_backbone` wrote; None for any other file."""
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(_KEY)
    return None if text is None else BackboneFacts.model_validate_json(text)
