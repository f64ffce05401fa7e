import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from reid.data.images import ImageFacts, ImageTable
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError, TrainingError
from reid.methods.base import DataFacts
from reid.methods.personvit import METHOD, PersonVit, PersonVitRecipe
from reid.nn.backbone_file import read_facts
from reid.pretrain.distillation import SelfDistillation, build_distillation
from reid.pretrain.pretrained_directory import export_backbone
from reid.pretrain.recipe import PretrainRecipe, load_pretrain_recipe
from reid.training.pretraining import KEPT, pretrain

SMOKE = Path(__file__).parents[3] / "params" / "pretrain" / "smoke.yaml"
IMAGES = 20


class Sink:
    """Keep the epochs' numbers; with `stop_at` behave as if someone pressed Ctrl-C."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[dict[str, float]] = []
        self.stop_at = stop_at

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        if epoch == self.stop_at:
            raise KeyboardInterrupt
        self.rows.append(metrics)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    folder = tmp_path_factory.mktemp("images")
    generator = torch.Generator().manual_seed(1)
    paths = [f"{number}.png" for number in range(IMAGES)]
    for path in paths:
        pixels = torch.randint(0, 256, (64, 32, 3), generator=generator)
        Image.fromarray(pixels.to(torch.uint8).numpy()).save(folder / path)
    unknown = torch.full((IMAGES,), -1)
    facts = ImageFacts(unknown, unknown, unknown, unknown)
    return ImageTable(open_storage(folder), paths, facts, 64, 32, Image.Resampling.BILINEAR)


def recipe(**changes: Any) -> PretrainRecipe:
    return load_pretrain_recipe(SMOKE, changes)


def build(made: PretrainRecipe) -> SelfDistillation:
    torch.manual_seed(0)
    return build_distillation(made)


def state(pair: SelfDistillation) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in pair.state_dict().items()}


@pytest.mark.parametrize("shared", [True, False])
def test_a_short_pretraining_gives_a_backbone(
    table: ImageTable, tmp_path: Path, shared: bool
) -> None:
    made, sink = recipe(head={"shared": shared}, keep_every=1), Sink()
    pair = build(made)
    before = state(pair)
    rows = pretrain(pair, made, table, 0, tmp_path, sink)
    after = state(pair)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert len({tuple(row) for row in rows}) == 1  # a table
    for row in rows:
        assert math.isfinite(row["loss"])
        assert row["loss"] == pytest.approx(row["class"] + row["patch"], abs=1e-5)
        assert 0 < row["entropy"] < 1
        assert row["deviation"] > 0
    assert rows[1]["teacher_temperature"] == pytest.approx(0.07)
    halves = [f"{half}.backbone.norm.bias" for half in ("student", "teacher")]
    assert not torch.equal(*(after[name] for name in halves))
    assert float(after["centres.cls"].abs().max()) > 0
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    assert after.keys() - moved == set()

    kept = sorted((tmp_path / KEPT).iterdir())
    assert [path.name for path in kept] == ["epoch_0001.safetensors", "epoch_0002.safetensors"]
    export_backbone(tmp_path / "last.safetensors", pair.teacher.backbone, made)
    assert kept[1].read_bytes() == (tmp_path / "last.safetensors").read_bytes()
    assert kept[0].read_bytes() != kept[1].read_bytes()


def test_fine_tuning_starts_from_the_teacher(tmp_path: Path) -> None:
    made = recipe()
    pair = build(made)
    export_backbone(tmp_path / "b.safetensors", pair.teacher.backbone, made)
    facts = read_facts(tmp_path / "b.safetensors")
    assert facts is not None
    assert (facts.grid, facts.mean) == ((8, 4), made.views.mean)
    fine = PersonVitRecipe.model_validate(
        {
            "image": {"height": 96, "width": 32},
            "optimiser": {"learning_rate": 0.1},
            "model": made.model.model_dump(),
        }
    )
    network = METHOD.build(fine, DataFacts(3, 1, 1))
    assert isinstance(network, PersonVit)
    report = METHOD.load_pretrained(network, tmp_path / "b.safetensors")
    assert report.resized == ("backbone.pos_embed",)
    assert torch.equal(network.backbone.norm.bias, pair.teacher.backbone.norm.bias)


def test_a_stopped_pretraining_ends_in_the_same_bits(table: ImageTable, tmp_path: Path) -> None:
    made = recipe(epochs=3)
    unbroken = build(made)
    rows = pretrain(unbroken, made, table, 7, tmp_path / "unbroken", Sink())
    # Lightning turns a keyboard interrupt into an orderly exit
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(build(made), made, table, 7, tmp_path / "stopped", Sink(stop_at=3))
    torch.manual_seed(1)
    resumed = build_distillation(made)  # other fresh weights: all must come from the checkpoint
    again = Sink()
    assert pretrain(resumed, made, table, 7, tmp_path / "stopped", again) == rows
    assert len(again.rows) == 1
    expected = state(unbroken)
    assert all(torch.equal(value, expected[name]) for name, value in state(resumed).items())


def test_seeds_differ(table: ImageTable, tmp_path: Path) -> None:
    made = recipe(epochs=1)
    pairs = [build(made), build(made)]
    for seed, pair in enumerate(pairs):
        pretrain(pair, made, table, seed, tmp_path / str(seed), Sink())
    first, second = (pair.state_dict()["teacher.backbone.norm.bias"] for pair in pairs)
    assert not torch.equal(first, second)


def test_the_last_layer_waits_and_weights_without_decay_have_none(
    table: ImageTable, tmp_path: Path
) -> None:
    made = recipe(epochs=1, optimiser={"freeze_last_layer": 1})
    pair = build(made)
    before = state(pair)
    pretrain(pair, made, table, 0, tmp_path, Sink())
    after = state(pair)
    same = {name for name in after if torch.allclose(before[name], after[name], rtol=1e-6, atol=0)}
    halves = ("student", "teacher")
    assert same == {f"{half}.head.last_layer.weight_{p}" for half in halves for p in "gv"}


def test_a_collapse_stops_with_one_line(table: ImageTable, tmp_path: Path) -> None:
    made = recipe(collapse={"first_epoch": 0, "patience": 2, "lowest_deviation": 50.0})
    with pytest.raises(TrainingError, match=r"the teacher has collapsed in epoch 1: .* 2 checks"):
        pretrain(build(made), made, table, 0, tmp_path, Sink())


def test_a_loss_that_is_no_number_stops(table: ImageTable, tmp_path: Path) -> None:
    pair = build(recipe())
    with torch.no_grad():
        pair.student.backbone.norm.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss of step 0 is nan"):
        pretrain(pair, recipe(), table, 0, tmp_path, Sink())


def test_a_batch_larger_than_the_data(table: ImageTable, tmp_path: Path) -> None:
    made = recipe(batch=64)
    with pytest.raises(DataError, match="20 images for pretraining; expected at least 64"):
        pretrain(build(made), made, table, 0, tmp_path, Sink())


@pytest.mark.parametrize(
    ("devices", "message"),
    [(0, "0 devices; expected at least 1"), (3, "batch is 8 with 3 processes; expected a mult")],
)
def test_devices_that_cannot_share_a_batch(
    devices: int, message: str, table: ImageTable, tmp_path: Path
) -> None:
    with pytest.raises(ParamsError, match=message):
        pretrain(build(recipe()), recipe(), table, 0, tmp_path, Sink(), devices)
