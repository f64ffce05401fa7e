"""What may run side by side: the file of the machines, and its mistakes."""

import socket
from pathlib import Path

import pytest

from flows.errors import FlowError
from flows.machines import FILE, Machine, load_machine
from reid.errors import ParamsError
from reid.params import read_yaml

ROOT = Path(__file__).parents[3]
KINDS = ("data", "train", "evaluate")


def load(folder: Path, text: str) -> Machine:
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return load_machine(folder, KINDS)


def test_without_a_file_one_stage_runs_at_a_time(tmp_path: Path) -> None:
    machine = load_machine(tmp_path, KINDS)
    assert machine.slots == {"cpu": 1}
    assert machine.needs("train@bot").slots == {"cpu": 1}


def test_a_machine_is_found_by_its_name_else_it_is_as_any(tmp_path: Path) -> None:
    text = "machines: {default: {cpu: 1}, %s: {cpu: 8, gpu: 2}}"
    assert load(tmp_path, text % socket.gethostname()).slots == {"cpu": 8, "gpu": 2}
    assert load(tmp_path, text % "elsewhere").slots == {"cpu": 1}


def test_a_kind_takes_its_own_and_others_the_default(tmp_path: Path) -> None:
    text = "stages: {default: {slots: {cpu: 2}, hours: 3}, train: {slots: {gpu: 1}, hours: 0.5}}"
    machine = load(tmp_path, text)
    assert (machine.needs("train@bot").slots, machine.needs("train@bot").hours) == ({"gpu": 1}, 0.5)
    assert (machine.needs("data@city").slots, machine.needs("data@city").hours) == ({"cpu": 2}, 3)


def test_more_than_there_is_is_refused_before_anything_runs(tmp_path: Path) -> None:
    machine = load(tmp_path, "stages: {train: {slots: {gpu: 1}}}")
    machine.require_slots_for(["data@city"])
    with pytest.raises(FlowError, match=r"stage 'train@bot' needs 1 gpu of the 0 of machine .*;"):
        machine.require_slots_for(["data@city", "train@bot"])


def test_mistakes_in_the_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match=r"no stage of kind 'trian' \(did you mean 'train'\?\)"):
        load(tmp_path, "stages: {trian: {}}")
    with pytest.raises(ParamsError, match=r"unknown key 'stages.train.hour' .*hours"):
        load(tmp_path, "stages: {train: {hour: 3}}")
    with pytest.raises(ParamsError, match=r"'machines.default.cpu' is 0"):
        load(tmp_path, "machines: {default: {cpu: 0}}")


def test_the_file_of_the_project_fits_its_graph() -> None:
    kinds = read_yaml(ROOT / "dvc.yaml")["stages"]
    machine = load_machine(ROOT, kinds)
    machine.require_slots_for(kinds)
