"""Weights from a file into a network, with a report of every key and no silent difference."""

import re
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from reid.errors import CheckpointError, first_line

Resize = Callable[[Tensor], Tensor]
WRAPPERS = ("model", "state_dict")


@dataclass(frozen=True)
class LoadReport:
    """What became of every key.

    Attributes:
        loaded: Keys copied as they are.
        resized: Keys that were resampled to the shape of the network.
        dropped: Keys of the file that the network deliberately leaves out.
        missing: Keys of the network that the file does not hold and that keep their values.
    """

    loaded: tuple[str, ...] = ()
    resized: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def summary(self) -> str:
        """Return one line with the counts, naming the keys that were not simply loaded."""
        parts = [f"{len(self.loaded)} tensors loaded"]
        for name in ("resized", "dropped", "missing"):
            keys: tuple[str, ...] = getattr(self, name)
            if keys:
                more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
                parts.append(f"{len(keys)} {name} ({', '.join(keys[:3])}{more})")
        return ", ".join(parts)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a flat state dict; nothing in the file is executed.

    A mapping below `model` or `state_dict` is unwrapped and the prefix `module.` of data-parallel
    training is removed. A loss with weights of its own, `criterion` beside `model`, keeps that name
    as a prefix.

    Args:
        path: A `.safetensors` file, or anything `torch.load` reads with `weights_only=True`.

    Raises:
        CheckpointError: The file is missing, unsafe, damaged, or holds something else than tensors.
    """
    whole = read_mapping(path)
    state = only_tensors(unwrap(whole, WRAPPERS), path)
    criterion = whole.get("criterion")
    if isinstance(whole.get("model"), Mapping) and isinstance(criterion, Mapping):
        own = only_tensors(criterion, path)
        state |= {f"criterion.{key.removeprefix('module.')}": own[key] for key in own}
    return {key.removeprefix("module."): value for key, value in state.items()}


def read_mapping(path: Path) -> Mapping[str, object]:
    """Read what a file of weights holds, training state included; nothing in it is executed.

    Beside tensors and plain values only `argparse.Namespace` may occur, which self-supervised
    training files keep their options in: it has no behaviour, and its attributes are checked alike.

    Raises:
        CheckpointError: The file is missing, unsafe, damaged, or no mapping.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file", "a file of weights", "Check the path.")
    return _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)


def unwrap(state: Mapping[str, object], wrappers: Sequence[str]) -> Mapping[str, object]:
    """Return the mapping below each of these keys in turn, as far as they are there."""
    for wrapper in wrappers:
        inner = state.get(wrapper)
        state = inner if isinstance(inner, Mapping) else state
    return state


def only_tensors(state: Mapping[str, object], path: Path) -> dict[str, Tensor]:
    """Return a flat state dict, or raise `CheckpointError` naming the first other value."""
    weights = {}
    for key, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: '{key}' is {type(value).__name__}",
                "only tensors, flat or below 'model' or 'state_dict'",
                "Save the state dict of the network alone.",
            )
        weights[str(key)] = value
    return weights


def load_state(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    allow_missing: Sequence[str] = (),
    drop: Sequence[str] = (),
    resize: Mapping[str, Resize] | None = None,
) -> LoadReport:
    """Copy `state` into `network`; any difference that is not announced is an error.

    Args:
        allow_missing: Shell patterns of network keys that the state may lack.
        drop: Shell patterns of state keys that are left out.
        resize: For single keys, how to bring a tensor of another shape to that of the network.

    Raises:
        CheckpointError: Unknown keys, missing keys or other shapes; the network is left unchanged.
    """
    own = network.state_dict()
    dropped = tuple(key for key in state if _matches(key, drop))
    kept = {key: value for key, value in state.items() if key not in dropped}
    resized = []
    for key, convert in (resize or {}).items():
        if key in kept and key in own and kept[key].shape != own[key].shape:
            kept[key] = convert(kept[key])
            resized.append(key)
    missing = tuple(key for key in own if key not in kept)
    _refuse(own, kept, [key for key in missing if not _matches(key, allow_missing)])
    network.load_state_dict(kept, strict=False)
    loaded = tuple(key for key in kept if key not in resized)
    return LoadReport(loaded, tuple(resized), dropped, missing)


def _refuse(own: Mapping[str, Tensor], state: Mapping[str, Tensor], missing: list[str]) -> None:
    faults = []
    unknown = [key for key in state if key not in own]
    if unknown:
        faults.append(f"{len(unknown)} unknown keys (first '{unknown[0]}')")
    if missing:
        faults.append(f"{len(missing)} missing keys (first '{missing[0]}')")
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    if shapes:
        key = shapes[0]
        faults.append(
            f"{len(shapes)} other shapes (first '{key}' is {list(state[key].shape)} in the file "
            f"and {list(own[key].shape)} in the network)"
        )
    if faults:
        raise CheckpointError(
            f"the weights do not fit the network: {', '.join(faults)}",
            "the same architecture, image size, classes and cameras",
            "Build the network with the recipe and data that the weights were made with.",
        )


def _matches(key: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in patterns)


def _read_safetensors(path: Path) -> Mapping[str, object]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise _unreadable(path, error) from None


def _read_pickle(path: Path) -> Mapping[str, object]:
    try:
        with torch.serialization.safe_globals([Namespace]):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(state, Mapping):
        raise CheckpointError(
            f"{path}: holds {type(state).__name__}",
            "a mapping of names to tensors",
            "Save the state dict of the network.",
        )
    return state


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    foreign = re.search(r"GLOBAL (?:`)?([\w.]+)", str(error))
    reason = f"it holds an object of {foreign[1]}" if foreign else first_line(error)
    return CheckpointError(
        f"{path}: cannot be read as plain weights ({reason})",
        "a safetensors file or a state dict of tensors without other Python objects",
        "Fetch the file again, or have somebody who trusts it save its state dict alone.",
    )
