from importlib.metadata import version
from pathlib import Path

from reid.tracking.machine import Meter, machine, packages


def _counter(powercap: Path, name: str, microjoules: int) -> None:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text("10000000\n")


def test_energy_is_summed_over_packages_and_counters_begin_anew(tmp_path: Path) -> None:
    _counter(tmp_path, "intel-rapl:0", 9_000_000)
    _counter(tmp_path, "intel-rapl:1", 1_000_000)
    _counter(tmp_path, "intel-rapl:0:0", 5_000_000)  # a part of package 0
    meter = Meter(tmp_path)
    assert meter.energy_source.startswith("2 processor packages")
    _counter(tmp_path, "intel-rapl:0", 2_000_000)
    _counter(tmp_path, "intel-rapl:1", 1_500_000)
    _counter(tmp_path, "intel-rapl:0:0", 9_000_000)
    assert meter.read()["system/energy_joules"] == 3.5
    assert meter.read()["system/energy_joules"] == 0.0


def test_energy_that_cannot_be_read_is_absent_and_said(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.energy_source == "not readable"
    assert "system/energy_joules" not in meter.read()


def test_work_shows_as_processor_time(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    sum(number * number for number in range(2_000_000))
    found = meter.read()
    assert found["system/cpu_percent_of_a_core"] > 0
    assert found["system/memory_megabytes"] > 10


def test_environment_names_packages_and_python() -> None:
    lines = packages().splitlines()
    assert f"mlflow=={version('mlflow')}" in lines
    assert lines == sorted(lines, key=str.lower)
    assert machine().startswith("python 3.")
