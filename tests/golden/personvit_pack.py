"""A reference pack of PersonViT: what it holds, and our networks with its weights.

Every size, flag, case and tolerance comes from the pack; see `tensor_groups` in its JSON.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from reid.data.images import Batch
from reid.methods.base import DataFacts
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe
from reid.nn.checkpoint import load_state
from reid.params import merge
from reid.pretrain.backbone import PretrainBackbone
from reid.pretrain.distillation import SelfDistillation, TokenNetwork, Views
from reid.pretrain.head import ProjectionHead
from reid.pretrain.recipe import PretrainRecipe
from tests.golden.reference_pack import ReferencePack

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))


class Pack(ReferencePack):
    def close_norms(self, found: dict[str, Tensor], expected: dict[str, float | None]) -> None:
        """Compare the norms of gradients; None in the pack means that there is none."""
        norms = {name: norm for name, norm in expected.items() if norm is not None}
        assert found.keys() == norms.keys()
        # Some gradients are zero but for rounding: shifting a feature changes neither a distance
        # nor a batch-normalised value. The rounding of both sides counts.
        noise = 4 * np.finfo(np.float32).eps * float(np.linalg.norm(list(norms.values())))
        for name, norm in norms.items():
            bound = max(self.tolerance("gradient_norms") * norm, 1e-6) + noise
            assert abs(float(found[name].norm()) - norm) <= bound, name

    @property
    def kinds(self) -> list[str]:
        names = (re.match(r"ft\.(\w+)\.sd\.", name) for name in self.tensors)
        return sorted({name[1] for name in names if name})

    def network(self, kind: str, **changes: Any) -> PersonVit:
        c = self.config
        size = c.get(f"ft_{kind}", c["ft"])
        state = self.group(f"ft.{kind}.sd.")
        fc1 = state["base.blocks.0.mlp.fc1.weight"]
        stem = any(".patch_embed.conv." in key for key in state)
        patch = 16 if stem else state["base.patch_embed.proj.weight"].shape[-1]
        names = ("embed", "depth", "heads")
        plain = {
            "image": {"height": c["img"][0], "width": c["img"][1]},
            "optimiser": {"learning_rate": c["ft_lr"]},
            "model": {
                "backbone": {name: size[name] for name in names}
                | {"mlp_ratio": fc1.shape[0] / fc1.shape[1]},
                "patch": patch,
                "stride": tuple(size["stride"]),
                "drop_path": 0.0,
                "stem": stem,
            },
        }
        recipe = PersonVitRecipe.model_validate(merge(plain, changes))
        network = METHOD.build(recipe, DataFacts(c["classes"], 1, 1))
        assert isinstance(network, PersonVit)
        load_state(network, METHOD.convert_checkpoint(state))
        return network

    @property
    def batch(self) -> Batch:
        labels = self.tensors["ft.labels"]
        return Batch(self.tensors["ft.images"], labels, labels * 0, labels * 0, labels * 0)

    @property
    def pretraining(self) -> PretrainRecipe:
        c = self.config["ssl"]
        state = self.group("ssl.student.backbone.")
        fc1, patch = state["blocks.0.mlp.fc1.weight"], state["patch_embed.proj.weight"].shape[-1]
        size = {name: c[name] for name in ("embed", "depth", "heads")}
        start, end, patch_start, patch_end = c["temps"]
        return PretrainRecipe.model_validate(
            {
                "model": {
                    "backbone": size | {"mlp_ratio": fc1.shape[0] / fc1.shape[1]},
                    "patch": patch,
                    "stride": patch,
                    "drop_path": 0.0,
                },
                "views": {"global_size": self.tensors["ssl.in.global0"].shape[-2:]},
                "mask": {"first_epoch": c["mim_start"]},
                "head": {
                    "prototypes": c["out"],
                    "hidden": c["hidden"],
                    "bottleneck": c["bottleneck"],
                    "layers": c["nlayers"],
                    "shared": c["shared"],
                    "frozen_gain": c["norm_last"],
                },
                "loss": {
                    "lambda1": c["l1"],
                    "lambda2": c["l2"],
                    "class_temperature": {"start": start, "end": end},
                    "patch_temperature": {"start": patch_start, "end": patch_end},
                    "temperature_epochs": c["temp_warm"],
                },
                "optimiser": {
                    "learning_rate": c["lr"],
                    "warmup_epochs": c["lr_warm"],
                    "momentum": c["momentum"],
                    "clip": c["clip"],
                },
                "epochs": c["epochs"],
                "batch": c["global_batch"],
            }
        )

    def half(self, name: str) -> TokenNetwork:
        """Student or teacher with the weights of the pack."""
        recipe, shared = self.pretraining, self.config["ssl"]["shared_teacher"]
        head = (
            recipe.head if name == "student" else recipe.head.model_copy(update={"shared": shared})
        )
        network = TokenNetwork(
            PretrainBackbone(recipe.model, recipe.views.global_size, hides=name == "student"),
            ProjectionHead(recipe.model.shape.width, head),
        )
        twice = ("head.last_layer2.*",) if head.shared else ()  # the same weights again
        load_state(network, self.group(f"ssl.{name}."), drop=twice)
        return network

    def distillation(self) -> SelfDistillation:
        made = SelfDistillation(self.half("student"), self.half("teacher"), self.pretraining.loss)
        made.centres.cls.copy_(self.tensors["ssl.loss.center_cls.0"])
        made.centres.patch.copy_(self.tensors["ssl.loss.center_patch.0"][0])
        return made

    def stack(self, name: str) -> Tensor:
        given = self.group(f"ssl.in.{name}")
        return torch.stack([given[str(i)] for i in range(len(given))])

    @property
    def views(self) -> Views:
        crops = self.stack("global")
        local = self.stack("local") if self.config["ssl"]["nlocal"] else crops[:0]
        return Views(crops, local, self.stack("mask"))


def packs() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/pack.json")):
        if {"ft_plain_loss", "ssl_losses"} <= json.loads(path.read_text()).keys():
            yield pytest.param(path, id=path.parent.name)


def read_pack(path: Path) -> Pack:
    return Pack(json.loads(path.read_text()), load_file(path.with_suffix(".safetensors")))
