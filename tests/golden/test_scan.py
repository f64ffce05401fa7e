"""The selective scan on every backend against values computed in double precision.

Every case, size and tolerance comes from the pack.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from reid.nn.scan.backends import BACKENDS, Backend, missing_reason
from reid.nn.scan.selective import selective_scan

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
INPUTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
USABLE = [name for name in BACKENDS if missing_reason(name, "cpu") is None]
DOUBLE = [name for name in USABLE if missing_reason(name, "cpu", torch.float64) is None]


def _cases() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/meta.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if "scan" in facts:
            for name in facts["scan"]["cases"]:
                yield pytest.param(path, name, id=f"{path.parent.name}-{name}")


def _bound(facts: dict[str, Any], kind: str) -> float:
    return float(re.findall(r"\d[\d.]*(?:e-?\d+)?", facts["tolerance"][kind].split("<=")[1])[0])


def _errors(pack: Path, case: str, backend: Backend, kind: torch.dtype) -> dict[str, float]:
    """Return how far everything is from the truth, relative to it."""
    tensors = load_file(pack.with_name("scan.safetensors"))
    given = {
        name: tensors[key].to(kind).requires_grad_()
        for name in INPUTS
        if (key := f"{case}.{name}") in tensors
    }
    out, last = selective_scan(**given, backend=backend)
    assert not last.requires_grad
    out.backward(tensors[f"{case}.dout"].to(kind))
    grads = {f"grad_{name}": x.grad for name, x in given.items() if x.grad is not None}
    found = {"out": out.detach(), "last_state": last, **grads}
    expected = {name for name in tensors if re.match(rf"{case}\.(out|last_state|grad_\w+)$", name)}
    assert {f"{case}.{name}" for name in found} == expected
    errors = {}
    for name, x in found.items():
        truth = tensors[f"{case}.{name}"]
        gap = x.double() - truth
        order = 2.0 if name.startswith("grad") and kind == torch.float32 else torch.inf
        size = [float(torch.linalg.vector_norm(values, order)) for values in (gap, truth)]
        errors[name] = size[0] / size[1] if size[1] else size[0]  # A has no gradient at one step
    return errors


@pytest.mark.parametrize("backend", USABLE)
@pytest.mark.parametrize(("pack", "case"), _cases())
def test_single_precision(pack: Path, case: str, backend: Backend) -> None:
    facts = json.loads(pack.read_text(encoding="utf-8"))
    for name, error in _errors(pack, case, backend, torch.float32).items():
        kind = "gradients" if name.startswith("grad") else "forward"
        assert error <= _bound(facts, f"scan float32 {kind}"), (name, error)


@pytest.mark.parametrize("backend", DOUBLE)
@pytest.mark.parametrize(("pack", "case"), _cases())
def test_double_precision(pack: Path, case: str, backend: Backend) -> None:
    facts = json.loads(pack.read_text(encoding="utf-8"))
    for name, error in _errors(pack, case, backend, torch.float64).items():
        assert error <= _bound(facts, "scan float64"), (name, error)


def test_all_cpu_backends_are_there() -> None:
    assert set(USABLE) == {"native", "torch", "reference"}
    assert set(DOUBLE) == {"torch", "reference"}
