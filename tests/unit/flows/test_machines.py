"""What may run side by side: the file of the machines, and its mistakes."""

import socket
from pathlib import Path

import pytest

from flows.errors import FlowError
from flows.machines import FILE, Machine, load_machine
from reid.errors import ParamsError
from reid.params import read_yaml

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dvc.yaml").write_text("stages: {data: {}, train: {}, evaluate: {}}")
    (tmp_path / FILE).parent.mkdir()
    return tmp_path


def load(folder: Path, text: str) -> Machine:
    (folder / FILE).write_text(text)
    return load_machine(folder)


def test_without_a_file_one_stage_runs_at_a_time(folder: Path) -> None:
    machine = load_machine(folder)
    assert machine.slots == {"cpu": 1}
    assert machine.needs("train@bot").slots == {"cpu": 1}


def test_a_machine_is_found_by_its_name_else_it_is_as_any(folder: Path) -> None:
    text = 'machines: {default: {cpu: 1}, "%s": {cpu: 8, gpu: 2}}'
    assert load(folder, text % socket.gethostname()).slots == {"cpu": 8, "gpu": 2}
    assert load(folder, text % "elsewhere").slots == {"cpu": 1}


def test_a_kind_takes_its_own_and_others_the_default(folder: Path) -> None:
    text = "stages: {default: {slots: {cpu: 2}, hours: 3}, train: {slots: {gpu: 1}, hours: 0.5}}"
    machine = load(folder, text)
    assert (machine.needs("train@bot").slots, machine.needs("train@bot").hours) == ({"gpu": 1}, 0.5)
    assert (machine.needs("data@city").slots, machine.needs("data@city").hours) == ({"cpu": 2}, 3)


def test_more_than_there_is_is_refused_before_anything_runs(folder: Path) -> None:
    machine = load(folder, "stages: {train: {slots: {gpu: 1}}}")
    machine.require_slots_for(["data@city"])
    with pytest.raises(FlowError, match=r"stage 'train@bot' needs 1 gpu of the 0 of machine .*;"):
        machine.require_slots_for(["data@city", "train@bot"])


def test_mistakes_in_the_file_are_named(folder: Path) -> None:
    with pytest.raises(FlowError, match=r"no stage of kind 'trian' \(did you mean 'train'\?\)"):
        load(folder, "stages: {trian: {}}")
    with pytest.raises(ParamsError, match=r"unknown key 'stages.train.hour' .*hours"):
        load(folder, "stages: {train: {hour: 3}}")
    with pytest.raises(ParamsError, match=r"'machines.default.cpu' is 0"):
        load(folder, "machines: {default: {cpu: 0}}")


def test_the_file_of_the_project_fits_its_graph() -> None:
    kinds = read_yaml(ROOT / "dvc.yaml")["stages"]
    machine = load_machine(ROOT)
    machine.require_slots_for(kinds)
