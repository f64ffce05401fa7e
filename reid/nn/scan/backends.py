"""Which implementation of the scan is used, and why."""

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from reid.errors import ParamsError, first_line
from reid.nn.scan.inputs import ScanInputs

Backend = Literal["auto", "cuda", "native", "torch", "reference"]
ScanFunction = Callable[[ScanInputs], tuple[Tensor, Tensor]]

BACKENDS = {
    "cuda": "reid.nn.scan.mamba_cuda",
    "native": "reid.nn.scan.native",
    "torch": "reid.nn.scan.vectorised",
    "reference": "reid.nn.scan.reference",
}
"""Modules of the backends, the fastest first."""

_log = logging.getLogger(__name__)


class Choice(NamedTuple):
    """A backend and why it was taken."""

    name: str
    reason: str


def missing_reason(name: str, device: str, kind: torch.dtype = torch.float32) -> str | None:
    """Return in a few words why a backend cannot be used on this device; None if it can."""
    if kind == torch.float64 and name in ("cuda", "native"):
        return "it has no double precision"
    if name == "native" and device != "cpu":
        return "native code is for the CPU"
    if name == "cuda" and device != "cuda":
        return "the tensors are not on a GPU"
    if name == "cuda" and not torch.cuda.is_available():
        return "there is no GPU"
    try:
        import_module(BACKENDS[name])
    except Exception as error:  # whatever a broken build raises
        return f"it does not import: {first_line(error)}"
    return None


@cache
def choose_backend(wanted: Backend, device: str, kind: torch.dtype = torch.float32) -> Choice:
    """Return the backend for tensors on a device, and say once in the log which and why.

    `auto` is the fastest that can be used: mamba-ssm's on a GPU, compiled code on the CPU, else
    torch.

    Args:
        wanted: A backend, or `auto`.
        device: Kind of device, `cpu` or `cuda`.
        kind: Type of the numbers, float32 or float64.

    Raises:
        ParamsError: The wanted one cannot be used here.
    """
    if wanted != "auto":
        missing = missing_reason(wanted, device, kind)
        if missing is not None:
            raise ParamsError(
                f"scan backend '{wanted}' cannot be used: {missing}",
                "auto, or a backend that `reid doctor` lists as usable",
                "Change `model.scan` in the recipe, or install what is missing.",
            )
        choice = Choice(wanted, "asked for")
    else:
        choice = _fastest(device, kind)
    _log.info("selective scan: %s (%s)", choice.name, choice.reason)
    return choice


def load_backend(name: str) -> ScanFunction:
    """Import the module of a backend and return its scan."""
    return cast(ScanFunction, import_module(BACKENDS[name]).scan)


def _fastest(device: str, kind: torch.dtype) -> Choice:
    passed: list[str] = []
    for name in BACKENDS:
        missing = missing_reason(name, device, kind)
        if missing is None:
            return Choice(name, "; ".join(passed) or f"the fastest on {device}")
        passed.append(f"not {name}: {missing}")
    raise RuntimeError("the reference scan is always there")
