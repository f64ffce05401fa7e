from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from reid.data.images import Batch, ImageFacts, ImageTable
from reid.data.storage import open_storage
from reid.errors import DataError, ParamsError
from reid.methods.base import EmbeddingNetwork
from reid.recipe import Recipe
from reid.retrieval.distance import normalise
from reid.retrieval.features import FloatArray
from reid.retrieval.pair_scorer import PairScorer
from reid.training import loop
from reid.training.loop import fit
from reid.training.precision import half_precision, require_precision

LABELS = [label for label in range(4) for _ in range(5)]


class Small(EmbeddingNetwork):
    """Dropout makes the weights depend on every random draw of the run."""

    feature_size = 8
    uses_cameras = False

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 8), nn.Dropout(0.5))
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 4)
        self.steps, self.stop_at = 0, stop_at

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        if self.steps == self.stop_at:
            raise KeyboardInterrupt
        loss = nn.functional.cross_entropy(self.head(self.embed(batch)), batch.labels)
        return {"loss": loss, "identity": loss}

    def embed(self, batch: Batch) -> Tensor:
        features: Tensor = self.norm(self.body(batch.images))
        return features


class Sink:
    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.seconds: list[float] = []

    def log_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        assert {"loss", "identity", "learning_rate", "epoch_seconds"} <= set(metrics)
        self.epochs.append(epoch)
        self.seconds.append(metrics["epoch_seconds"])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ImageTable:
    folder = tmp_path_factory.mktemp("images")
    torch.manual_seed(1)
    paths = []
    for number in range(len(LABELS)):
        path = folder / f"{number}.png"
        Image.fromarray(torch.randint(0, 256, (20, 18, 3)).to(torch.uint8).numpy()).save(path)
        paths.append(path.name)
    unknown = torch.full((len(LABELS),), -1)
    facts = ImageFacts(torch.tensor(LABELS), unknown, unknown, torch.zeros_like(unknown))
    return ImageTable(open_storage(folder), paths, facts, 16, 16, Image.Resampling.BILINEAR)


def recipe(**changes: object) -> Recipe:
    data: dict[str, object] = {
        "method": "small",
        "image": {"height": 16, "width": 16},
        "augment": {"pad": 2},
        "sampler": {"identities": 2, "images": 2},
        "optimiser": {"learning_rate": 0.05},
        "schedule": {"epochs": 4, "warmup_epochs": 1},
    }
    return Recipe.model_validate(data | changes)


def weights(network: nn.Module) -> list[Tensor]:
    return [value.clone() for value in network.state_dict().values()]


def weights_trained(network: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(
    "schedule",
    [
        {"warmup_epochs": 1},
        {"name": "iteration_cosine", "warmup_iterations": 3, "cosine_epochs": 3},
    ],
    ids=lambda schedule: schedule.get("name", "cosine"),
)
def test_a_stopped_run_resumes_to_the_same_bits(
    table: ImageTable, tmp_path: Path, schedule: dict[str, object]
) -> None:
    chosen = recipe(schedule={"epochs": 4, **schedule})
    whole, sink = Small(), Sink()
    trained = fit(whole, chosen, table, LABELS, 7, tmp_path / "whole", sink)
    history = trained.history
    assert trained.seconds == pytest.approx(sum(sink.seconds))
    assert sink.epochs == [1, 2, 3, 4]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]

    per_epoch = whole.steps // 4
    stopped, sink = Small(stop_at=2 * per_epoch + 2), Sink()
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(stopped, chosen, table, LABELS, 7, tmp_path / "stopped", sink)
    assert sink.epochs == [1, 2]

    resumed = Small()
    trained = fit(resumed, chosen, table, LABELS, 7, tmp_path / "stopped", sink)
    again = trained.history
    assert trained.seconds == pytest.approx(sum(sink.seconds))
    # nothing is left to train: what was trained before still counts
    finished = fit(Small(), chosen, table, LABELS, 7, tmp_path / "stopped", sink)
    assert finished == trained
    assert sink.epochs == [1, 2, 3, 4]
    assert again == history
    assert same(weights(resumed), weights(whole))


def test_the_seed_decides_the_weights(table: ImageTable, tmp_path: Path) -> None:
    runs = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        network = Small()
        fit(network, recipe(), table, LABELS, seed, tmp_path / name, Sink())
        runs.append(weights(network))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_bf16_trains(table: ImageTable, tmp_path: Path) -> None:
    network = Small()
    history = fit(network, recipe(precision="bf16"), table, LABELS, 1, tmp_path, Sink()).history
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())
    assert history[-1]["loss"] < history[0]["loss"] * 2


