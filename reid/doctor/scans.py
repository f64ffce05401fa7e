"""The backends of the selective scan: usable or why not, how fast, and how exact."""

from collections.abc import Iterator
from functools import partial
from typing import cast

import torch
from torch import Tensor

from reid.doctor.clock import best_seconds, devices, seconds
from reid.doctor.finding import Finding, Seen, State, examine
from reid.nn.scan.backends import BACKENDS, Backend, choose_backend, missing_reason
from reid.nn.scan.selective import selective_scan

GROUP = "selective scan"
BATCH, CHANNELS, STATES, STEPS = 2, 256, 16, 128
TOLERANCE = 1e-4
ALWAYS = ("torch", "reference")
REMEDIES = {
    "cuda": "Only for NVIDIA GPUs: `pip install 'reidflow[mamba]'`, see README; others serve.",
    "native": "The torch backend serves, more slowly.",
}
BROKEN = "Name another backend as `model.scan` in the recipe, and report this."


def findings() -> list[Finding]:
    """Try every backend forwards and backwards against float64, and say which `auto` takes."""
    inputs = _inputs()
    truth = _run("reference", [x.double() for x in inputs])
    found = [_backend(name, device, inputs, truth) for name, device in _places()]
    return found + [
        examine(GROUP, f"auto ({device})", partial(_auto, device), BROKEN) for device in devices()
    ]


def _places() -> Iterator[tuple[str, str]]:
    """Yield every backend with the devices on which it is worth a trial."""
    for name in BACKENDS:
        if name == "cuda":
            yield name, "cuda"
        elif name == "torch":
            yield from ((name, device) for device in devices())
        else:
            yield name, "cpu"


def _backend(name: str, device: str, inputs: list[Tensor], truth: list[Tensor]) -> Finding:
    title = f"{name} ({device})"
    missing = missing_reason(name, device)
    if missing is not None:
        state: State = "broken" if name in ALWAYS else "absent"
        return Finding(GROUP, title, state, missing, REMEDIES.get(name, "Run `make install`."))
    return examine(GROUP, title, partial(_trial, name, device, inputs, truth), BROKEN)


def _trial(name: str, device: str, inputs: list[Tensor], truth: list[Tensor]) -> Seen:
    here = [x.to(device) for x in inputs]
    first = seconds(lambda: _run(name, here), device)
    error = _error(_run(name, here), truth)
    if not error <= TOLERANCE:  # NaN is not either
        raise ArithmeticError(f"wrong by {error:.1g} against float64")
    duration = 1000 * best_seconds(lambda: _run(name, here), device)
    text = f"{duration:.1f} ms forwards and backwards (first {first:.2f} s), error {error:.0e}"
    return Seen(text, {"ms": round(duration, 2), "first_s": round(first, 2), "error": error})


def _auto(device: str) -> Seen:
    choice = choose_backend("auto", device)
    return Seen(f"{choice.name} ({choice.reason})", choice._asdict())


def _inputs() -> list[Tensor]:
    """Draw u, delta, A, B, C, D and the bias of delta, in float32."""
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw)

    decay = -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1)
    sequences = [normal(BATCH, CHANNELS, STEPS) for _ in range(2)]
    mixing = [normal(BATCH, 2, STATES, STEPS) for _ in range(2)]
    return [*sequences, decay, *mixing, normal(CHANNELS), normal(CHANNELS) - 3]


def _run(name: str, inputs: list[Tensor]) -> list[Tensor]:
    """Return the output, and the gradients of every input of a fixed sum of it."""
    u, delta, A, B, C, D, bias = leaves = [x.detach().clone().requires_grad_() for x in inputs]
    with torch.enable_grad():
        out, _ = selective_scan(
            u,
            delta,
            A,
            B,
            C,
            D,
            delta_bias=bias,
            reverse=(False, True),
            backend=cast(Backend, name),
        )
        weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype, device=out.device)
        gradients = torch.autograd.grad((out.flatten() * weights).sum(), leaves)
    return [x.cpu() for x in (out.detach(), *gradients)]


def _error(found: list[Tensor], truth: list[Tensor]) -> float:
    """Return the largest difference of any tensor against its largest true value."""
    pairs = zip(found, truth, strict=True)
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in pairs)
