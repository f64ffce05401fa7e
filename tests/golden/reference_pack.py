"""What the packs of reference tensors have in common: their JSON, tensors and tolerances."""

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class ReferencePack:
    facts: dict[str, Any]
    tensors: dict[str, Tensor]

    @property
    def config(self) -> dict[str, Any]:
        return self.facts["config"]

    def tolerance(self, kind: str) -> float:
        return float(re.findall(r"\d[\d.]*(?:e-?\d+)?", self.facts["tolerance"][kind])[0])

    def group(self, prefix: str) -> dict[str, Tensor]:
        found = {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}
        assert found, prefix
        return found

    def close(self, found: Tensor, name: str) -> None:
        expected = self.tensors[name]
        assert found.shape == expected.shape, name
        bound = self.tolerance("forward_float32") * max(1.0, float(expected.abs().max()))
        assert float((found.detach() - expected).abs().max()) <= bound, name

    def close_loss(self, found: Tensor | float, expected: float) -> None:
        assert abs(torch.as_tensor(found).item() - expected) <= self.tolerance("losses")
