"""TransReID against tensors computed by the published code.

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
import torch.nn.functional as F
from safetensors.torch import load_file

from reid.data.images import Batch
from reid.data.samplers.identity import IdentityBatchSampler
from reid.losses.triplet import euclidean_distance, mine_hardest, triplet_loss
from reid.methods.base import DataFacts
from reid.methods.transreid import METHOD, TransReID, TransReidRecipe, upstream_names
from reid.methods.transreid.jigsaw import gather_pieces, patch_order, piece_orders
from reid.methods.transreid.recipe import JigsawRecipe
from reid.nn.checkpoint import load_state
from reid.nn.position import fit_positions
from reid.params import merge
from reid.recipe import OptimiserRecipe, ScheduleRecipe
from reid.retrieval.labels import Labels
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    mean_of_valid,
)
from reid.retrieval.ranking import rank_blocks
from reid.training.optimiser import build_optimiser
from reid.training.schedule import epoch_rate
from tests.golden.reference_pack import ReferencePack

ROOT = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
SMOOTHING = 0.1  # the constant of the published smoothed loss


class Pack(ReferencePack):
    def recipe(self, kind: str, **changes: Any) -> TransReidRecipe:
        c = self.config
        camera, view = c["sie"] if kind == "jpm" else c["base_sie"]
        jigsaw = {"shift": c["shift"], "groups": c["groups"], "divide": c["divide"]}
        names = ("embed", "depth", "heads", "mlp_ratio", "qkv_bias", "qk_scale")
        plain = {
            "method": "transreid",
            "image": {"height": c["img"][0], "width": c["img"][1]},
            "optimiser": {"name": "sgd", "learning_rate": c["base_lr"]},
            "model": {
                "backbone": {name: c[name] for name in names},
                "patch": c["patch"],
                "stride": tuple(c["stride"]),
                "drop_path": 0.0,
                "side_information": {"camera": camera, "view": view, "weight": c["sie_coe"]},
                "jigsaw": jigsaw if kind == "jpm" else None,
            },
        }
        return TransReidRecipe.model_validate(merge(plain, changes))

    def network(self, kind: str, **changes: Any) -> TransReID:
        c = self.config
        recipe = self.recipe(kind, **changes)
        network = METHOD.build(recipe, DataFacts(c["classes"], c["cams"], c["views"]))
        assert isinstance(network, TransReID)
        load_state(network, METHOD.convert_checkpoint(self.group(f"{kind}.sd.")))
        return network

    def batch(self, images: str = "images") -> Batch:
        chosen = self.tensors[f"in.{images}"]
        ids = [
            self.tensors[f"in.{name}"][: len(chosen)]
            for name in ("labels", "camera_ids", "view_ids")
        ]
        return Batch(chosen, *ids, modalities=torch.zeros(len(chosen), dtype=torch.int64))


def _packs() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/pack.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if {"shuffle_vectors", "sgd_trajectory"} <= facts.keys():
            yield pytest.param(path, id=path.parent.name)


@pytest.fixture(params=list(_packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    path: Path = request.param
    return Pack(json.loads(path.read_text()), load_file(path.with_suffix(".safetensors")))


def test_intermediate_tensors(pack: Pack) -> None:
    network, batch = pack.network("jpm").eval(), pack.batch()
    jigsaw = network_jigsaw(pack)
    found = {"patch_tokens": network.trunk.patch_embed(batch.images)}
    tokens = network.trunk.tokens(batch.images, batch.cameras, batch.views)
    found["after_pos_sie"] = tokens
    for index, block in enumerate(network.trunk.blocks):
        tokens = block(tokens)
        found[f"block{index}"] = tokens
    found["b1_out"] = network.global_branch.norm(network.global_branch.block(tokens))
    patches = tokens.shape[1] - 1
    found["shuffled"] = tokens[:, 1:][:, patch_order(patches, jigsaw)]
    number = 1
    for order in piece_orders(patches, jigsaw):
        pieces = gather_pieces(tokens, order).unflatten(0, (len(tokens), len(order)))
        for piece in pieces.unbind(1):
            found[f"b2_in_{number}"] = piece
            number += 1
    expected = pack.group("jpm.inter.")
    assert found.keys() == expected.keys()
    for name in expected:
        pack.close(found[name].detach(), f"jpm.inter.{name}")


def network_jigsaw(pack: Pack) -> JigsawRecipe:
    jigsaw = pack.recipe("jpm").model.jigsaw
    assert jigsaw is not None
    return jigsaw


@pytest.mark.parametrize("model", ["jpm", "base"])
@torch.no_grad()
def test_evaluation_outputs(pack: Pack, model: str) -> None:
    for name in pack.group(f"{model}.eval."):
        case = re.fullmatch(r"(before|after)(_norearrange)?(?:_(images\w+))?", name)
        assert case, name
        changes: dict[str, Any] = {"neck": case[1]}
        if case[2]:
            changes["jigsaw"] = {"rearrange": False}
        network = pack.network(model, model=changes).eval()
        pack.close(network.embed(pack.batch(case[3] or "images")), f"{model}.eval.{name}")


def test_training_step_with_jigsaw(pack: Pack) -> None:
    network, batch = pack.network("jpm").train(), pack.batch()
    features = network.features(batch)
    scores = network.scores(features)
    losses = zip(scores, features.unbind(1), strict=True)
    for i, (score, feature) in enumerate(losses):
        pack.close(score.detach(), f"jpm.train.score{i}")
        pack.close(feature.detach(), f"jpm.train.feat{i}")
        identity = F.cross_entropy(score, batch.labels)
        pack.close_loss(identity, float(pack.tensors["jpm.train.id_losses"][i]))
        triplet = triplet_loss(feature, batch.labels, None)
        pack.close_loss(triplet, float(pack.tensors["jpm.train.triplet_losses"][i]))
    names = upstream_names(network)
    state = {names[key]: value for key, value in network.state_dict().items()}
    for name, expected in pack.group("jpm.train.after_buffers.").items():
        if expected.is_floating_point():
            pack.close(state[name], f"jpm.train.after_buffers.{name}")
        else:
            assert torch.equal(state[name], expected), name


def test_training_step_without_jigsaw(pack: Pack) -> None:
    network, batch = pack.network("base").train(), pack.batch()
    features = network.features(batch)
    pack.close(features[:, 0].detach(), "base.train.feat")
    pack.close(network.scores(features)[0].detach(), "base.train.score")


@pytest.mark.parametrize(("model", "norms"), [("jpm", "jpm"), ("base", "baseline")])
def test_gradients(pack: Pack, model: str, norms: str) -> None:
    network = pack.network(model).train()
    loss = network.losses(pack.batch())["loss"]
    expected = {k: v for k, v in pack.facts[f"grad_norms_{norms}"].items() if v is not None}
    if model == "base":
        pack.close_loss(loss, pack.facts["baseline_loss"])
    loss.backward()
    names = upstream_names(network)
    grads = {names[k]: p.grad for k, p in network.named_parameters() if p.grad is not None}
    assert grads.keys() == expected.keys()
    # Some gradients are zero but for rounding: shifting a feature changes neither a distance nor
    # a batch-normalised value.
    noise = np.finfo(np.float32).eps * float(np.linalg.norm(list(expected.values())))
    tolerance = pack.tolerance("gradients_float32")
    for name, norm in expected.items():
        assert abs(float(grads[name].norm()) - norm) <= tolerance * norm + noise, name
    for name in [k for k in pack.tensors if k.startswith(f"{model}.train.grad.")]:
        reference = pack.tensors[name]
        error = float((grads[name.removeprefix(f"{model}.train.grad.")] - reference).norm())
        assert error <= tolerance * float(reference.norm()) + noise, name


def test_loss_variants(pack: Pack) -> None:
    for name, expected in pack.facts["jpm_losses"].items():
        case = re.fullmatch(r"(?:softmargin|margin([\d.]+))_(no)?smooth", name)
        assert case, name
        loss = {
            "margin": float(case[1]) if case[1] else None,
            "label_smoothing": 0.0 if case[2] else SMOOTHING,
        }
        network = pack.network("jpm", loss=loss).train()
        pack.close_loss(network.losses(pack.batch())["loss"], expected)


def test_sgd_trajectory(pack: Pack) -> None:
    facts, batch = pack.facts["sgd_trajectory"], pack.batch()
    network = pack.network("jpm", model={"neck": "after"}).train()
    optimiser = build_optimiser(network, pack.recipe("jpm").optimiser)
    tolerance = pack.tolerance("sgd_trajectory")
    for expected, rates in zip(facts["losses"], facts["lrs_per_step"], strict=True):
        for group in optimiser.param_groups:
            group["lr"] = rates["bias" in group["name"]]
        loss = network.losses(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        assert abs(float(loss.detach()) - expected) <= tolerance
    with torch.no_grad():
        found = network.eval().embed(batch)
    reference = pack.tensors["jpm.after_sgd.eval_after"]
    assert float((found - reference).abs().max()) <= tolerance * max(1, reference.abs().max())


def test_parameter_groups(pack: Pack) -> None:
    network = pack.network("jpm")
    names = upstream_names(network)
    expected = {name: (rate, decay) for name, rate, decay in pack.facts["param_groups"]}
    optimiser = build_optimiser(network, pack.recipe("jpm").optimiser)
    found = {names[g["name"]]: (g["lr"], g["weight_decay"]) for g in optimiser.param_groups}
    for name, group in found.items():
        assert group == pytest.approx(expected[name], rel=1e-12), name
    untrained = {name for name, norm in pack.facts["grad_norms_jpm"].items() if norm is None}
    assert expected.keys() - found.keys() <= untrained
    frozen = {names[k] for k, p in network.named_parameters() if not p.requires_grad}
    assert frozen == set(pack.facts["frozen_parameters"])


def test_position_resampling(pack: Pack) -> None:
    for index, (side, *grid) in enumerate(pack.config["resize"]):
        positions = pack.tensors[f"resize.{index}.in"]
        assert positions.shape[1] == side * side + 1
        pack.close(fit_positions(positions, (grid[0], grid[1])), f"resize.{index}.out")


def test_position_resampling_of_distilled_weights(pack: Pack) -> None:
    positions = pack.tensors["resize.distilled.in"]
    wanted = pack.tensors["resize.distilled.out"]
    patches = wanted.shape[1] - 1  # the pack does not say of which grid
    grids = [(rows, patches // rows) for rows in range(1, patches + 1) if patches % rows == 0]
    for distilled in (False, True):  # by the number of rows, and by the token in the file
        results = [fit_positions(positions, grid, distilled=distilled) for grid in grids]
        best = min(results, key=lambda found: float((found - wanted).abs().max()))
        pack.close(best, "resize.distilled.out")


def test_mining(pack: Pack) -> None:
    distance = euclidean_distance(pack.tensors["loss.feat"])
    hardest = mine_hardest(distance, pack.tensors["loss.labels"])
    pack.close(distance, "loss.dist")
    pack.close(hardest.positive, "loss.dist_ap")
    pack.close(hardest.negative, "loss.dist_an")
    assert torch.equal(hardest.positive_index, pack.tensors["loss.pos_idx"])
    assert torch.equal(hardest.negative_index, pack.tensors["loss.neg_idx"])


def test_single_losses(pack: Pack) -> None:
    checked = set()
    for name, expected in pack.facts["loss"].items():
        kind, variant = name.split("_", 1)
        number = re.search(r"\d[\d.]*", variant)
        given = pack.tensors["loss.feat" if kind == "triplet" else "loss.logits"].clone()
        given.requires_grad_()
        if kind == "triplet":
            used = F.normalize(given, dim=1) if "normalized" in variant else given
            margin = float(number[0]) if number else None
            loss = triplet_loss(used, pack.tensors["loss.labels"], margin)
            gradient = f"loss.grad_{variant}"
        else:
            smoothing = float(number[0]) if number else 0.0
            targets = pack.tensors["loss.targets"]
            loss = F.cross_entropy(given, targets, label_smoothing=smoothing)
            gradient = f"loss.grad_{kind}_{variant.rstrip('0123456789.')}"
        pack.close_loss(loss.detach(), expected)
        if gradient in pack.tensors:
            checked.add(gradient)
            (found,) = torch.autograd.grad(loss, given)
            reference = pack.tensors[gradient]
            bound = pack.tolerance("gradients_float32") * float(reference.norm())
            assert float((found - reference).norm()) <= bound, gradient
    assert checked == {name for name in pack.tensors if name.startswith("loss.grad_")}


def test_schedules(pack: Pack) -> None:
    for facts in pack.facts["schedules"]:
        schedule = ScheduleRecipe(
            epochs=facts["max_epochs"], warmup_epochs=facts["warmup_epochs"], milestones=()
        )
        optimiser = OptimiserRecipe.model_validate({"learning_rate": facts["base_lr"]})
        base = optimiser.learning_rate
        bases = (base, base * optimiser.bias_factor)
        table = pack.tensors[facts["tensor"]].numpy()
        found = [[epoch_rate(schedule, base, b, t) for b in bases] for t in range(len(table))]
        tolerance = pack.tolerance("schedules_float64")
        assert np.abs(np.array(found) - table).max() <= tolerance
        first = facts["lr_right_after_construction"]
        assert found[0] == pytest.approx(first, rel=0, abs=tolerance)


def test_shuffle(pack: Pack) -> None:
    for case in pack.facts["shuffle_vectors"]:
        order = patch_order(
            case["n_patches"], JigsawRecipe(shift=case["shift"], groups=case["groups"])
        )
        assert (order + 1).tolist() == case["out_token_indices"]


def test_sampler(pack: Pack) -> None:
    facts = pack.facts["sampler"]
    labels = [label for label, count in enumerate(facts["images_per_pid"]) for _ in range(count)]
    batch, images = facts["batch_size"], facts["instances"]
    (name,) = [key for key in facts if key.startswith("yielded_mean_over")]
    draws = int(re.findall(r"\d+", name)[0])
    sampler = IdentityBatchSampler(labels, batch // images, images, seed=0)
    assert sampler.reported_length == facts["reported_len"]
    yielded = []
    for epoch in range(draws):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        for chosen in batches:
            people = [labels[index] for index in chosen]
            assert [people.count(person) for person in people] == [images] * batch
        yielded.append(batch * len(batches))
    assert max(yielded) <= facts["reported_len"]
    # both means are over as many draws; four standard errors of their difference
    error = float(np.std(yielded)) * (2 / draws) ** 0.5
    assert abs(np.mean(yielded) - facts[name]) <= 4 * error
    assert min(yielded) <= facts["yielded_min"] + batch
    assert max(yielded) >= facts["yielded_max"] - batch


def test_ranking_metrics(pack: Pack) -> None:
    t = {name: value.numpy() for name, value in pack.group("eval.").items()}
    labels = Labels(t["q_pids"], t["q_cams"], t["g_pids"], t["g_cams"])
    ranking = rank_blocks([t["dist"]], labels)
    pack.close_loss(mean_of_valid(average_precision(ranking)), pack.facts["eval_mAP"])
    found = cumulative_matching(first_match_rank(ranking), len(t["cmc"]))
    assert np.abs(found - t["cmc"]).max() <= pack.tolerance("losses")
