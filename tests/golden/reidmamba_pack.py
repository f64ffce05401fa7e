"""A reference pack of ReIDMamba: what it holds, and our network with its weights.

Every size, flag, case and tolerance comes from the pack; see `meaning` in its JSON.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.reidmamba import METHOD, ReIDMamba, ReidMambaRecipe
from reid.nn.checkpoint import load_state
from reid.params import merge
from tests.golden.reference_pack import ReferencePack

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
FUSIONS = {"max": "max", "avg": "mean", "gem": "gem"}


class Pack(ReferencePack):
    def tolerance(self, kind: str) -> float:
        (number,) = re.findall(r"\d+(?:\.\d+)?e-\d+", self.facts["tolerance"][kind])[:1]
        return float(number)

    def close(self, found: Tensor, name: str) -> None:
        expected = self.tensors[name]
        assert found.shape == expected.shape, name
        bound = self.tolerance("model float32 outputs and mid.*") * float(expected.abs().max())
        assert float((found.detach() - expected).abs().max()) <= bound, name

    def close_loss(self, found: Tensor | float, expected: float) -> None:
        wanted = pytest.approx(expected, rel=self.tolerance("losses"))
        assert torch.as_tensor(found).item() == wanted

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.group("model/")

    def recipe(self, **changes: Any) -> ReidMambaRecipe:
        c = self.config
        persons, images = c["PK"]
        triplet, identity, intra, inter = c["loss_weights"]
        plain = {
            "image": {"height": c["img"][0], "width": c["img"][1]},
            "sampler": {"identities": persons, "images": images},
            "optimiser": {"learning_rate": 0.008},
            "model": {
                "backbone": {"embed": c["dim"], "depth": c["depth"]},
                "patch": c["patch"],
                "stride": c["stride"],
                "drop_path": 0.0,
                "tokens": c["num_cls_tokens"],
                "branches": c["num_branches"],
                "fusion": FUSIONS[c["fusion"]],
                "reduction": c["cls_reduce"],
                "side_information": {"camera": c["use_cid"], "weight": c["sie_coef"]},
            },
            "loss": {
                "label_smoothing": c["smooth"],
                "margin": c["margin"] or None,
                "id_weight": identity,
                "triplet_weight": triplet,
                "rank": {"temperature": c["tau"]},
            },
        }
        if c["num_branches"] > 1:
            plain["loss"]["rank"] |= {"intra_weight": intra, "inter_weight": inter}
        return ReidMambaRecipe.model_validate(merge(plain, changes))

    def build(self, **changes: Any) -> ReIDMamba:
        """The network of the pack with fresh weights."""
        c = self.config
        facts = DataFacts(c["num_classes"], c["num_cids"] if c["use_cid"] else 1, 1)
        network = METHOD.build(self.recipe(**changes), facts)
        assert isinstance(network, ReIDMamba)
        return network

    def network(self, extra: Mapping[str, Tensor] | None = None, **changes: Any) -> ReIDMamba:
        network = self.build(**changes)
        weights = METHOD.convert_checkpoint({**self.weights, **(extra or {})})
        load_state(network, weights, drop=() if network.gems else ("gems.*",))
        return network

    @property
    def batch(self) -> Batch:
        images = self.tensors["in.images_u8"].float() / 127.5 - 1
        labels, cameras = self.tensors["in.pids"], self.tensors["in.cids"]
        return Batch(images, labels, cameras, labels * 0, labels * 0)


def packs() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/meta.json")):
        if {"pretrained_key_map_exact", "param_grad_l2"} <= json.loads(path.read_text()).keys():
            yield pytest.param(path, id=path.parent.name)


def read_pack(path: Path) -> Pack:
    tensors = load_file(path.with_name("vectors.safetensors"))
    weights = load_file(path.with_name("model.safetensors"))
    return Pack(
        json.loads(path.read_text()), tensors | {f"model/{k}": v for k, v in weights.items()}
    )