def test_the_rate_warms_up_by_batches_and_falls_by_epochs(
    table: ImageTable, tmp_path: Path
) -> None:
    by_batch = {"name": "iteration_cosine", "warmup_iterations": 5, "cosine_epochs": 2}
    # four people with five images each are one batch
    sampler = {"identities": 4, "images": 5}
    chosen = recipe(schedule=by_batch | {"epochs": 8}, sampler=sampler)
    history = fit(Small(), chosen, table, LABELS, 7, tmp_path, Sink()).history
    shares = [0.01, 0.208, 0.406, 0.604, 0.802, 1.0, 0.5005, 0.001]
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05 * s for s in shares])


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_one_step_of_a_limited_gradient_is_as_long_as_the_limit_allows(
    table: ImageTable, tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the CPU has fp16 too, only slowly
    monkeypatch.setattr(loop, "require_precision", lambda _: None)
    half = half_precision("cpu")
    monkeypatch.setattr("reid.training.precision.half_precision", lambda _: half)
    plain = {"learning_rate": 0.5, "momentum": 0, "weight_decay": 0, "bias_weight_decay": 0}
    chosen = recipe(
        precision=precision,
        sampler={"identities": 4, "images": 5},
        optimiser=plain | {"bias_factor": 1, "clip": 1e-2},
        schedule={"name": "step", "epochs": 1, "warmup_epochs": 0},
    )
    network = Small()
    before = weights_trained(network)
    fit(network, chosen, table, LABELS, 1, tmp_path, Sink())
    after = weights_trained(network)
    moved = torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.5 * 1e-2, rel=1e-3)


def test_fp16_needs_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ParamsError, match="fp16 but there is no GPU; expected fp32 or bf16"):
        require_precision("fp16")


class Scored(Small):
    """Two parts that are clipped by themselves, and pairs that are compared by a scorer."""

    backbone_prefix = "body."

    def scorer(self) -> PairScorer:
        assert not self.training
        return Opposite()

    def clipped(self) -> list[nn.Module]:
        return [self.body, self.head]


class Opposite:
    """Says that images are the more alike the wider the angle between them."""

    shape, flops, symmetric = (8,), 8.0, True

    def scores(self, queries: FloatArray, gallery: FloatArray) -> FloatArray:
        return -normalise(queries) @ normalise(gallery).T


@pytest.mark.parametrize("max_classes", [None, 3])
@pytest.mark.parametrize("kind", [Small, Scored])
def test_a_stopped_run_with_the_graph_sampler_resumes_to_the_same_bits(
    table: ImageTable, tmp_path: Path, kind: type[Small], max_classes: int | None
) -> None:
    sampler = {"name": "graph", "identities": 3, "images": 3, "max_classes": max_classes}
    chosen = recipe(sampler=sampler)
    whole = kind()
    history = fit(whole, chosen, table, LABELS, 7, tmp_path / "whole", Sink()).history
    per_epoch = max_classes or 4
    assert whole.steps == 4 * per_epoch

    stopped = kind(stop_at=2 * per_epoch + 2)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        fit(stopped, chosen, table, LABELS, 7, tmp_path / "stopped", Sink())
    resumed = kind()
    assert fit(resumed, chosen, table, LABELS, 7, tmp_path / "stopped", Sink()).history == history
    assert resumed.steps == 2 * per_epoch
    assert same(weights(resumed), weights(whole))


