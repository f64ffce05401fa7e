from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reid.data.images import Batch
from reid.losses.cross_modal_contrast import cross_modal_contrast
from reid.losses.purification import certainty_loss, discrepancy_loss
from reid.losses.triplet import triplet_loss
from reid.methods.base import DataFacts
from reid.methods.idkl import METHOD, Idkl
from reid.nn.gem import generalised_mean
from reid.nn.resnet import RESNETS
from tests.unit.methods.idkl.tiny import CHANNELS, FACTS, PEOPLE, batch, network, recipe, settled

NO_CONFUSER = {"confuser": "none", "weights": {"confuser": 0}}
OF_THE_PAPER = {
    "alignment": "paper",
    "purification": "paper",
    "weights": {"graph_mixed": 0, "grouped_within": 0, "grouped_across": 0},
}
VARIANTS: list[dict[str, Any]] = [
    {},
    {"model": {"mask": "pooled"}},
    {"model": {"last_stride": 2}},
    {"model": {"stripes": 2}},
    {"loss": {"weights": {"contrast_across": 1.0, "contrast_within": 0.5}}},
    {"model": {"purifier": False}, "loss": {"weights": {"purifier": 0}}},
    {"loss": NO_CONFUSER},
    {"loss": {"confuser": "rolled_labels"}},
    {"loss": OF_THE_PAPER},
    {"loss": {"purification": "paper"}},
    {"loss": {"margin": None, "label_smoothing": 0.1, "detach_teacher": True}},
]


def count_calls(modules: dict[str, nn.Module]) -> dict[str, int]:
    """Count from now on how often each module runs."""
    calls = dict.fromkeys(modules, 0)
    for name, module in modules.items():

        def called(*_: object, name: str = name) -> None:
            calls[name] += 1

        module.register_forward_hook(called)
    return calls


def value(losses: dict[str, Tensor], name: str = "loss") -> float:
    return float(losses[name].detach())


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_weight_is_trained(changes: dict[str, Any]) -> None:
    made = network(**changes).train()
    losses = made.losses(batch())
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    losses["loss"].backward()
    without = {name for name, p in made.named_parameters() if p.grad is None}
    assert without == {"shared.neck.bias", "specific.neck.bias"}  # they stay 0


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@torch.no_grad()
def test_the_embedding_is_the_shared_branch(changes: dict[str, Any]) -> None:
    made, given = settled(**changes), batch()
    rows, branches = made.embed(given), made.branches(given)
    stripes = changes.get("model", {}).get("stripes", 1)
    assert rows.shape == (len(given.labels), made.feature_size) == (12, CHANNELS * stripes)
    assert torch.equal(rows, branches["shared"])
    assert branches.keys() == {"shared", "specific"}
    assert not torch.allclose(rows, branches["specific"])


@torch.no_grad()
def test_embedding_runs_the_shared_branch_alone() -> None:
    made = settled()
    calls = count_calls(dict(made.named_children()))
    calls |= (inner := count_calls(dict(made.shared.named_children())))
    made.embed(batch())
    ran = {name for name, count in {**calls, **inner}.items() if count}
    assert ran == {"front", "stages", "neck"}


def test_the_contrast_is_of_necked_features_of_both_branches() -> None:
    changes = {"weights": {"contrast_across": 2.0, "contrast_within": 0.5}, "temperature": 0.3}
    made, plain, given = settled(loss=changes), settled(), batch()
    plain.load_state_dict(made.state_dict())
    found, branches = made.losses(given), made.branches(given)
    total = plain.losses(given)["loss"]
    for name, rows in branches.items():
        expected = cross_modal_contrast(rows, given.labels, given.modalities, 0.3)
        for kind, weight, term in zip(("across", "within"), (2.0, 0.5), expected, strict=True):
            torch.testing.assert_close(found[f"contrast_{kind}_{name}"], term)
            total = total + weight * term
    torch.testing.assert_close(found["loss"], total)


@torch.no_grad()
def test_an_embedding_does_not_depend_on_what_else_is_known() -> None:
    made, given = settled(), batch()
    plain = made.embed(given)
    others = given._replace(labels=given.labels * 0 - 1, modalities=1 - given.modalities)
    assert torch.equal(made.embed(others), plain)
    torch.testing.assert_close(made.embed(Batch(*(x[:1] for x in given))), plain[:1])
    assert not made.uses_cameras


@torch.no_grad()
def test_a_training_step_runs_the_front_once() -> None:
    made = network().train()
    calls = count_calls({"front": made.front, "shared": made.shared.stages})
    made.losses(batch())
    assert calls == {"front": 1, "shared": 1}


