"""Promotion and demotion: the champion of a test moves by a person's decision, through gates."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from reid.errors import RegistryError
from reid.params import nearest
from reid.study import Registration
from reid.tracking import gates
from reid.tracking.gates import Gate
from reid.tracking.history import (
    Act,
    Decision,
    add_decision,
    decided_by,
    now,
    read_history,
    require_reason,
)
from reid.tracking.store import MLRUNS, open_store, store_lock
from reid.tracking.stored_evaluation import Measured, load_measured
from reid.tracking.versions import (
    CHAMPION,
    HOME_TAG,
    champion_of,
    condition_key,
    find_version,
    give_aliases,
    label,
    list_versions,
    name_challenger,
    require_registered,
    tests_of,
)


@dataclass(frozen=True)
class Proposal:
    """What a decision rests on.

    Args:
        candidate: Who may become champion.
        champion: Who is it.
        test: `<dataset>/<protocol>`.
    """

    candidate: str
    champion: str | None
    test: str
    gates: tuple[Gate, ...]


Report = Callable[[Proposal], None]


@dataclass(frozen=True)
class Rules:
    """How the gates judge.

    Args:
        registration: Sizes of groups and losses, from the study.
        seed: Of the bootstrap over queries.
        accept_tie: Let a difference pass whose interval holds zero.
    """

    registration: Registration
    seed: int
    accept_tie: bool = False


def promote(
    model: str,
    test: str | None,
    reason: str,
    rules: Rules,
    family: Callable[[str], str],
    report: Report,
    root: Path = MLRUNS,
) -> Decision:
    """Make a version the champion of a test, if all gates let it pass.

    Everything is read from the store, nothing from local results or models.

    Args:
        model, family: See `find_version`.
        test: `<dataset>/<protocol>`; None for the version's home test.
        report: Is given the findings before the decision.

    Raises:
        RegistryError: No such version or test, no reason, no stored evaluation, it is champion
            already, or a gate does not let it pass.
    """
    reason = require_reason(reason)
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    with store_lock(root):
        version = find_version(client, model, family)
        test = _test_of(version, test)
        champion = champion_of(client, version.name, test)
        if champion is not None and champion.version == version.version:
            raise RegistryError(
                f"{label(version)} is champion of {test} already", "another version", "Keep it."
            )
        proposal = _judge(client, version, champion, test, rules, uri)
        report(proposal)
        _require_passed(proposal)
        before = None if champion is None else int(champion.version)
        decision = _decision("promote", version, test, before, reason, proposal.gates)
        # the record comes first: a champion without one must not be
        add_decision(client, version.name, decision)
        _crown(client, version, version, test)
    return decision


def demote(
    name: str, test: str | None, reason: str, report: Report, root: Path = MLRUNS
) -> Decision:
    """Take the title from the champion of a test.

    Its predecessor gets it back if that version still exists and the gates that need no rival let
    it pass; else nobody is champion.

    Args:
        name: Registered model.
        test: `<dataset>/<protocol>`; None for the home test.
        report: Is given what was found of the predecessor, if there is one.

    Raises:
        RegistryError: No such model, no champion or no reason.
    """
    reason = require_reason(reason)
    uri = open_store(root)
    client = MlflowClient(uri, uri)
    with store_lock(root):
        require_registered(client, name)
        champion = _champion_to_demote(client, name, test)
        test = _test_of(champion, test)
        heir, found = _heir(client, champion, test, uri, report)
        after = None if heir is None else int(heir.version)
        decision = _decision("demote", champion, test, after, reason, found)
        add_decision(client, name, decision)
        _crown(client, champion, heir, test)
    return decision


def _test_of(version: ModelVersion, test: str | None) -> str:
    known = tests_of(version)
    if test is None:
        test = version.tags.get(HOME_TAG)
    if test is None:
        raise RegistryError(
            f"the home test of {label(version)} is not stored",
            "a version registered with its evaluation",
            f"Register again with `reid register {version.tags['run']}`.",
        )
    if test not in known:
        raise RegistryError(
            f"{label(version)} was not measured on '{test}'{nearest(test, known)}",
            f"one of {', '.join(known)}",
            "Correct --for, or add the test set to the run.",
        )
    return test


def _judge(
    client: MlflowClient,
    version: ModelVersion,
    champion: ModelVersion | None,
    test: str,
    rules: Rules,
    uri: str,
) -> Proposal:
    """Ask all gates; those that compare scores only where these can be compared."""
    candidate = load_measured(version, uri)
    rival = None if champion is None else load_measured(champion, uri)
    found = [
        gates.terms(version),
        gates.withdrawn_data(client, version),
        gates.comparable(candidate, rival, test),
    ]
    if found[-1].passed:
        found += _compare(candidate, rival, test, rules)
    found.append(gates.stored_copy(version, test, candidate, uri))
    name = None if champion is None else label(champion)
    return Proposal(label(version), name, test, tuple(found))


def _compare(candidate: Measured, rival: Measured | None, test: str, rules: Rules) -> list[Gate]:
    seed, limits = rules.seed, rules.registration
    first = gates.significance(candidate, rival, test, seed=seed, accept_tie=rules.accept_tie)
    second = gates.robustness(
        candidate, rival, test, seed=seed, queries=limits.group_queries, points=limits.group_points
    )
    return [first, second]


def _require_passed(proposal: Proposal) -> None:
    failed = [gate for gate in proposal.gates if not gate.passed]
    if failed:
        reasons = "; ".join(f"{gate.name}: {gate.found}" for gate in failed)
        raise RegistryError(
            f"{proposal.candidate} does not become champion of {proposal.test} ({reasons})",
            "a model that passes every gate",
            " ".join(dict.fromkeys(gate.remedy for gate in failed)),
        )


def _decision(
    what: Act,
    version: ModelVersion,
    test: str,
    predecessor: int | None,
    reason: str,
    found: Sequence[Gate],
) -> Decision:
    return Decision(
        what=what,
        test=test,
        version=int(version.version),
        run=version.tags["run"],
        predecessor=predecessor,
        reason=reason,
        who=decided_by(),
        when=now(),
        gates=tuple(found),
    )


def _crown(
    client: MlflowClient, subject: ModelVersion, champion: ModelVersion | None, test: str
) -> None:
    """Move the aliases of a test; among whom the challenger is sought, `subject` decides."""
    home = subject.tags.get(HOME_TAG) == test
    name = subject.name
    give_aliases(client, name, CHAMPION, test, champion, home=home)
    name_challenger(client, name, test, subject.tags[condition_key(test)], home=home)


def _champion_to_demote(client: MlflowClient, name: str, test: str | None) -> ModelVersion:
    held = client.get_registered_model(name).aliases
    if test is None:
        version = held.get(CHAMPION)
        found = None if version is None else client.get_model_version(name, str(version))
    else:
        found = champion_of(client, name, test)
    if found is None:
        known = [alias for alias in held if alias.startswith(CHAMPION)]
        raise RegistryError(
            f"{name} has no champion of {test or 'its home test'}",
            f"one of the tests of {', '.join(known)}" if known else "a champion",
            f"`reid registry {name}` lists the aliases.",
        )
    return found


def _heir(
    client: MlflowClient, champion: ModelVersion, test: str, uri: str, report: Report
) -> tuple[ModelVersion | None, list[Gate]]:
    """Return who was champion before, if it may be it again, and what was found of it."""
    crowned = [
        decision
        for decision in read_history(client, champion.name)
        if (decision.what, decision.test) == ("promote", test)
        and decision.version == int(champion.version)
    ]
    number = crowned[-1].predecessor if crowned else None
    heirs = [v for v in list_versions(client, champion.name) if int(v.version) == number]
    if not heirs:
        return None, []
    heir = heirs[0]
    copy = _copy_of_heir(heir, test, uri)
    found = [gates.terms(heir), gates.withdrawn_data(client, heir), copy]
    report(Proposal(label(heir), label(champion), test, tuple(found)))
    return (heir if all(gate.passed for gate in found) else None), found


def _copy_of_heir(heir: ModelVersion, test: str, uri: str) -> Gate:
    try:
        return gates.stored_copy(heir, test, load_measured(heir, uri), uri)
    except RegistryError as error:  # a champion can be demoted all the same
        return Gate(gates.STORED_COPY, False, str(error))