def test_the_graph_sampler_goes_by_what_compares_the_images(
    table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    losses = Small.losses

    def watched(network: Small, batch: Batch) -> dict[str, Tensor]:
        seen.append(batch.labels.tolist())
        return losses(network, batch)

    monkeypatch.setattr(Small, "losses", watched)
    chosen = recipe(sampler={"name": "graph", "identities": 2, "images": 2})
    epochs = []
    for kind in (Small, Scored):
        fit(kind(), chosen, table, LABELS, 7, tmp_path / kind.__name__, Sink())
        epochs.append(
            [{labels[-1]: labels[0] for labels in seen[i : i + 4]} for i in (0, 4, 8, 12)]
        )
        seen.clear()
    for partners in epochs[0] + epochs[1]:
        assert sorted(partners) == [0, 1, 2, 3]
        assert all(own != other for own, other in partners.items())
    # of three others the nearest is not the furthest
    assert all(epochs[0][0][person] != epochs[1][0][person] for person in range(4))


def test_the_cross_modal_sampler_goes_by_the_modalities_of_the_table(
    table: ImageTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modalities = torch.arange(len(LABELS)) % 2
    sampler = {"name": "cross_modal", "identities": 3, "images": 4}
    chosen = recipe(sampler=sampler, schedule={"epochs": 3})
    with pytest.raises(DataError, match="the training split has no infrared image"):
        fit(Small(), chosen, table, LABELS, 7, tmp_path / "visible", Sink())
    seen: list[tuple[list[int], list[int]]] = []
    losses = Small.losses

    def watched(network: Small, batch: Batch) -> dict[str, Tensor]:
        seen.append((batch.modalities.tolist(), batch.labels.tolist()))
        return losses(network, batch)

    monkeypatch.setattr(Small, "losses", watched)
    monkeypatch.setattr(table, "_facts", table._facts._replace(modalities=modalities))
    fit(Small(), chosen, table, LABELS, 7, tmp_path / "both", Sink())
    assert len(seen) == 3  # of five images two or three are infrared: one group of each person
    for kinds, people in seen:
        assert kinds == [1, 0] * 6
        assert [people.count(person) for person in people] == [4] * 12


def test_each_part_has_a_limit_of_its_own(table: ImageTable, tmp_path: Path) -> None:
    plain = {"learning_rate": 0.5, "momentum": 0, "weight_decay": 0, "bias_weight_decay": 0}
    chosen = recipe(
        sampler={"identities": 4, "images": 5},
        optimiser=plain | {"bias_factor": 1, "clip": 1e-3, "backbone_factor": 0.1},
        schedule={"name": "step", "epochs": 1, "warmup_epochs": 0},
    )
    network = Scored()
    parts = {"body": 0.05, "head": 0.5}
    before = {part: weights_trained(getattr(network, part)) for part in parts}
    fit(network, chosen, table, LABELS, 1, tmp_path, Sink())
    for part, rate in parts.items():
        after = weights_trained(getattr(network, part))
        moved = torch.cat([(a - b).flatten() for a, b in zip(after, before[part], strict=True)])
        assert float(moved.norm()) == pytest.approx(rate * 1e-3, rel=1e-3)


@pytest.mark.parametrize(
    "schedule",
    [
        {"epochs": 4, "warmup_epochs": 2},
        {"name": "iteration_cosine", "epochs": 4, "warmup_iterations": 2, "cosine_epochs": 3},
        {"name": "adaptive", "epochs": 3, "warmup_epochs": 2},
    ],
    ids=lambda schedule: schedule.get("name", "cosine"),
)
def test_the_history_shows_the_rate_without_factors(
    table: ImageTable, tmp_path: Path, schedule: dict[str, object]
) -> None:
    rates = []
    for factor in (1.0, 0.1):
        optimiser = {"learning_rate": 0.05, "backbone_factor": factor}
        chosen = recipe(
            sampler={"identities": 4, "images": 5}, optimiser=optimiser, schedule=schedule
        )
        history = fit(Scored(), chosen, table, LABELS, 7, tmp_path / str(factor), Sink()).history
        rates.append([row["learning_rate"] for row in history])
    assert rates[0] == rates[1]
    assert max(rates[0]) > 0.02


class Scripted(Small):
    """Says of every epoch that its loss is so much; an epoch is one batch here."""

    def __init__(self, script: dict[int, float], stop_at: int | None = None) -> None:
        super().__init__(stop_at)
        self.script = iter(script.values())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        loss = super().losses(batch)["loss"]
        return {"loss": loss - loss.detach() + next(self.script), "identity": loss}


def test_an_adaptive_run_ends_early_wherever_it_was_stopped(
    table: ImageTable, tmp_path: Path
) -> None:
    chosen = recipe(
        sampler={"identities": 4, "images": 5},
        schedule={"name": "adaptive", "epochs": 9, "warmup_epochs": 0},
    )
    script = {1: 9.0, 2: 1.0, 3: 0.8, 4: 0.6, 5: 0.1, 6: 0.01}
    whole = Scripted(script)
    history = fit(whole, chosen, table, LABELS, 7, tmp_path / "whole", Sink()).history
    assert [row["epoch"] for row in history] == list(script)
    assert [row["loss"] for row in history] == pytest.approx(list(script.values()))
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05] * 4 + [0.005] * 2)

    for done in (1, 2, 3, 4, 5):
        folder = tmp_path / f"{done}"
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(Scripted(script, stop_at=done + 1), chosen, table, LABELS, 7, folder, Sink())
        resumed = Scripted({epoch: loss for epoch, loss in script.items() if epoch > done})
        assert fit(resumed, chosen, table, LABELS, 7, folder, Sink()).history == history
        assert same(weights(resumed), weights(whole))

    again = Scripted({})
    assert fit(again, chosen, table, LABELS, 7, tmp_path / "whole", Sink()).history == history
    assert same(weights(again), weights(whole))
