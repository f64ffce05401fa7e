"""Short timed trials of what all the work is made of, each checked against plain arithmetic."""

import math
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from reid.compiled import over_rows, thread_count
from reid.doctor.clock import best_seconds, devices, seconds
from reid.doctor.finding import Finding, Seen, examine

GROUP = "trials"
PRODUCT_SIZE = {"cpu": 768, "cuda": 4096}
REINSTALL = "Install it again: `make clean install`."
# of results of ordinary size in single precision
TOLERANCE = 1e-3


def findings() -> list[Finding]:
    """Try matrix products, attention, neighbour search and compiled loops."""
    found = []
    for device in devices():
        for name, work in (("matrix product", _product), ("attention", _attention)):
            look = partial(work, device)
            found.append(examine(GROUP, f"{name} ({device})", look, REINSTALL))
    found.append(examine(GROUP, "faiss (cpu)", partial(_faiss, gpu=False), REINSTALL))
    remedy = "Searches run on the CPU."
    found.append(examine(GROUP, "faiss (gpu)", partial(_faiss, gpu=True), remedy, needed=False))
    return [*found, examine(GROUP, "numba", _numba, REINSTALL)]


def _product(device: str) -> Seen:
    size = PRODUCT_SIZE[device]
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    row = (left[0].double()[:, None] * right.double()).sum(dim=0)
    rates = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        a, b = left.to(kind), right.to(kind)
        tolerance = TOLERANCE if kind == torch.float32 else 0.05
        _require_close((a @ b)[0], row, tolerance)
        duration = best_seconds(partial(torch.matmul, a, b), device)
        rates[f"{name}_gflops"] = round(2 * size**3 / duration / 1e9, 1)
    fast, half = rates.values()
    return Seen(f"{fast:.0f} GFLOP/s in fp32, {half:.0f} in bf16", rates)


def _attention(device: str) -> Seen:
    shape = (8, 12, 211, 64)  # images, heads and tokens of TransReID's trunk
    query, key, value = (torch.randn(shape, device=device) for _ in range(3))
    explicit = _explicit_attention(query, key, value)
    _require_close(F.scaled_dot_product_attention(query, key, value), explicit, TOLERANCE)
    fused = 1000 * best_seconds(lambda: F.scaled_dot_product_attention(query, key, value), device)
    plain = 1000 * best_seconds(lambda: _explicit_attention(query, key, value), device)
    text = f"{fused:.1f} ms fused, {plain:.1f} ms written out"
    return Seen(text, {"fused_ms": round(fused, 2), "explicit_ms": round(plain, 2)})


def _explicit_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return scores.softmax(dim=-1) @ value


def _faiss(*, gpu: bool) -> Seen:
    import faiss

    count = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    if gpu and not count:
        raise RuntimeError("it finds no GPU")
    draw = np.random.default_rng(0)
    gallery, query = (draw.standard_normal((n, 128), np.float32) for n in (10_000, 200))
    index: Any = faiss.IndexFlatL2(gallery.shape[1])
    if gpu:
        index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    index.add(gallery)
    distances, _ = index.search(query, 1)
    exact = torch.cdist(torch.from_numpy(query).double(), torch.from_numpy(gallery).double())
    _require_close(torch.from_numpy(distances[:, 0]), exact.amin(dim=1) ** 2, TOLERANCE)
    duration = 1000 * best_seconds(lambda: index.search(query, 20))
    text = f"{len(query)} queries in {len(gallery)} rows in {duration:.1f} ms; GPUs: {count}"
    version = str(faiss.__version__)
    return Seen(text, {"version": version, "gpus": count, "search_ms": round(duration, 2)})


def _sum_squares(start: int, stop: int, values: NDArray[np.float64], out: NDArray[Any]) -> None:
    for row in range(start, stop):
        total = 0.0
        for column in range(values.shape[1]):
            total += values[row, column] ** 2
        out[row] = total


def _numba() -> Seen:
    kernel = numba.njit(nogil=True)(_sum_squares)  # not from the cache: compiling is what is tried
    values = np.random.default_rng(0).standard_normal((4096, 512))
    out = np.empty(len(values))
    compile_seconds = seconds(lambda: kernel(0, 1, values, out))
    duration = 1000 * best_seconds(lambda: over_rows(kernel, len(values), values, out))
    _require_close(torch.from_numpy(out), torch.from_numpy((values**2).sum(axis=1)), TOLERANCE)
    text = (
        f"compiles in {compile_seconds:.2f} s, runs {duration:.1f} ms on {thread_count()} threads"
    )
    facts = {"compile_s": round(compile_seconds, 2), "run_ms": round(duration, 2)}
    return Seen(text, {**facts, "threads": thread_count()})


def _require_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Raise unless the largest difference is small against the largest value; NaN is not."""
    error = (found.double() - expected.double()).abs().max() / expected.double().abs().max()
    if not float(error) <= tolerance:
        raise ArithmeticError(f"the result is wrong by {float(error):.1g} of its largest value")
