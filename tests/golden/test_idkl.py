"""The network and the losses of IDKL against the published code."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reid.data.images import Batch
from reid.losses.graph_alignment import distances_to_others, paper_graph_alignment
from reid.losses.purification import entropy, spectra_apart
from reid.methods.idkl import Idkl
from reid.methods.idkl.modality import pair_spectra, rolled_labels
from reid.methods.idkl.network import Pooled
from reid.methods.idkl.purifier import Purified
from reid.nn.gem import generalised_mean
from reid.nn.gradient_reversal import reverse_gradient
from tests.golden.idkl_pack import (
    OTHER_WEIGHTS,
    TERMS,
    WEIGHTS_OF_120,
    Pack,
    modalities,
    paths,
    read,
)

PARTS = {"n", "h", "p", "e"}
AFTER = {
    "backbone.IN.running_mean": "purifier.norm.running_mean",
    "bn_neck.running_mean": "shared.neck.running_mean",
    "bn_neck_sp.running_var": "specific.neck.running_var",
}
CHECKED = {
    *("n.images", "n.labels", "n.cams", "n.eval_feature", "n.sh_map", "n.sh_pooled"),
    *("n.sp_pooled", "n.sp_in", "n.sp_in_masked", "n.sp_raw", "n.sp_raw_masked"),
    *("h.feat", "h.sp", "h.sp_in", "h.sp_in_masked", "h.sp_raw", "h.sp_raw_masked", "h.labels"),
    *("h.cams", "h.grad_feat", "h.grad_sp", "h.modality_labels", "h.pseudo_modality_labels"),
    *("p.dist_rows_v", "p.gem", "p.entropy", "p.centroid_dist", "p.grl_input", "p.grl_grad"),
    *(f"n.after.{name}" for name in AFTER),
}


@pytest.fixture(params=paths(), ids=lambda path: path.parent.name)
def pack(request: pytest.FixtureRequest) -> Pack:
    path: Path = request.param
    return read(path)


def _batch(pack: Pack, part: str) -> Batch:
    labels, cameras = pack.tensors[f"{part}.labels"], pack.tensors[f"{part}.cams"]
    images = pack.tensors.get(f"{part}.images", labels)
    return Batch(images, labels, cameras, cameras, modalities(cameras))


def _network(pack: Pack) -> Idkl:
    weights = WEIGHTS_OF_120 if len(pack.tensors["n.labels"]) == 120 else OTHER_WEIGHTS
    return pack.network(pack.recipe(weights, pack.config["k"]))


def _head(pack: Pack, requires_grad: bool = False) -> tuple[Pooled, dict[str, Tensor]]:
    """Return the features of part `h`, and its losses."""
    h = {key[2:]: value for key, value in pack.tensors.items() if key.startswith("h.")}
    shared, specific = (h[name].clone().requires_grad_(requires_grad) for name in ("feat", "sp"))
    maps = (h[name] for name in ("sp_raw", "sp_in", "sp_in_masked", "sp_raw_masked", "sp_raw"))
    pooled, batch = Pooled(shared, specific, Purified(*maps)), _batch(pack, "h")
    weights = WEIGHTS_OF_120 if len(batch.labels) == 120 else OTHER_WEIGHTS
    network = pack.network(pack.recipe(weights, pack.config["head_k"]), head=True)
    spectra = pair_spectra(batch.labels, batch.modalities)
    return pooled, network.head_losses(pooled, spectra, batch)


def test_packs_are_there() -> None:
    assert paths()


def test_every_entry_is_known(pack: Pack) -> None:
    known = {name for name in pack.tensors if name.split(".")[0] != "e"}
    assert known <= CHECKED
    assert {name.split(".")[0] for name in pack.tensors} <= PARTS
    for part in ("n", "h"):
        assert pack.facts[f"{part}.terms"].keys() <= TERMS.keys()


def test_network_gives_the_published_maps(pack: Pack) -> None:
    network, batch, t = _network(pack), _batch(pack, "n"), pack.tensors
    front = network.front(batch.images)
    shared = network.shared.stages(front)
    assert network.purifier is not None
    parts = network.purifier.parts(network.specific.stages(front))
    pack.close(shared, t["n.sh_map"])
    pack.close(generalised_mean(shared), t["n.sh_pooled"])
    pack.close(parts.raw, t["n.sp_raw"])
    pack.close(parts.normed, t["n.sp_in"])
    pack.close(parts.reduced, t["n.sp_in_masked"])
    pack.close(parts.enhanced, t["n.sp_raw_masked"])
    pack.close(generalised_mean(parts.purified), t["n.sp_pooled"])


def test_network_keeps_the_published_statistics(pack: Pack) -> None:
    network, batch = _network(pack), _batch(pack, "n")
    network.losses(batch)
    state = network.state_dict()
    for name, own in AFTER.items():
        pack.close(state[own], pack.tensors[f"n.after.{name}"], name=name)


def test_embedding_is_the_published_feature(pack: Pack) -> None:
    network = _network(pack).eval()
    pack.close(network.embed(_batch(pack, "n")), pack.tensors["n.eval_feature"])


def test_branches_hold_the_embedding(pack: Pack) -> None:
    network, batch = _network(pack).eval(), _batch(pack, "n")
    branches = network.branches(batch)
    assert torch.equal(branches["shared"], network.embed(batch))


def test_losses_of_images(pack: Pack) -> None:
    batch = _batch(pack, "n")
    found = pack.network(pack.recipe(WEIGHTS_OF_120, pack.config["k"])).losses(batch)
    for name, expected in pack.facts["n.terms"].items():
        pack.close(found[TERMS[name]], expected, name=name)
    pack.close(_network(pack).losses(batch)["loss"], pack.facts["n.total"])


def test_gradients_of_weights(pack: Pack) -> None:
    network = _network(pack)
    network.losses(_batch(pack, "n"))["loss"].backward()
    convert = _names(pack, network)
    expected = pack.facts["n.grad_norms"]
    for name, norm in expected.items():
        gradient = network.get_parameter(convert[name]).grad
        assert gradient is not None, name
        pack.close(gradient.norm(), norm, "gradients", name)
    trained = {own for own, parameter in network.named_parameters() if parameter.requires_grad}
    assert trained == {convert[name] for name in expected}


def test_parameters_without_gradient_do_not_exist_or_are_frozen(pack: Pack) -> None:
    network = _network(pack)
    convert = _names(pack, network)
    for name in pack.facts["n.params_without_grad"]:
        assert name not in convert or not network.get_parameter(convert[name]).requires_grad


def _names(pack: Pack, network: Idkl) -> dict[str, str]:
    """Return our name of every published parameter that has a place here."""
    from reid.methods.idkl import METHOD

    numbered = {name: torch.tensor(number) for number, name in enumerate(pack.weights)}
    names = list(pack.weights)
    own = network.state_dict().keys()
    return {
        names[int(number)]: ours
        for ours, number in METHOD.convert_checkpoint(numbered).items()
        if ours in own
    }


def test_losses_of_features(pack: Pack) -> None:
    _, found = _head(pack)
    for name, expected in pack.facts["h.terms"].items():
        pack.close(found[TERMS[name]], expected, name=name)
    pack.close(found["loss"], pack.facts["h.total"])


def test_gradients_of_features(pack: Pack) -> None:
    pooled, found = _head(pack, requires_grad=True)
    found["loss"].backward()
    pack.close(pooled.shared.grad, pack.tensors["h.grad_feat"], "gradients")
    pack.close(pooled.specific.grad, pack.tensors["h.grad_sp"], "gradients")


def test_labels_of_the_spectrum(pack: Pack) -> None:
    found = modalities(pack.tensors["h.cams"])
    assert torch.equal(found, pack.tensors["h.modality_labels"])
    assert torch.equal(rolled_labels(found), pack.tensors["h.pseudo_modality_labels"])


def test_single_pieces(pack: Pack) -> None:
    t, batch = pack.tensors, _batch(pack, "h")
    visible = batch.modalities == 0
    pack.close(distances_to_others(t["h.feat"][visible]), t["p.dist_rows_v"])
    pack.close(generalised_mean(t["h.sp_raw"]), t["p.gem"])
    pack.close(entropy(t["h.feat"][:, :7]), t["p.entropy"])
    found = spectra_apart(t["h.feat"], batch.labels, ~visible)
    pack.close(found, t["p.centroid_dist"])


def test_reversed_gradient(pack: Pack) -> None:
    x = pack.tensors["p.grl_input"].clone().requires_grad_()
    (reverse_gradient(x, 0.7) * torch.arange(x.shape[1])).sum().backward()
    pack.close(x.grad, pack.tensors["p.grl_grad"])


def test_form_of_the_paper(pack: Pack) -> None:
    batch = _batch(pack, "h")
    infrared = batch.modalities == 1
    shared, specific = pack.tensors["h.feat"].double(), pack.tensors["h.sp"].double()
    sets = {
        "sh_V": shared[~infrared],
        "sh_I": shared[infrared],
        "sp_V": specific[~infrared],
        "sp_I": specific[infrared],
    }
    form = {key: value for key, value in pack.facts["paper_form"].items() if key != "definition"}
    assert form
    for name, expected in form.items():
        first, second = name.removeprefix("tgsa(").removesuffix(")").split(";")
        rows = len(sets[first])
        found = rows * paper_graph_alignment(sets[first], sets[second])
        pack.close(found, torch.tensor(expected, dtype=torch.float64), name=name)
