"""A reference pack of IDKL: what it holds, and our network with its weights.

Every size, flag and tolerance comes from the pack; see `prefixes` and `how` in its JSON.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from reid.methods.base import DataFacts
from reid.methods.idkl import METHOD, Idkl, IdklRecipe
from reid.nn.checkpoint import load_state

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))

INFRARED = (3, 6)
"""Camera codes that are infrared."""

# what the published code weighs its losses with, by the size of the batch
WEIGHTS_OF_120 = {
    "graph_within": 0.6,
    "graph_across": 1.0,
    "graph_mixed": 1.0,
    "logits_within": 0.8,
    "logits_across": 1.0,
    "grouped_within": 0.8,
    "grouped_across": 1.0,
    "purifier": 0.1,
}
OTHER_WEIGHTS = {
    "graph_within": 0.1,
    "graph_across": 0.1,
    "graph_mixed": 0.0,
    "logits_within": 0.3,
    "logits_across": 1.0,
    "grouped_within": 0.3,
    "grouped_across": 1.0,
    "purifier": 0.1,
}

# the pack's name of each term, and ours
TERMS = {
    "tri_sh": "triplet_shared",
    "tri_sp": "triplet_specific",
    "tgsa_inter_v": "graph_visible",
    "tgsa_inter_i": "graph_infrared",
    "tgsa_intra_vi": "graph_across",
    "tgsa_intra_v_mix": "graph_mixed_visible",
    "tgsa_intra_mix_i": "graph_mixed_infrared",
    "csa1_inter_v": "logits_visible",
    "csa1_inter_i": "logits_infrared",
    "csa1_intra": "logits_across",
    "csa2_inter_v": "grouped_visible",
    "csa2_inter_i": "grouped_infrared",
    "csa2_intra": "grouped_across",
    "ip_entropy": "purifier_certainty",
    "ip_centroid": "purifier_discrepancy",
    "ce_sp": "identity_specific",
    "modality_ce_sp": "modality_specific",
    "modality_ce_sh_pseudo": "modality_shared",
    "ce_sh": "identity_shared",
}


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

    def recipe(self, weights: dict[str, float], images: int, **loss: Any) -> IdklRecipe:
        """The recipe of the pack's network, as the published code trains it."""
        c = self.config
        width, (height, columns) = c["width"], c["img"]
        backbone = {
            "stem": width,
            "planes": [width * factor for factor in (1, 2, 4, 8)],
            "blocks": c["blocks"],
        }
        return IdklRecipe.model_validate(
            {
                "image": {"height": height, "width": columns},
                "sampler": {"identities": c["p"], "images": images},
                "optimiser": {"learning_rate": 0.1},
                "model": {"backbone": backbone, "last_stride": 1 if c["drop_last_stride"] else 2},
                "loss": {
                    "margin": c["margin"],
                    "confuser": "rolled_labels",
                    "weights": weights,
                    **loss,
                },
            }
        )

    def network(self, recipe: IdklRecipe, head: bool = False) -> Idkl:
        """The network with the pack's weights, in training mode but without dropout.

        Args:
            head: With the classifiers that belong to the features of part `h`.
        """
        own = {
            key.removeprefix("head."): self.weights[key] for key in self.weights if "head." in key
        }
        plain = {key: value for key, value in self.weights.items() if not key.startswith("head.")}
        state = plain | own if head else plain
        classes = len(state["classifier.weight"])
        network = METHOD.build(recipe, DataFacts(classes, 1, 1))
        assert isinstance(network, Idkl)
        load_state(network, network.fit_checkpoint(METHOD.convert_checkpoint(state)))
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return network.train()


def read(path: Path) -> Pack:
    """Read a pack from the path of its JSON."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    tensors, weights = (
        load_file(path.with_name(f"{n}.safetensors")) for n in ("tensors", "weights")
    )
    return Pack(facts, tensors, weights)


def paths() -> list[Path]:
    """Return the packs of IDKL: those with the network's terms of its losses."""
    found = []
    for path in sorted(ROOT.glob("*/pack.json")):
        terms = json.loads(path.read_text(encoding="utf-8")).get("n.terms", {})
        if "tgsa_intra_vi" in terms:
            found.append(path)
    return found


def modalities(cameras: Tensor) -> Tensor:
    """Return 1 for the cameras that are infrared, 0 for the others."""
    return torch.isin(cameras, torch.tensor(INFRARED)).long()
