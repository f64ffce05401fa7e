"""ReIDMamba's network against tensors computed by the published code."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from reid.losses.rank_correlation import inter_loss, intra_loss
from reid.losses.smoothed_identity import smoothed_identity_loss
from reid.losses.triplet import triplet_loss
from reid.methods.reidmamba import METHOD, upstream_names
from reid.methods.reidmamba.network import Stream
from tests.golden.reidmamba_pack import FUSIONS, Pack, packs, read_pack


@pytest.fixture(params=list(packs()))
def pack(request: pytest.FixtureRequest) -> Pack:
    return read_pack(request.param)


def test_token_order(pack: Pack) -> None:
    found: dict[str, Tensor] = {}
    for number, places in enumerate(pack.build().places):
        prefix = f"branch{number}." if number else ""
        found[f"{prefix}token_idx"] = places.order
        found[f"{prefix}cls_idx"] = places.class_places
        if number == 0:
            found["oth_idx"] = places.patch_places
    expected = pack.group("idx.")
    assert found.keys() == expected.keys()
    for name, order in expected.items():
        assert torch.equal(found[name], order), name


@torch.no_grad()
def test_intermediate_tensors(pack: Pack) -> None:
    network, batch = pack.network().eval(), pack.batch
    shown = pack.config["n_int"]
    images, cameras = batch.images[:shown], batch.cameras[:shown]
    tokens = network.tokens(images, cameras)
    found = {"patch_embed": network.patch_embed(images), "tokens_in.hidden": tokens}
    found["mixer0_in"] = network.layers[0].norm(tokens)
    found["mixer0"] = network.layers[0].mixer(found["mixer0_in"])
    stream = Stream(tokens, None)
    for index, block in enumerate(network.layers):
        stream = Stream(*block(*stream))
        found |= shown_stream(f"layer{index}", stream)
    for branch, blocks in enumerate(network.multi_layers):
        inner = start = network.branch_input(stream, branch)
        if branch:
            found[f"branch{branch}.in.hidden"] = start.hidden
        for index, block in enumerate(blocks):
            inner = Stream(*block(*inner))
            found |= shown_stream(f"branch{branch}.layer{index}", inner)
        classes = network.branch_classes(start, branch)
        found[f"branch{branch}.cls_normed"] = classes
        found[f"branch{branch}.neck"] = network.necks[branch](classes)
        found[f"branch{branch}.feat"] = network.shrink(classes, branch)
    expected = pack.group("mid.")
    assert found.keys() == expected.keys()
    for name in expected:
        pack.close(found[name], f"mid.{name}")


def shown_stream(name: str, stream: Stream) -> dict[str, Tensor]:
    assert stream.residual is not None
    return {f"{name}.hidden": stream.hidden, f"{name}.residual": stream.residual}


@torch.no_grad()
def test_evaluation_outputs(pack: Pack) -> None:
    network, batch = pack.network().eval(), pack.batch
    plain = network.embed(batch)
    flipped = network.embed(batch._replace(images=batch.images.flip(3)))
    found = {"feat": plain, "feat_flip": flipped, "feat_flipavg": (plain + flipped) / 2}
    assert found.keys() == pack.group("eval.").keys()
    for name, features in found.items():
        pack.close(features, f"eval.{name}")


@torch.no_grad()
def test_other_fusions(pack: Pack) -> None:
    names = {name.split(".")[1] for name in pack.tensors if name.startswith("alt.")}
    for name in names:
        powers = pack.group("alt.gem.p")[""] if name == "gem" else ()
        extra = {f"gems.{i}.p": power.reshape(1) for i, power in enumerate(powers)}
        network = pack.network(extra, model={"fusion": FUSIONS[name]}).eval()
        pack.close(network.embed(pack.batch), f"alt.{name}.eval.feat")


def test_training_step(pack: Pack) -> None:
    network, batch = pack.network().train(), pack.batch
    features = network.features(batch)
    scores = network.scores(features)
    for branch, (feature, score) in enumerate(zip(features, scores, strict=True)):
        pack.close(feature, f"train.feat{branch}")
        pack.close(score, f"train.logits{branch}")
    state = network.state_dict()
    for name in pack.group("after."):
        pack.close(state[name], f"after.{name}")


def test_losses(pack: Pack) -> None:
    c, labels = pack.config, pack.batch.labels
    network = pack.network().train()
    features = network.features(pack.batch)
    scores = network.scores(features)
    found: dict[str, Tensor] = {}
    for branch, (feature, score) in enumerate(zip(features, scores, strict=True)):
        found[f"triplet_loss-{branch}"] = triplet_loss(feature, labels, c["margin"] or None)
        identity = smoothed_identity_loss(score, labels, c["smooth"])
        found[f"cross_entropy_loss-{branch}"] = identity
    losses = pack.network().train().losses(pack.batch)
    names = {"triplet_loss": "triplet", "cross_entropy_loss": "identity", "total": "loss"}
    found |= {name: losses[ours] for name, ours in names.items()}
    unit = [F.normalize(feature) for feature in features]
    if len(unit) > 1:
        found["ratr_intra_loss"] = intra_loss(unit, labels, c["tau"])
        found["ratr_inter_loss"] = inter_loss(unit, labels, c["tau"])
    assert found.keys() == pack.facts["losses"].keys()
    for name, expected in pack.facts["losses"].items():
        pack.close_loss(found[name], expected)
    for name in ("intra", "inter"):  # a weight of 0 leaves its term out
        if name in losses:
            pack.close_loss(losses[name], pack.facts["losses"][f"ratr_{name}_loss"])


def test_gradients(pack: Pack) -> None:
    network = pack.network().train()
    network.losses(pack.batch)["loss"].backward()
    names = upstream_names(network)
    parameters = {names[key]: value for key, value in network.named_parameters()}
    found = {name: value.grad for name, value in parameters.items() if value.grad is not None}
    expected = pack.facts["param_grad_l2"]
    assert found.keys() == expected.keys()
    without = parameters.keys() - found.keys()
    # of the exponents, those without a gradient do not exist here
    unused = {name for name in pack.facts["params_without_grad"] if name.startswith("gems.")}
    assert without == set(pack.facts["params_without_grad"]) - unused
    # Some gradients may be zero but for rounding, as a batch norm takes shifts out again.
    noise = np.finfo(np.float32).eps * float(np.linalg.norm(list(expected.values())))
    for name, norm in expected.items():
        bound = pack.tolerance("param_grad_l2") * norm + noise
        assert abs(float(found[name].norm()) - norm) <= bound, name
    for name, reference in pack.group("grad.").items():
        bound = pack.tolerance("grads") * float(reference.norm()) + noise
        assert float((found[name] - reference).norm()) <= bound, name


def test_import_of_a_backbone(pack: Pack, tmp_path: Path) -> None:
    network, c = pack.build(), pack.config
    own = {key: value.clone() for key, value in network.state_dict().items()}
    copied = pack.facts["pretrained_key_map_exact"]
    drawn = torch.Generator().manual_seed(0)
    source = {
        theirs: torch.randn(own[ours].shape, generator=drawn) for ours, theirs in copied.items()
    }
    source |= pack.group("import.src.")
    source |= {name: torch.ones(2, 2) for name in ("neck.weight", "norm_neck.weight", "head.bias")}
    torch.save({"model": source}, tmp_path / "backbone.pth")
    report = METHOD.load_pretrained(network, tmp_path / "backbone.pth")
    state = network.state_dict()
    for ours, theirs in copied.items():
        assert torch.equal(state[ours], source[theirs]), ours
    added = max(c["num_cls_tokens"] - c["bb_cls"], 0) // 2  # on either side, drawn at random
    for name, expected in pack.group("import.dst.").items():
        inside = slice(added, expected.shape[1] - added) if name != "pos_embed" else slice(None)
        error = (state[name] - expected)[:, inside].abs().max()
        assert float(error) <= pack.tolerance("import.*"), name
    for key, value in own.items():
        touched = key in copied or key in pack.group("import.dst.")
        assert touched or torch.equal(state[key], value), key
    assert {*report.loaded, *report.resized, *report.missing} == own.keys()
