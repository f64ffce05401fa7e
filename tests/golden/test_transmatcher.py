"""TransMatcher's network, matcher and losses against tensors computed by the published code.

An entry of the parts `m.`, `l.` and `f.` that is not known here fails.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_

from reid.losses.pairwise_matching import (
    mean_of_finite,
    pairwise_cross_entropy,
    score_gap,
    score_triplet,
)
from reid.retrieval.pair_scorer import score_distances
from tests.golden.transmatcher_pack import Pack, packs, read_pack

INPUTS = {
    "m.query_maps", "m.gallery_maps", "l.maps", "l.labels",
    "f.query_images", "f.gallery_images", "f.batch_images", "f.batch_labels",
}  # fmt: skip
FIGURES = {
    "l.grad_norms", "l.params_without_grad", "l.total_grad_norm", "l.grad_norms_after_clip",
    "f.grad_norms",
}  # fmt: skip
PARTS = {"m", "l", "f"}


@pytest.fixture(params=list(packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    return read_pack(request.param)


def test_packs_are_there() -> None:
    assert list(packs())


def test_every_figure_is_known(pack: Pack) -> None:
    found = {name for name in pack.facts if name.split(".")[0] in PARTS and "." in name}
    assert found == FIGURES


def check(pack: Pack, part: str, found: Mapping[str, Any]) -> None:
    """Compare all that the pack has of a part."""
    known = {name for name in INPUTS if name.startswith(part)} | found.keys()
    assert {name for name in pack.tensors if name.startswith(part)} == known
    for name, value in found.items():
        kind = "scores" if "score" in name else "gradients" if "grad" in name else "default"
        pack.close(value, pack.tensors[name], kind, name)


@torch.no_grad()
def test_matcher(pack: Pack) -> None:
    matcher = pack.matcher().eval()
    kept = {side: matcher.keep(pack.maps(f"m.{side}_maps")) for side in ("query", "gallery")}
    queries, gallery = kept["query"], kept["gallery"]
    found: dict[str, Any] = {}
    for i, layer in enumerate(matcher.layers):
        pooled = layer.pooled(queries[:, i], gallery[:, i])
        found[f"m.layer{i}.pooled"] = pooled.flatten(0, 1)
        found[f"m.layer{i}.score"] = layer.head(pooled)
    found["m.score"] = matcher.score(queries, gallery)
    found["m.score_swapped"] = matcher.score(gallery, queries)
    found["m.distance_eval"] = score_distances(found["m.score"].numpy())
    check(pack, "m.", found)
    scorer, rows = (
        matcher.scorer("fp32", "cpu"),
        {side: kept[side].flatten(1).numpy() for side in kept},
    )
    folded = scorer.scores(rows["query"], rows["gallery"])
    pack.close(folded, pack.tensors["m.score"], "scores")
    swapped = scorer.scores(rows["gallery"], rows["query"])
    pack.close(swapped, pack.tensors["m.score_swapped"], "scores")


def test_losses_of_the_matcher(pack: Pack) -> None:
    labels = pack.tensors["l.labels"]
    assert labels.tolist() == pack.config["labels"]
    matcher = pack.matcher().train()
    maps = pack.maps("l.maps").clone().requires_grad_()
    kept = matcher.keep(maps)
    scores = matcher.score(kept, kept)
    rows = pairwise_cross_entropy(scores, labels)
    gap = score_gap(scores, labels)
    found: dict[str, Any] = {"l.loss_per_anchor": rows, "l.loss": mean_of_finite(rows)}
    found["l.acc_per_anchor"] = (gap > 0).float()
    found["l.triplet_per_anchor"] = score_triplet(scores, labels, pack.config["margin"])
    found["l.triplet_acc"] = (gap >= 0).float()
    state = matcher.state_dict()
    for key in state:
        if key.endswith(("running_mean", "running_var")):
            found[f"l.after.matcher.{key}"] = state[key].clone()
    found["l.loss"].backward()
    assert maps.grad is not None
    shape = pack.tensors["l.grad_maps"].shape
    found["l.grad_maps"] = maps.grad.transpose(1, 2).reshape(shape)
    check(pack, "l.", found)
    check_norms(pack, "l.grad_norms", grad_norms(matcher, "matcher."))
    total = clip_grad_norm_(matcher.parameters(), pack.config["clip"])
    pack.close(float(total), pack.facts["l.total_grad_norm"], "gradients")
    check_norms(pack, "l.grad_norms_after_clip", grad_norms(matcher, "matcher."))
    # what has no gradient there is the unused template of the layers, which we do without
    template = {f"matcher.decoder_layer.{key}" for key, _ in matcher.layers[0].named_parameters()}
    assert set(pack.facts["l.params_without_grad"]) == template


@torch.no_grad()
def test_feature_network(pack: Pack) -> None:
    network = pack.network().eval()
    images = {side: pack.tensors[f"f.{side}_images"] for side in ("query", "gallery")}
    maps = {side: network.features(images[side]) for side in images}
    found: dict[str, Any] = {"f.trunk_query": network.features.base(images["query"])}
    for side, value in maps.items():
        shape = pack.tensors[f"f.{side}_maps"].shape
        found[f"f.{side}_maps"] = value.transpose(1, 2).reshape(shape)
    kept = {side: network.matcher.keep(value) for side, value in maps.items()}
    found["f.score"] = network.matcher.score(kept["query"], kept["gallery"])
    losses = pack.network().train()
    batch = pack.batch("f.batch_images", "f.batch_labels")
    found["f.loss"] = losses.losses(batch)["loss"]
    scores = pack.network().train().scores(batch.images)
    found["f.loss_per_anchor"] = pairwise_cross_entropy(scores, batch.labels)
    check(pack, "f.", found)
    rows = {
        side: network.embed(batch._replace(images=image)).numpy() for side, image in images.items()
    }
    folded = network.scorer().scores(rows["query"], rows["gallery"])
    pack.close(folded, pack.tensors["f.score"], "scores")
    before, after = network.features.state_dict(), losses.features.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_gradients_of_the_whole(pack: Pack) -> None:
    network = pack.network().train()
    batch = pack.batch("f.batch_images", "f.batch_labels")
    assert batch.labels.tolist() == pack.config["labels_full"]
    network.losses(batch)["loss"].backward()
    found = grad_norms(network.features) | grad_norms(network.matcher, "criterion.matcher.")
    check_norms(pack, "f.grad_norms", found)


def grad_norms(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    named = module.named_parameters()
    return {prefix + key: value.grad.norm() for key, value in named if value.grad is not None}


def check_norms(pack: Pack, name: str, found: Mapping[str, Tensor]) -> None:
    expected = pack.facts[name]
    assert found.keys() == expected.keys()
    for key, norm in expected.items():
        pack.close(float(found[key]), norm, "gradients", key)
