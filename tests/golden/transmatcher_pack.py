"""A reference pack of TransMatcher: what it holds, and our modules with its weights.

Every size, flag and tolerance comes from the pack; see `prefixes` and `how` in its JSON.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.transmatcher import METHOD, TransMatcher, TransMatcherRecipe
from reid.methods.transmatcher.matcher import MaximumMatcher
from reid.nn.checkpoint import load_state

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
FACTS = DataFacts(num_classes=1, num_cameras=1, num_views=1)  # none of them matters


@dataclass(frozen=True)
class Pack:
    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    weights: dict[str, Tensor]

    @property
    def config(self) -> dict[str, Any]:
        return self.facts["config"]

    def close(self, found: Any, expected: Any, kind: str = "default", name: str = "") -> None:
        bounds = self.facts["tolerance"][kind]
        found, expected = (torch.as_tensor(value).detach() for value in (found, expected))
        assert found.shape == expected.shape, name
        rtol, atol = bounds.get("rtol", 0), bounds.get("atol", 0)
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol, err_msg=name)

    def recipe(self, **model: Any) -> TransMatcherRecipe:
        c = self.config
        trunk = dict(c["trunk"])
        plain = {
            "ibn": trunk.pop("ibn") or "none",
            "backbone": trunk,
            "final_layer": c["final_layer"],
            "neck": max(c["neck"], 0),
            "layers": c["layers"],
            "heads": c["heads"],
            "encoder_width": c["enc_ff"],
            "head_width": c["ff2"],
        }
        height, width = c["image"]
        return TransMatcherRecipe.model_validate(
            {
                "image": {"height": height, "width": width},
                "optimiser": {"learning_rate": 0.005},
                "model": {**plain, **model},
            }
        )

    def network(self) -> TransMatcher:
        """The feature network with the matcher that belongs to it."""
        network = METHOD.build(self.recipe(), FACTS)
        assert isinstance(network, TransMatcher)
        state = {**self._weights("model."), **self._weights("full_", "full_criterion.")}
        load_state(network, network.fit_checkpoint(METHOD.convert_checkpoint(state)))
        return network

    def matcher(self) -> MaximumMatcher:
        """The matcher alone, which has sizes of its own."""
        c = self.config
        model = self.recipe(neck=c["dim"], heads=1, head_width=c["ff"]).model
        matcher = MaximumMatcher(model, c["h"] * c["w"])
        state = self._weights("criterion.matcher.")
        load_state(matcher, state, drop=("decoder_layer.*",))
        return matcher

    def maps(self, name: str) -> Tensor:
        """Maps [n, h, w, d·layers] in our order, [n, layers, L, d]."""
        maps = self.tensors[name]
        n, h, w, _ = maps.shape
        return maps.view(n, h * w, self.config["layers"], -1).transpose(1, 2)

    def batch(self, images: str, labels: str) -> Batch:
        ids = self.tensors[labels]
        return Batch(self.tensors[images], ids, ids * 0, ids * 0, ids * 0)

    def _weights(self, prefix: str, group: str | None = None) -> dict[str, Tensor]:
        chosen = {k: v for k, v in self.weights.items() if k.startswith(group or prefix)}
        assert chosen, prefix
        return {key.removeprefix(prefix): value for key, value in chosen.items()}


def packs() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/pack.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if "m.query_maps" in facts.get("tensors", {}):
            yield pytest.param(path, id=path.parent.name)


def read_pack(path: Path) -> Pack:
    facts = json.loads(path.read_text(encoding="utf-8"))
    tensors, weights = (
        load_file(path.with_name(f"{name}.safetensors")) for name in ("tensors", "weights")
    )
    return Pack(facts, tensors, weights)
