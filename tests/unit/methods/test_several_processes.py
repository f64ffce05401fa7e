"""Two processes that share a batch have the losses and gradients that one has of all of it."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from reid.data.images import Batch
from reid.methods.base import DataFacts, EmbeddingNetwork
from reid.methods.registry import METHODS, build_network, load_recipe
from reid.nn.processes import gather_rows, mean_over_processes, sync_batch_norms

PARAMS = Path(__file__).parents[3] / "params" / "methods"
ROOT = Path(__file__).parents[3]
PROCESSES, PEOPLE, IMAGES = 2, 4, 4
OVERRIDES = {
    "bot": {"model": {"backbone": "resnet10t", "last_stride": 1}},
    "personvit": {"model": {"patch": 16, "stride": 16, "stem": True}},
    "transmatcher": {"model": {"frozen_statistics": False}},
}
Kept = dict[str, Tensor]


def network(method: str) -> EmbeddingNetwork:
    torch.manual_seed(0)
    recipe = load_recipe(PARAMS / method / "smoke.yaml", OVERRIDES.get(method, {}))
    made = build_network(recipe, DataFacts(PEOPLE, 2, 1)).double().train()
    for module in made.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # each process draws for itself
    return made


def batch(method: str) -> Batch:
    image = load_recipe(PARAMS / method / "smoke.yaml", {}).image
    generator = torch.Generator().manual_seed(1)
    count = PEOPLE * IMAGES
    shape = (count, 3, image.height, image.width)
    images = torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = torch.arange(PEOPLE).repeat_interleave(IMAGES)
    turns = torch.arange(count) % 2
    return Batch(images, labels, turns, torch.zeros_like(turns), 1 - turns)


def kept(made: EmbeddingNetwork, losses: dict[str, Tensor]) -> Kept:
    grads = {f"grad {n}": p.grad for n, p in made.named_parameters() if p.grad is not None}
    stats = {f"stat {n}": b.float() for n, b in made.named_buffers()}
    return {**{f"loss {n}": v.detach() for n, v in losses.items()}, **grads, **stats}


def step(method: str, rank: int) -> Kept:
    made, whole = network(method), batch(method)
    if dist.is_initialized():
        for part in made.per_image():
            sync_batch_norms(part)
        share = len(whole.labels) // PROCESSES
        whole = Batch(*(part[rank * share : (rank + 1) * share] for part in whole))
    losses = made.losses(whole)
    losses["loss"].backward()
    return kept(made, losses)


def gathered(rank: int) -> Kept:
    """Gradients of a sum of weighted rows, and of a mean, both of which all processes compute."""
    rows = torch.full((2, 3), float(rank + 1), requires_grad=True)
    weights = torch.arange(12.0).view(4, 3)
    (gather_rows(rows) * weights).sum().backward()
    values = torch.tensor([1.0 + rank], requires_grad=True)
    mean = mean_over_processes(values)
    mean.square().sum().backward()
    assert rows.grad is not None
    assert values.grad is not None
    return {"rows": rows.grad, "mean": mean.detach(), "values": values.grad}


def work(rank: int, folder: str) -> None:
    store = f"file://{folder}/store"
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=PROCESSES)
    found = {method: step(method, rank) for method in METHODS}
    torch.save({"gathered": gathered(rank), **found}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Kept]]:
    """What each process has found, by method."""
    folder = tmp_path_factory.mktemp("processes")
    with pytest.MonkeyPatch.context() as patch:
        # a new process finds this file only where its parent's path has the root
        patch.syspath_prepend(ROOT)
        mp.spawn(work, (str(folder),), PROCESSES)  # type: ignore[no-untyped-call]
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


def test_gradients_of_gathered_rows_are_those_of_the_sum_of_all_losses(
    shares: list[dict[str, Kept]],
) -> None:
    weights = torch.arange(12.0).view(4, 3)
    for rank, share in enumerate(shares):
        found = share["gathered"]
        torch.testing.assert_close(found["rows"], PROCESSES * weights[2 * rank : 2 * rank + 2])
        assert found["mean"] == 1.5
        assert found["values"] == PROCESSES * 2 * 1.5 / PROCESSES


@pytest.mark.parametrize("method", METHODS)
def test_two_processes_have_losses_gradients_and_statistics_of_one(
    method: str, shares: list[dict[str, Kept]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All in double precision, where rounding hides nothing."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    expected = step(method, 0)
    first, second = (share[method] for share in shares)
    assert first.keys() == second.keys() == expected.keys()
    for name, value in expected.items():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, value, rtol=1e-7, atol=1e-9, msg=name)
        # what an instance norm has seen is averaged behind the epoch; all else is alike at once
        if not name.startswith(("grad", "stat purifier.norm")):
            torch.testing.assert_close(first[name], second[name], rtol=1e-7, atol=1e-9, msg=name)
