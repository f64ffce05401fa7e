"""ReIDMamba's losses, learning rate and re-ranking against what the published code computed.

Every size, flag, case and tolerance comes from the pack; see `meaning` in its JSON.
"""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from reid.losses.rank_correlation import inter_loss, intra_loss
from reid.losses.smoothed_identity import smoothed_identity_loss
from reid.losses.triplet_variants import TripletVariant, variant_triplet_loss
from reid.recipe import ScheduleRecipe
from reid.retrieval.distance import distance_blocks, normalise
from reid.retrieval.labels import Labels
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    inverse_negative_penalty,
    mean_of_valid,
)
from reid.retrieval.ranking import rank_blocks
from reid.retrieval.reranking import RerankParams
from reid.retrieval.reranking_variants import variant_blocks
from reid.training.schedule import WARMUP_START, IterationCosine
from tests.golden.reference_pack import ReferencePack

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
LOSSES = "ratr/triplet/ce values"
REGULARISERS = {"intra": intra_loss, "inter": inter_loss}
CHOICES = {
    "margin": "margin",
    "squared": "squared",
    "normalize_embeddings": "normalised",
    "pos_mining": "positives",
    "neg_mining": "negatives",
}
BLOCK = 5


class Pack(ReferencePack):
    @property
    def gradient_tolerance(self) -> float:
        found = re.search(r"gradients rel L2 (\S+)", self.facts["tolerance"][LOSSES])
        assert found
        return float(found[1])

    @property
    def labels(self) -> Tensor:
        return self.tensors["ratr.labels"]

    @property
    def sides(self) -> tuple[np.ndarray, np.ndarray]:
        """Features of queries and gallery."""
        count = self.config["rr"][0]
        features = self.tensors["rr.feat"].numpy()
        return features[:count], features[count:]

    @property
    def rerank(self) -> RerankParams:
        (entry,) = (text for text in self.facts["meaning"].values() if "rr.final = " in text)
        lambda_ = re.search(r"rr\.final = ([\d.]+)\*", str(entry))
        assert lambda_, entry
        return RerankParams(self.config["k1"], self.config["k2"], float(lambda_[1]))

    def close_value(self, found: Tensor, expected: float, kind: str) -> None:
        assert float(found.detach()) == pytest.approx(expected, rel=self.tolerance(kind), abs=0)

    def close_gradient(self, found: Tensor | None, name: str) -> None:
        expected = self.tensors[name]
        assert found is not None, name
        error = float((found - expected).norm())
        assert error <= self.gradient_tolerance * float(expected.norm()), name


def _packs() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/meta.json")):
        if {"triplet_variants", "lr_trace_per_iteration"} <= json.loads(path.read_text()).keys():
            yield pytest.param(path, id=path.parent.name)


