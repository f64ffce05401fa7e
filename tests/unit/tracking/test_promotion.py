"""Promotion on real MLflow stores; one registered model per test, as their history stays."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reid.errors import RegistryError
from reid.study import Registration
from reid.tracking.history import Decision, read_history
from reid.tracking.model_card import Conditions
from reid.tracking.promotion import Proposal, Rules, demote, promote
from reid.tracking.store import open_client
from tests.unit.tracking.measured import HOME, TEST, USE, register

MakeModel = Callable[..., Path]

RULES = Rules(Registration(intended_use=USE), seed=0)
TIES = replace(RULES, accept_tie=True)


class Family:
    """A registered model `<study>.synth` with versions made for a test."""

    def __init__(self, study: str, make_model: MakeModel, mlruns: Path) -> None:
        self.name, self.client = f"{study}.synth", open_client(mlruns)
        self.seen: list[Proposal] = []
        self._study, self._make, self._mlruns = study, make_model, mlruns

    def add(self, run: str, mean: float, **changes: Any) -> int:
        facts = {key: changes.pop(key) for key in ("status", "parents") if key in changes}
        seed = sum(map(ord, run))  # other weights for each run
        folder = self._make(run, self._study, seed=seed, **facts)
        return int(register(folder, mean, self._mlruns, **changes)["version"])

    def promote(
        self, model: str, rules: Rules = RULES, test: str | None = None, reason: str = "better"
    ) -> Decision:
        where = (rules, lambda _: self.name, self.seen.append, self._mlruns)
        return promote(model, test, reason, *where)

    def demote(self, test: str | None = None, reason: str = "blinks at night") -> Decision:
        return demote(self.name, test, reason, self.seen.append, self._mlruns)

    def holders(self, word: str = "champion") -> list[str | None]:
        held = self.client.get_registered_model(self.name).aliases
        runs = []
        for alias in (word, f"{word}-synth-market"):
            version = held.get(alias)
            tags = version and self.client.get_model_version(self.name, str(version)).tags
            runs.append(tags["run"] if tags else None)
        return runs

    def gate(self, name: str) -> tuple[bool, str]:
        """Return what a gate of the last proposal found."""
        (gate,) = [gate for gate in self.seen[-1].gates if gate.name == name]
        return gate.passed, gate.found

    def refused(self, *arguments: Any, **names: Any) -> str:
        before = self.holders(), read_history(self.client, self.name)
        with pytest.raises(RegistryError) as caught:
            self.promote(*arguments, **names)
        assert (self.holders(), read_history(self.client, self.name)) == before
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def make_family(make_model: MakeModel, mlruns: Path) -> Callable[[str], Family]:
    return lambda study: Family(study, make_model, mlruns)


def test_a_better_model_takes_the_title(make_family: Callable[[str], Family]) -> None:
    family = make_family("better")
    family.add("a", 0.4)
    family.add("b", 0.6)
    assert family.holders() == [None, None]
    assert family.holders("challenger") == ["b", "b"]

    first = family.promote("a", reason="  the first\none ")
    assert (first.version, first.predecessor, first.reason) == (1, None, "the first one")
    second = family.promote(f"{family.name}@challenger")

    assert (second.run, second.version, second.predecessor) == ("b", 2, 1)
    assert family.holders() == ["b", "b"]
    assert family.holders("challenger") == ["a", "a"]
    assert family.seen[-1].champion == "a (better.synth/1)"
    assert family.gate("significance") == (
        True,
        "mAP +20.0 points, 95 % interval +20.0 to +20.0, against a (better.synth/1)",
    )
    stored = read_history(family.client, family.name)
    assert [(d.what, d.version, d.predecessor) for d in stored] == [
        ("promote", 1, None),
        ("promote", 2, 1),
    ]
    assert stored[1].when == second.when
    assert [gate.found for gate in stored[1].gates] == [gate.found for gate in second.gates]
    tags = family.client.get_registered_model(family.name).tags
    assert set(tags) == {"decision.0001", "decision.0002"}
    assert "is champion of synth/market already" in family.refused("b")


def test_a_worse_model_is_refused_and_a_tie_needs_a_word(
    make_family: Callable[[str], Family],
) -> None:
    family = make_family("worse")
    family.add("a", 0.5)
    family.add("worse", 0.4)
    family.add("equal", 0.5)
    family.promote("a")
    for rules in (RULES, TIES):
        line = family.refused("worse", rules)
        assert "(significance: significantly worse: mAP -10.0 points" in line
        assert "robustness: significantly worse by more than 5 points: " in line
        assert "camera 1 (-10.0 points, 60 queries)" in line
        assert line.endswith("Keep the champion. Train for these groups, or keep the champion.")
    line = family.refused("equal")
    assert "worse.synth/3) does not become champion of synth/market (significance: a tie" in line
    assert "say --accept-tie" in line
    decision = family.promote("equal", TIES)
    assert [gate.name for gate in decision.gates if gate.waived] == ["significance"]
    assert read_history(family.client, family.name)[-1].gates[3].waived


def test_no_group_may_pay_for_the_mean(make_family: Callable[[str], Family]) -> None:
    family = make_family("groups")
    family.add("even", 0.5)
    family.add("uneven", 0.55, camera_2=-0.18)
    family.promote("even")
    line = family.refused("uneven")
    assert (
        "robustness: significantly worse by more than 5 points: camera 2 (-13.0 points, 20" in line
    )
    assert "significance" not in line
    assert "camera 1 " not in line
    lenient = replace(RULES, registration=Registration(intended_use=USE, group_points=13.5))
    few = replace(RULES, registration=Registration(intended_use=USE, group_queries=21))
    assert family.promote("uneven", lenient).run == "uneven"
    family.demote()
    assert family.promote("uneven", few).run == "uneven"
    passed, found = family.gate("robustness")
    assert passed
    assert found.startswith("of 2 groups the lowest: ")  # camera 1, and cameras 1 to 2


def test_only_what_was_measured_alike_is_compared(make_family: Callable[[str], Family]) -> None:
    family = make_family("alike")
    family.add("a", 0.5)
    family.add("flipped", 0.9, test=Conditions("synth", "ef" * 32, {**TEST.protocol, "flip": True}))
    family.promote("a")
    line = family.refused("flipped", TIES)
    assert "comparable: measured otherwise: flip (True, the champion's False), manifest_dig" in line
    assert "(efefefefefef…, the champion's cdcdcdcdcdcd…)" in line
    assert "Evaluate and register a under these conditions too, or demote it first." in line


def test_withdrawn_data_refuse_children_too(make_family: Callable[[str], Family]) -> None:
    family = make_family("banned")
    family.add("duke", 0.9, status="withdrawn")
    line = family.refused("duke", TIES)
    assert "withdrawn data: duke (banned.synth/1) learned from withdrawn data" in line
    family.add("parent", 0.5)
    parent = family.client.get_model_version(family.name, "2").tags["model_id"]
    family.add("child", 0.6)
    child = family.client.get_model_version(family.name, "3").tags["model_id"]
    # as a later finding does, which no card knew when the child was trained
    family.client.set_logged_model_tags(child, {"parent_model_id": f"timm:x, {parent}"})
    family.client.set_logged_model_tags(parent, {"status": "withdrawn"})
    assert f"withdrawn data: parent ({parent}) learned from withdrawn" in family.refused("child")


def test_terms_that_are_taken_away_refuse(make_family: Callable[[str], Family]) -> None:
    family = make_family("unlicensed")
    family.add("a", 0.5)
    family.client.set_model_version_tag(family.name, "1", "licence", " ")
    assert "(terms: no licence); expected a model that passes" in family.refused("a")


def test_scores_and_weights_must_be_those_registered(
    make_family: Callable[[str], Family],
) -> None:
    family = make_family("changed")
    family.add("a", 0.5)
    version = family.client.get_model_version(family.name, "1")
    stored = Path(version.source.removeprefix("file://"))
    (weights,) = stored.rglob("model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\0")
    assert "stored copy: other weights are stored" in family.refused("a")
    weights.write_bytes(whole[:100])
    assert "stored copy: it cannot be loaded" in family.refused("a")
    weights.write_bytes(whole)
    with (stored / "evaluation/a.json").open("a") as file:
        file.write(" ")
    assert "the stored evaluation of a (changed.synth/1) was changed" in family.refused("a")
    shutil.rmtree(stored / "evaluation")
    assert "cannot be read" in family.refused("a")
    family.client.delete_model_version_tag(family.name, "1", "evaluation_md5")
    line = family.refused("a")
    assert "a (changed.synth/1) was registered without per-query scores" in line
    assert line.endswith("Register again with `reid register a`.")
    assert family.add("a", 0.5) == 1
    assert family.promote("a").version == 1


@pytest.mark.parametrize(
    ("model", "test", "reason", "line"),
    [
        ("a", None, " \n", "no reason; expected 1 to 1000 letters"),
        ("a", None, "x" * 1001, "a reason of 1001 letters"),
        ("a", "synth/markt", "x", r"not measured on 'synth/markt' \(did you mean 'synth/market'"),
        ("nobody", None, "x", "no version of the run 'nobody'"),
        ("asked.synth/7", None, "x", "asked.synth has no version '7'; expected one of 1"),
        ("asked.synth@champion", None, "x", "no alias 'champion'.*expected one of challenger"),
        (
            "asked.synt/1",
            None,
            "x",
            r"no registered model 'asked.synt' \(did you mean 'asked.synth",
        ),
    ],
)
def test_what_does_not_exist_is_named(
    make_family: Callable[[str], Family], model: str, test: str | None, reason: str, line: str
) -> None:
    family = make_family("asked")
    family.add("a", 0.5)
    with pytest.raises(RegistryError, match=line):
        family.promote(model, test=test, reason=reason)


def test_the_title_goes_back_to_whom_it_came_from(make_family: Callable[[str], Family]) -> None:
    family = make_family("back")
    for run, mean in (("a", 0.4), ("b", 0.5), ("c", 0.6)):
        family.add(run, mean)
        family.promote(run)
    assert family.demote().predecessor == 2
    assert family.holders() == ["b", "b"]
    assert family.holders("challenger") == ["c", "c"]
    family.client.set_model_version_tag(family.name, "1", "status", "withdrawn")
    decision = family.demote(HOME)
    assert (decision.run, decision.predecessor) == ("b", None)
    assert not family.gate("withdrawn data")[0]
    assert family.holders() == [None, None]
    with pytest.raises(RegistryError, match=r"back\.synth has no champion of its home test"):
        family.demote()
    whats = [decision.what for decision in read_history(family.client, family.name)]
    assert whats == ["promote"] * 3 + ["demote"] * 2


def test_a_deleted_predecessor_gets_nothing(make_family: Callable[[str], Family]) -> None:
    family = make_family("deleted")
    for run, mean in (("a", 0.4), ("b", 0.5)):
        family.add(run, mean)
        family.promote(run)
    family.client.delete_model_version(family.name, "1")
    assert family.demote().predecessor is None
    assert family.holders() == [None, None]
