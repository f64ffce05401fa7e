from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from reid.pretrain.centre import Centres


@pytest.fixture(params=["alone", "in a group"])
def processes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    if request.param == "alone":
        yield
        return
    store = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("processes")
def test_centres_move_towards_the_mean_of_a_batch() -> None:
    centres = Centres(2, momentum=0.9)
    centres.cls.fill_(1.0)
    centres.update(torch.tensor([[1.0, 3.0], [3.0, 5.0]]), torch.tensor([[10.0, 0.0]]))
    torch.testing.assert_close(centres.cls, torch.tensor([[0.9 + 0.2, 0.9 + 0.4]]))
    torch.testing.assert_close(centres.patch, torch.tensor([[1.0, 0.0]]))


def test_patches_may_stay_out() -> None:
    centres = Centres(2, momentum=0.9)
    centres.update(torch.ones(1, 2), None)
    assert centres.patch.tolist() == [[0, 0]]


def test_centres_are_part_of_the_state() -> None:
    assert Centres(2, 0.9).state_dict().keys() == {"cls", "patch"}
