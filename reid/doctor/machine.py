"""Processor, memory, disk, torch and its accelerators."""

import os
import platform
import shutil
from functools import partial
from pathlib import Path

import torch

from reid.doctor.finding import Finding, Seen, examine
from reid.tracking.lineage import hardware

GROUP = "machine"
GIB = 2**30
LEAST_DISK_GIB = 1.0
VECTOR_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
NO_GPU = "Everything works without one, more slowly."


def findings() -> list[Finding]:
    """Look at the machine that everything runs on."""
    found = [
        examine(GROUP, "python", _python, "Use Python 3.11 or later."),
        examine(GROUP, "processor", _processor, "Nothing depends on it.", needed=False),
        examine(GROUP, "memory", _memory, "Nothing depends on it.", needed=False),
        examine(GROUP, "disk", _disk, "Free space: images, checkpoints and features need it."),
        examine(GROUP, "torch", _torch, "Run `make install`."),
    ]
    count = torch.cuda.device_count()
    if not count:
        return [*found, examine(GROUP, "GPU", _no_gpu, NO_GPU, needed=False)]
    remedy = "Check the driver with `nvidia-smi`."
    return found + [
        examine(GROUP, f"GPU {index}", partial(_gpu, index), remedy) for index in range(count)
    ]


def _python() -> Seen:
    version = platform.python_version()
    return Seen(f"{version} on {platform.platform(terse=True)}", {"version": version})


def _processor() -> Seen:
    facts = hardware()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    there = [flag for flag in VECTOR_FLAGS if flag in flags]
    missing = [flag for flag in VECTOR_FLAGS if flag not in flags]
    text = f"{facts['hardware.cpu']}, {facts['hardware.cores']} cores; {' '.join(there)}"
    if missing:
        text += f"; without {' '.join(missing)}"
    cores = int(facts["hardware.cores"])
    named = {flag: flag in there for flag in VECTOR_FLAGS}
    return Seen(text, {"model": facts["hardware.cpu"], "cores": cores, **named})


def _memory() -> Seen:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    text = f"{total:.1f} GiB, of which {free:.1f} GiB are unused"
    return Seen(text, {"total_gib": round(total, 1), "unused_gib": round(free, 1)})


def _disk() -> Seen:
    free = shutil.disk_usage(Path()).free / GIB
    if free < LEAST_DISK_GIB:
        raise OSError(f"{free:.2f} GiB free in this folder, at least {LEAST_DISK_GIB:g} expected")
    return Seen(f"{free:.1f} GiB free in this folder", {"free_gib": round(free, 1)})


def _torch() -> Seen:
    cuda = torch.version.cuda
    built = f"built for CUDA {cuda}" if cuda else "built without CUDA"
    threads = torch.get_num_threads()
    version = str(torch.__version__)
    text = f"{version}, {built}, {threads} threads"
    return Seen(text, {"version": version, "cuda": cuda, "threads": threads})


def _no_gpu() -> Seen:
    if torch.version.cuda is None:
        raise RuntimeError("torch is built without CUDA")
    raise RuntimeError("torch finds none")


def _gpu(index: int) -> Seen:
    card = torch.cuda.get_device_properties(index)
    memory = card.total_memory / GIB
    bf16 = (card.major, card.minor) >= (8, 0)  # in hardware, since Ampere
    driver = _driver()
    text = (
        f"{card.name}, {memory:.0f} GiB, compute capability {card.major}.{card.minor}, "
        f"{'with' if bf16 else 'without'} bf16, driver {driver}"
    )
    return Seen(
        text,
        {"name": card.name, "memory_gib": round(memory, 1), "bf16": bf16, "driver": driver},
    )


def _driver() -> str:
    try:
        return Path("/sys/module/nvidia/version").read_text(encoding="utf-8").strip()
    except OSError:  # not Linux, or hidden by a container
        return "unknown"