@pytest.fixture(params=list(_packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    path: Path = request.param
    return Pack(json.loads(path.read_text()), load_file(path.with_name("vectors.safetensors")))


@pytest.mark.parametrize("kind", REGULARISERS)
def test_rank_correlation(pack: Pack, kind: str) -> None:
    branches = pack.config["ratr"][3]
    features = [pack.tensors[f"ratr.feat{b}"].clone().requires_grad_() for b in range(branches)]
    value = REGULARISERS[kind](features, pack.labels, pack.config["tau"])
    pack.close_value(value, float(pack.tensors[f"ratr.{kind}"]), LOSSES)
    value.backward()
    for branch, feature in enumerate(features):
        pack.close_gradient(feature.grad, f"ratr.{kind}.grad{branch}")


@pytest.mark.parametrize("kind", REGULARISERS)
def test_rank_correlation_of_a_shuffled_batch(pack: Pack, kind: str) -> None:
    order = torch.randperm(len(pack.labels), generator=torch.Generator().manual_seed(0))
    features = [pack.tensors[f"ratr.feat{b}"][order] for b in range(pack.config["ratr"][3])]
    value = REGULARISERS[kind](features, pack.labels[order], pack.config["tau"])
    pack.close_value(value, float(pack.tensors[f"ratr.{kind}"]), LOSSES)


def test_triplet_variants(pack: Pack) -> None:
    checked = set()
    for name, arguments in pack.facts["triplet_variants"].items():
        given = {CHOICES[key]: value for key, value in arguments.items()}
        margin = given.pop("margin") or None  # none is the soft margin, which we call null
        variant = TripletVariant.model_validate(given)
        features = pack.tensors["triplet.feat"].clone().requires_grad_()
        value = variant_triplet_loss(features, pack.labels, margin, variant)
        pack.close_value(value, float(pack.tensors[f"triplet.{name}"]), LOSSES)
        checked.add(f"triplet.{name}")
        if f"triplet.{name}.grad" in pack.tensors:
            (gradient,) = torch.autograd.grad(value, features)
            pack.close_gradient(gradient, f"triplet.{name}.grad")
            checked.add(f"triplet.{name}.grad")
    assert checked == {k for k in pack.tensors if k.startswith("triplet.")} - {"triplet.feat"}


def test_smoothed_cross_entropy(pack: Pack) -> None:
    value = smoothed_identity_loss(pack.tensors["ce.logits"], pack.labels, pack.config["smooth"])
    pack.close_value(value, float(pack.tensors["ce.value"]), LOSSES)


def test_losses_of_a_training_step(pack: Pack) -> None:
    c, labels, expected = pack.config, pack.tensors["in.pids"], pack.facts["losses"]
    margin, variant = c["margin"] or None, TripletVariant()
    features = [pack.tensors[f"train.feat{b}"] for b in range(c["num_branches"])]
    logits = [pack.tensors[f"train.logits{b}"] for b in range(c["num_branches"])]
    unit = [F.normalize(feature, dim=1) for feature in features]
    found = {
        "ratr_intra_loss": intra_loss(unit, labels, c["tau"]),
        "ratr_inter_loss": inter_loss(unit, labels, c["tau"]),
    }
    for branch, (feature, logit) in enumerate(zip(features, logits, strict=True)):
        found[f"triplet_loss-{branch}"] = variant_triplet_loss(feature, labels, margin, variant)
        found[f"cross_entropy_loss-{branch}"] = smoothed_identity_loss(logit, labels, c["smooth"])
    for name, value in found.items():
        pack.close_value(value, expected[name], "losses")
    # means over the branches and their weighted sum are left to the network
    assert expected.keys() - found.keys() == {"triplet_loss", "cross_entropy_loss", "total"}


def test_learning_rates(pack: Pack) -> None:
    sizes, trace = pack.config["lr"], pack.facts["lr_trace_per_iteration"]
    warmup = sizes["warmup_iters"]
    base = trace[0] / WARMUP_START if warmup else trace[0]
    schedule = ScheduleRecipe(
        name="iteration_cosine",
        epochs=sizes["epochs"],
        warmup_iterations=warmup,
        cosine_epochs=sizes["T_max"],
    )
    cosine, found = IterationCosine(schedule, base), []
    for _ in range(schedule.epochs):
        cosine.start_epoch(len(found))
        found += [
            cosine.rate(base, len(found) + batch) for batch in range(sizes["iters_per_epoch"])
        ]
    assert found == pytest.approx(trace, rel=pack.tolerance("idx.*, lr trace"), abs=0)


def test_reranked_distances(pack: Pack) -> None:
    given = pack.rerank
    for lambda_, name in ((0.0, "rr.jaccard"), (given.lambda_, "rr.final")):
        params = RerankParams(given.k1, given.k2, lambda_)
        found = np.concatenate(list(variant_blocks("openunreid", *pack.sides, params, BLOCK)))
        error = np.abs(found - pack.tensors[name].numpy()).max()
        assert error <= pack.tolerance("rr.jaccard, rr.final"), name


def test_metrics(pack: Pack) -> None:
    ids, cameras = (pack.tensors[name].numpy() for name in ("rr.ids", "rr.cams"))
    split = pack.config["rr"][0]
    labels = Labels(ids[:split], cameras[:split], ids[split:], cameras[split:])
    query, gallery = pack.sides
    sources: dict[str, Callable[[], Iterator[np.ndarray]]] = {
        "plain": lambda: distance_blocks(normalise(query), normalise(gallery), block_size=BLOCK),
        "rerank": lambda: variant_blocks("openunreid", query, gallery, pack.rerank, BLOCK),
    }
    assert pack.facts["metrics"].keys() == sources.keys()
    for kind, expected in pack.facts["metrics"].items():
        ranking = rank_blocks(sources[kind](), labels)
        curve = cumulative_matching(first_match_rank(ranking))
        found = {
            "mAP": mean_of_valid(average_precision(ranking)),
            "mINP": mean_of_valid(inverse_negative_penalty(ranking)),
        }
        for name, value in expected.items():
            made = found[name] if name in found else curve[int(name.removeprefix("rank")) - 1]
            assert abs(made - value) <= pack.tolerance("metrics"), (kind, name)
