"""Weights by their name in timm, for users who have its hub at hand."""

from pathlib import Path

from torch import Tensor

from reid.errors import CheckpointError

TIMM_PREFIX = "timm:"


def timm_name(source: Path | str) -> str | None:
    """Return the model's name if `source` is `timm:<model name>`, and None for a file."""
    named = isinstance(source, str) and source.startswith(TIMM_PREFIX)
    return str(source).removeprefix(TIMM_PREFIX) if named else None


def fetch_timm_weights(name: str) -> dict[str, Tensor]:
    """Fetch the state dict of a model with its weights.

    Raises:
        CheckpointError: timm has no such model.
    """
    import timm  # takes seconds, and only this needs it

    if not timm.is_model(name):
        raise CheckpointError(
            f"timm has no model '{name}'",
            "a name that `timm.list_models()` gives",
            "Correct `pretrained` in the recipe.",
        )
    state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return state
