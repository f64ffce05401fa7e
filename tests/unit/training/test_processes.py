from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from reid.data.images import ImageFacts, ImageTable
from reid.data.storage import open_storage
from reid.errors import ParamsError, TrainingError
from reid.recipe import Recipe
from reid.training.loop import fit
from reid.training.processes import ONE_PROCESS, Processes, require_processes, share_network
from tests.unit.training.test_loop import Sink, Small

_PLACE = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "GROUP_RANK", "RANK")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU, and nobody has started several processes."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for name in _PLACE:
        monkeypatch.delenv(name, raising=False)


def recipe(identities: int = 4) -> Recipe:
    return Recipe.model_validate(
        {
            "method": "small",
            "image": {"height": 16, "width": 16},
            "sampler": {"identities": identities, "images": 2},
            "optimiser": {"learning_rate": 0.05},
            "schedule": {"epochs": 1, "warmup_epochs": 0},
        }
    )


@pytest.mark.parametrize(
    ("processes", "message"),
    [
        (Processes(0), r"^0 devices; expected at least 1. Correct --devices or REID_DEVICES.$"),
        (Processes(1, -1), r"^-1 nodes; expected at least 1. Correct --nodes or REID_NODES.$"),
        (
            Processes(3),
            r"^sampler.identities is 4 with 3 processes; expected a multiple of the number of "
            r"processes. Train with other --devices and --nodes, or change",
        ),
        (
            Processes(1, 2),
            r"^2 nodes, and no MASTER_ADDR, MASTER_PORT, NODE_RANK in the environment; expected the"
            r" first node's address, a free port of it, and this node's number from 0. Set them",
        ),
    ],
)
def test_processes_that_cannot_train(processes: Processes, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        require_processes(processes, recipe())


def test_more_devices_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ParamsError, match=r"^2 devices on a machine with 1 GPUs; expected at most"):
        require_processes(Processes(2), recipe())


def test_a_launcher_that_started_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(
        ParamsError, match=r"^4 processes were started, and 1 devices on 2 nodes are"
    ):
        require_processes(Processes(1, 2), recipe())
    require_processes(Processes(2, 2), recipe())


@pytest.mark.parametrize(
    ("node", "local", "first"), [("0", "0", True), ("0", "1", False), ("1", "0", False)]
)
def test_one_process_writes(
    node: str, local: str, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Processes(2, 2).first  # before others are started
    monkeypatch.setenv("NODE_RANK", node)
    monkeypatch.setenv("LOCAL_RANK", local)
    assert Processes(2, 2).first is first
    assert ONE_PROCESS.first


def test_losses_of_one_process_alone_are_refused() -> None:
    with pytest.raises(
        ParamsError,
        match=r"^the losses of Small see the images of one process alone; expected a network whose "
        r"`per_image` names the parts before its losses. Train with --devices 1 --nodes 1.$",
    ):
        share_network(Small())


class Orphan(Small):
    """What gloo says where another process has ended."""

    def losses(self, batch: object) -> dict[str, torch.Tensor]:
        raise RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed")

    def per_image(self) -> list[nn.Module]:
        return [self.body]


def test_the_end_of_another_process_is_one_line(tmp_path: Path) -> None:
    unknown = torch.full((8,), -1)
    facts = ImageFacts(unknown, unknown, unknown, torch.zeros_like(unknown))
    for number in range(8):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{number}.png")
    paths = [f"{number}.png" for number in range(8)]
    table = ImageTable(open_storage(tmp_path), paths, facts, 16, 16, Image.Resampling.BILINEAR)
    labels = [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(TrainingError, match=r"^another process of this training has ended \(.*Con"):
        fit(Orphan(), recipe(), table, labels, 0, tmp_path / "checkpoints", Sink())