def test_modules_nobody_runs_do_not_exist() -> None:
    whole = {"front", "shared", "specific", "purifier", "certainty", "discriminator", "confuser"}
    assert {name for name, _ in network().named_children()} == whole
    for changes, without in (
        ({"loss": NO_CONFUSER}, {"confuser"}),
        ({"loss": {"weights": {"discriminator": 0}}}, {"discriminator"}),
        ({"loss": {"weights": {"purifier": 0}}}, {"certainty"}),
        ({"loss": {"purification": "paper"}}, {"certainty"}),
        (
            {"model": {"purifier": False}, "loss": {"weights": {"purifier": 0}}},
            {"purifier", "certainty"},
        ),
    ):
        made = network(**changes)
        assert {name for name, _ in made.named_children()} == whole - without
    names = {name.split(".")[1] for name, _ in made.front.named_parameters(prefix="front")}
    assert names == {"conv1", "bn1", "layer1", "layer2"}
    assert set(dict(made.shared.stages.named_children())) == {"layer3", "layer4"}


def test_the_branches_start_apart() -> None:
    made = network()
    pair = [branch.stages.state_dict() for branch in (made.shared, made.specific)]
    assert not torch.equal(*(state["layer3.0.conv1.weight"] for state in pair))


@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_in_the_form_of_the_paper_the_raw_features_tell_the_person(weight: float) -> None:
    """Whatever the purified ones have to do beside: a weight of 0 leaves out what it weighs."""
    losses = {**OF_THE_PAPER, "weights": {**OF_THE_PAPER["weights"], "purifier": weight}}
    made = network(loss=losses).train()
    raw = network(loss=losses | {"weights": losses["weights"] | {"purifier": 0.7}}).train()
    expected = raw.losses(batch())
    found = made.losses(batch())
    for name in ("identity_specific", "triplet_specific", "graph_visible"):
        assert value(found, name) == pytest.approx(value(expected, name)), name
    assert ("purifier_identity" in found) == (weight > 0)


@torch.no_grad()
@pytest.mark.parametrize("form", ["code", "paper"])
def test_each_branch_and_the_purifier_are_judged_by_their_own_features(form: str) -> None:
    """In evaluation mode, where a second look sees the same."""
    changes = {"purification": form, "margin": 0.7, "label_smoothing": 0.2}
    made, given = settled(loss=changes), batch()
    found, labels = made.losses(given), given.labels
    shared, purified, maps = made.pooled(given.images)
    assert maps is not None
    raw, normed, reduced, enhanced = (generalised_mean(part) for part in maps[:4])
    specific = made.specific.classifier
    judge = specific if made.certainty is None else made.certainty
    told = {"shared": (made.shared, shared)}
    told["specific"] = (made.specific, purified if form == "code" else raw)
    if form == "paper":
        told["purified"] = (made.specific, purified)
    expected = {}
    for name, (branch, rows) in told.items():
        logits = branch.classifier(branch.neck(rows))
        cross = nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
        expected |= {f"identity_{name}": cross, f"triplet_{name}": triplet_loss(rows, labels, 0.7)}
    for kind in ("identity", "triplet"):
        if form == "paper":
            expected[f"purifier_{kind}"] = expected.pop(f"{kind}_purified")
    infrared = given.modalities == 1
    expected["purifier_certainty"] = certainty_loss(judge(raw), judge(enhanced), form)  # type: ignore[arg-type]
    expected["purifier_discrepancy"] = discrepancy_loss(normed, reduced, labels, infrared, form)  # type: ignore[arg-type]
    for name, term in expected.items():
        torch.testing.assert_close(found[name], term, msg=name)


def test_the_specific_features_are_purified_in_the_published_form() -> None:
    made = network().train()
    pooled = made.pooled(batch().images)
    assert pooled.maps is not None
    maps = pooled.maps.purified.detach().clamp_min(1e-6)
    expected = maps.pow(3).mean(dim=(2, 3)).pow(1 / 3)
    torch.testing.assert_close(pooled.specific.detach(), expected)


@pytest.mark.parametrize("kind", ["graph", "logits", "grouped"])
@pytest.mark.parametrize("detach", [True, False])
def test_a_detached_teacher_hears_nothing_of_the_alignment(kind: str, detach: bool) -> None:
    made = network(loss={"detach_teacher": detach}).train()
    losses = made.losses(batch())
    terms = [losses[f"{kind}_{name}"] for name in ("visible", "infrared", "across")]
    torch.stack(terms).sum().backward()
    parts = made.specific, made.purifier
    drawn = [p.grad is not None for part in parts if part is not None for p in part.parameters()]
    assert any(drawn) is not detach
    assert made.get_parameter("shared.stages.layer3.0.conv1.weight").grad is not None


def test_a_teacher_is_still_taught_by_its_own_losses() -> None:
    made = network(loss={"detach_teacher": True}).train()
    made.losses(batch())["loss"].backward()
    gradient = made.get_parameter("specific.stages.layer3.0.conv1.weight").grad
    assert gradient is not None
    assert gradient.any()


def confusion(strength: float, **loss: Any) -> tuple[Tensor, Tensor]:
    """Gradients of the confuser's loss: of the features, and of the classifier itself."""
    made = network(loss={"reversal": strength, **loss}).train()
    for part in made.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    made.losses(batch())["modality_shared"].backward()
    found = [
        made.get_parameter(name).grad
        for name in ("shared.stages.layer4.0.conv1.weight", "confuser.fc1.weight")
    ]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def test_the_confuser_turns_the_gradient_of_the_features_round() -> None:
    features, own = confusion(1.0)
    stronger, same = confusion(2.5)
    torch.testing.assert_close(stronger, 2.5 * features)
    torch.testing.assert_close(same, own)
    rolled, of_rolled = confusion(1.0, confuser="rolled_labels")
    again, _ = confusion(2.5, confuser="rolled_labels")
    torch.testing.assert_close(rolled, again)  # nothing is turned round
    assert not torch.allclose(of_rolled, own)  # and the classifier learns something else


