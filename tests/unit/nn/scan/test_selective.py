import logging
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reid import compiled
from reid.errors import ParamsError
from reid.nn.scan import backends, vectorised
from reid.nn.scan.backends import Backend, choose_backend, missing_reason
from reid.nn.scan.native_kernels import BLOCK, exp2, place
from reid.nn.scan.selective import selective_scan

FAST: tuple[Backend, ...] = ("native", "torch")


def inputs(
    batch: int, channels: int, states: int, steps: int, groups: int = 1, size: float = 1.0
) -> list[Tensor]:
    """u, delta, A, B, C, D, z, delta_bias in double precision."""
    generator = torch.Generator().manual_seed(steps)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rates = -torch.arange(1.0, states + 1, dtype=torch.float64).expand(channels, -1)
    shared = [draw(batch, groups, states, steps) for _ in range(2)]
    sequences = [draw(batch, channels, steps) for _ in range(3)]
    return [
        sequences[0],
        size * sequences[1],
        rates,
        *shared,
        draw(channels),
        sequences[2],
        draw(channels),
    ]


def run(
    given: list[Tensor], backend: Backend, kind: torch.dtype, reverse: tuple[bool, ...] = ()
) -> list[Tensor]:
    """Output, last state and all gradients."""
    leaves = [x.to(kind, copy=True).requires_grad_() for x in given]
    out, last = selective_scan(*leaves, reverse=reverse, backend=backend)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    (out * weights).sum().backward()
    return [out.detach(), last, *(x.grad for x in leaves if x.grad is not None)]


def assert_close(found: list[Tensor], expected: list[Tensor], bound: float) -> None:
    assert len(found) == len(expected) == 10
    for got, truth in zip(found, expected, strict=True):
        assert torch.isfinite(got).all()
        assert float((got - truth).norm()) <= bound * float(truth.norm())


@pytest.mark.parametrize("backend", FAST)
@settings(max_examples=12, deadline=None)
@given(
    batch=st.integers(1, 3),
    half=st.integers(1, BLOCK + 9),
    states=st.integers(1, 17),
    steps=st.integers(1, 40),
    reverse=st.sampled_from([(False,), (True,), (False, True), (True, False)]),
)
def test_any_shape(
    backend: Backend, batch: int, half: int, states: int, steps: int, reverse: tuple[bool, ...]
) -> None:
    data = inputs(batch, half * len(reverse), states, steps, len(reverse))
    truth = run(data, "torch", torch.float64, reverse)
    assert_close(run(data, backend, torch.float32, reverse), truth, 3e-6)


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("steps", "size"), [(2048, 1.0), (70, 60.0)])
def test_long_sequences_and_large_steps(backend: Backend, steps: int, size: float) -> None:
    data = inputs(1, 6, 16, steps, size=size)
    assert_close(run(data, backend, torch.float32), run(data, "torch", torch.float64), 1e-5)


def test_the_definition() -> None:
    data = inputs(2, 6, 5, 23, groups=2)
    expected = run(data, "reference", torch.float64, (False, True))
    assert_close(run(data, "torch", torch.float64, (False, True)), expected, 1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    leaves = [x.requires_grad_() for x in inputs(1, 2, 2, 5)]
    assert torch.autograd.gradcheck(
        lambda *x: selective_scan(*x, backend="torch")[0], leaves, eps=1e-6
    )


@pytest.mark.parametrize("backend", FAST)
def test_reversed_time_is_the_flipped_sequence(backend: Backend) -> None:
    data = [x.float() for x in inputs(2, 5, 4, 21)]
    turned = [x.flip(-1) if x.shape[-1] == 21 else x for x in data]
    there, _ = selective_scan(*data, reverse=(True,), backend=backend)
    back, _ = selective_scan(*turned, backend=backend)
    torch.testing.assert_close(there, back.flip(-1))


@pytest.mark.parametrize("backend", FAST)
def test_half_precision_under_autocast_is_computed_in_single(backend: Backend) -> None:
    data = [x.bfloat16() for x in inputs(2, 8, 16, 50, size=30.0)]
    for leaf in data:
        leaf.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        out, last = selective_scan(*data, backend=backend)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert last.dtype == torch.float32
    assert all(x.grad is not None and torch.isfinite(x.grad).all() for x in data)


@pytest.mark.parametrize("backend", FAST)
def test_threads_change_no_bit(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectorised, "STEP_SIZE", 64)  # several blocks
    data = inputs(2, 2 * BLOCK + 3, 4, 33)
    made, before = [], torch.get_num_threads()
    for threads in (1, 3):
        monkeypatch.setattr(compiled, "thread_count", lambda n=threads: n)
        torch.set_num_threads(threads)
        made.append(run(data, backend, torch.float32))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*made, strict=True))


def test_the_power_of_two_is_exact_to_single_precision() -> None:
    values = np.linspace(-125, 0, 10_001, dtype=np.float32)
    found = np.array([exp2(x) for x in values], np.float64)
    np.testing.assert_allclose(found, np.exp2(values.astype(np.float64)), rtol=2e-7)
    assert 0 < exp2(np.float32(-1e30)) <= 2.0**-126


@given(channels=st.integers(1, 300), groups=st.integers(1, 3), batch=st.integers(1, 3))
def test_tasks_cover_every_channel_once(channels: int, groups: int, batch: int) -> None:
    seen = np.zeros((groups, batch, channels), int)
    for task in range(groups * batch * -(-channels // BLOCK)):
        group, image, number, width = place(task, (groups, batch, 7, channels))
        seen[group, image, number * BLOCK : number * BLOCK + width] += 1
    assert (seen == 1).all()


def test_auto_takes_the_fastest_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    choose_backend.cache_clear()
    with caplog.at_level(logging.INFO, "reid.nn.scan.backends"):
        choice = choose_backend("auto", "cpu")
        choose_backend("auto", "cpu")
    assert choice.name == "native"
    assert "not cuda: the tensors are not on a GPU" in choice.reason
    assert len(caplog.records) == 1
    assert choose_backend("auto", "cpu", torch.float64).name == "torch"


def test_a_backend_that_does_not_import_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends.BACKENDS, "native", "reid.nn.scan.nowhere")
    choose_backend.cache_clear()
    choice = choose_backend("auto", "cpu")
    choose_backend.cache_clear()
    assert choice.name == "torch"
    assert "not native: it does not import: No module named" in choice.reason


def test_a_backend_that_is_not_there_is_refused() -> None:
    reason = re.escape("scan backend 'cuda' cannot be used: the tensors are not on a GPU")
    with pytest.raises(ParamsError, match=reason):
        choose_backend("cuda", "cpu")
    assert missing_reason("native", "cpu", torch.float64) == "it has no double precision"


def test_shapes_that_do_not_belong_together() -> None:
    data = inputs(2, 6, 4, 9)
    data[1] = data[1][:, :5]
    with pytest.raises(ParamsError, match=r"u \[2, 6, 9\], delta \[2, 5, 9\]"):
        selective_scan(*data)
    with pytest.raises(ParamsError, match="4 groups"):
        selective_scan(*inputs(2, 6, 4, 9, groups=4))
    data = inputs(2, 6, 4, 9)
    data[4] = data[4][..., :7]
    with pytest.raises(ParamsError, match=r"C is \[1, 2, 7, 4\] beside u \[1, 2, 9, 6\]"):
        selective_scan(*data)
    with pytest.raises(ParamsError, match="1 groups with 2 directions and 9 steps"):
        selective_scan(*inputs(2, 6, 4, 9), reverse=(True, False))
