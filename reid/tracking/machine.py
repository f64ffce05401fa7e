"""What a training uses of its machine: packages, processor, memory and, where readable, energy."""

import os
import platform
import sys
import time
from importlib.metadata import distributions
from pathlib import Path

import psutil
import torch

POWERCAP = Path("/sys/class/powercap")
_MIB = 2**20


def packages() -> str:
    """List the installed packages, one a line, as `pip freeze` does."""
    found = {f"{each.metadata['Name']}=={each.version}" for each in distributions()}
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def machine() -> str:
    """Say which Python, system and torch this is."""
    lines = (
        f"python {platform.python_version()} ({platform.python_implementation()})",
        f"system {platform.platform()}",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        f"accelerator {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none'}",
        f"started as {Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".rstrip(),
    )
    return "\n".join(lines) + "\n"


class Meter:
    """Measures this process between two readings, which cost less than a millisecond.

    Args:
        powercap: Folder of Linux with the energy counters of the processor packages.
    """

    def __init__(self, powercap: Path = POWERCAP) -> None:
        self._process = psutil.Process()
        self._counters = [
            counter
            for counter in sorted(powercap.glob("intel-rapl:?/energy_uj"))
            if _is_open(counter)
        ]
        self._begin()

    @property
    def energy_source(self) -> str:
        """What the energy is of, for people."""
        if not self._counters:
            return "not readable"
        return f"{len(self._counters)} processor packages (RAPL), all programs together"

    def read(self) -> dict[str, float]:
        """Return what was used since the last reading, under names that MLflow groups.

        Processor in percent of one core; memory, and the accelerator's peak, in MiB; energy in
        joules.
        """
        seconds = time.monotonic() - self._time
        used = self._processor() - self._used
        found = {
            "system/cpu_percent_of_a_core": 100 * used / max(seconds, 1e-9),
            "system/memory_megabytes": self._process.memory_info().rss / _MIB,
        }
        if torch.cuda.is_available():
            found["system/gpu_peak_memory_megabytes"] = torch.cuda.max_memory_allocated() / _MIB
        if self._counters:
            steps = zip(self._counters, self._energy(), self._joules, strict=True)
            found["system/energy_joules"] = sum(_spent(*step) for step in steps)
        self._begin()
        return found

    def _begin(self) -> None:
        self._time, self._used, self._joules = time.monotonic(), self._processor(), self._energy()

    def _processor(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _energy(self) -> list[float]:
        return [float(counter.read_text()) / 1e6 for counter in self._counters]


def _is_open(counter: Path) -> bool:
    return os.access(counter, os.R_OK)


def _spent(counter: Path, now: float, before: float) -> float:
    """Return the joules between two readings of a counter that begins anew at its range."""
    if now >= before:
        return now - before
    return now - before + float(counter.with_name("max_energy_range_uj").read_text()) / 1e6