def test_a_probe_measures_and_leaves_the_features_alone() -> None:
    made = network(loss={"confuser": "probe"}).train()
    found = made.losses(batch())
    found["modality_shared"].backward()
    assert 0 <= found["accuracy_modality_shared"] <= 1
    assert made.get_parameter("shared.stages.layer4.0.conv1.weight").grad is None
    own = made.get_parameter("confuser.fc1.weight").grad
    assert own is not None
    assert own.any()


def test_the_reversal_warms_up_with_the_training() -> None:
    made = network(loss={"reversal": 2.0, "reversal_warmup": True}).train()
    sizes = []
    for done in (0.0, 0.1, 0.5, 0.99):
        made.start_epoch(done)
        for part in made.modules():
            if isinstance(part, nn.Dropout | nn.BatchNorm1d | nn.BatchNorm2d):
                part.eval()
        made.zero_grad()
        made.losses(batch())["modality_shared"].backward()
        gradient = made.get_parameter("shared.stages.layer4.0.conv1.weight").grad
        assert gradient is not None
        sizes.append(float(gradient.norm()))
    rises = [0.0, 0.462117157, 0.986614298, 0.999899652]  # tanh(5 t)
    assert [size / sizes[-1] for size in sizes] == pytest.approx(
        [rise / rises[-1] for rise in rises], rel=1e-4
    )


def test_without_a_warm_up_the_reversal_stays() -> None:
    plain, made = network().train(), network().train()
    made.start_epoch(0.0)
    gradients = []
    for one in (plain, made):
        torch.manual_seed(4)
        one.losses(batch())["modality_shared"].backward()
        gradients.append(one.get_parameter("front.conv1.weight").grad)
    assert gradients[0] is not None
    assert gradients[0].any()
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_autocast_gives_nearly_the_same_losses(changes: dict[str, Any]) -> None:
    torch.manual_seed(5)
    single = network(**changes).train().losses(batch())
    made = network(**changes).train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = made.losses(batch())
    losses["loss"].backward()
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in made.parameters())
    for name in ("loss", "identity_shared", "identity_specific"):
        assert value(losses, name) == pytest.approx(value(single, name), rel=0.1), name


@pytest.mark.parametrize("changes", [{}, {"loss": OF_THE_PAPER}], ids=["code", "paper"])
def test_training_lowers_the_loss(changes: dict[str, Any]) -> None:
    made = network(**changes).train()
    optimiser = torch.optim.Adam(made.parameters(), 3e-3)
    history = []
    for _ in range(15):
        losses = made.losses(batch())
        optimiser.zero_grad()
        losses["loss"].backward()
        optimiser.step()
        history.append(losses)
    for name in ("loss", "identity_shared", "triplet_shared", "identity_specific"):
        assert value(history[-1], name) < 0.8 * value(history[0], name), name


def trained(seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    made = METHOD.build(recipe(), FACTS).train()
    optimiser = torch.optim.SGD(made.parameters(), 0.01)
    for _ in range(2):
        optimiser.zero_grad()
        made.losses(batch())["loss"].backward()
        optimiser.step()
    return made.state_dict()


def test_weights_follow_from_the_seed() -> None:
    first, again, other = trained(3), trained(3), trained(4)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["front.conv1.weight"], other["front.conv1.weight"])


def test_size_of_the_published_network() -> None:
    """75.0 million are stored with 395 people, of which these are used."""
    people, width, hidden = 395, 2048, 100
    resnet50, late = 23_508_032, 7_098_368 + 14_964_736
    trunks = resnet50 + late
    masks = 2 * 2 * width * width // 16
    norms = 3 * 2 * width  # two necks and the instance norm
    told = width * hidden + hidden * hidden + 2 * hidden + 2 * 2 * hidden + 2 * hidden + 2
    published = {"backbone": RESNETS["resnet50"], "mask_reduction": 16, "modality_width": hidden}
    with torch.device("meta"):
        made = METHOD.build(recipe(model=published), DataFacts(people, 6, 1))
    assert isinstance(made, Idkl)
    count = sum(p.numel() for p in made.parameters())
    assert count == trunks + masks + norms + 3 * people * width + 2 * told
    assert round(count / 1e6, 1) == 49.5
    unused = 2 * resnet50 - late + 2 * width * width // 16  # halves of trunks, an older purifier
    assert round((count + unused) / 1e6, 1) == 75.0
    assert made.feature_size == width


def test_classes_are_those_of_the_data() -> None:
    made = network()
    for name in ("shared.classifier", "specific.classifier", "certainty"):
        assert made.get_submodule(name).weight.shape == (PEOPLE, CHANNELS)
