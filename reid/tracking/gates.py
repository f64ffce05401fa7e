"""The gates of a promotion: each looks at one thing and says what it found."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from reid.data.manifest import WITHDRAWN
from reid.retrieval.bootstrap import paired_bootstrap
from reid.retrieval.evaluate import PLAIN
from reid.tracking.group_losses import Loss, group_losses
from reid.tracking.logged_model import WEIGHTS_TAG, trouble_with_copy
from reid.tracking.stored_evaluation import Measured
from reid.tracking.versions import MODEL_ID_TAG, label

STORED_COPY = "stored copy"
FIRST = "there is no champion to compare with"

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
_SHORT = 12  # letters of a digest that a person reads


@dataclass(frozen=True)
class Gate:
    """What a gate found.

    Args:
        remedy: What to do where it did not pass.
        waived: Whether it only passed because the user accepted a tie.
    """

    name: str
    passed: bool
    found: str
    remedy: str = ""
    waived: bool = False


def terms(version: ModelVersion) -> Gate:
    """Demand the licence of the training data and the intended use."""
    stated = {name: version.tags.get(name, "").strip() for name in ("licence", "intended_use")}
    missing = [name.replace("_", " ") for name, text in stated.items() if not text]
    found = f"no {' and no '.join(missing)}" if missing else f"licence {stated['licence']}"
    return Gate("terms", not missing, found, "State them, and register again.")


def withdrawn_data(client: MlflowClient, version: ModelVersion) -> Gate:
    """Refuse a model that was trained on withdrawn data, or from a model that was."""
    seen = list(_ancestry(client, version))
    marked = [name for name, tags in seen if tags.get("status") == WITHDRAWN]
    found = (
        f"{', '.join(marked)} learned from withdrawn data"
        if marked
        else f"none in {len(seen)} model{'s' if len(seen) > 1 else ''} from it to its ancestors"
    )
    return Gate("withdrawn data", not marked, found, "Such a model is never promoted.")


def _ancestry(client: MlflowClient, version: ModelVersion) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield name and tags of a version and of all logged models that it descends from."""
    yield label(version), version.tags
    waiting: list[str] = [version.tags[MODEL_ID_TAG]]
    seen: set[str] = set()
    while waiting:
        model_id = waiting.pop()
        if model_id in seen:
            continue
        seen.add(model_id)
        try:
            model = client.get_logged_model(model_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            continue  # deleted; its status was handed down to its children when they were trained
        if model_id != version.tags[MODEL_ID_TAG]:
            yield f"{model.name} ({model_id})", model.tags
        waiting += _MODEL_ID.findall(model.tags.get("parent_model_id", ""))


def comparable(candidate: Measured, champion: Measured | None, test: str) -> Gate:
    """Demand that both were measured on the same manifest under the same protocol."""
    name = "comparable"
    if champion is None:
        return Gate(name, True, FIRST)
    mine, its = _conditions(candidate.tests[test]), _conditions(champion.tests[test])
    differing = [
        f"{field} ({_short(mine.get(field))}, the champion's {_short(its.get(field))})"
        for field in sorted(mine.keys() | its.keys())
        if mine.get(field) != its.get(field)
    ]
    if not differing:
        return Gate(name, True, f"{len(mine)} fields as those of {label(champion.version)}")
    return Gate(
        name,
        False,
        f"measured otherwise: {', '.join(differing)}",
        f"Evaluate and register {champion.version.tags['run']} under these conditions too, "
        "or demote it first.",
    )


def _conditions(test: Mapping[str, Any]) -> dict[str, Any]:
    return {"manifest_digest": test["manifest_digest"], **test["protocol"]}


def significance(
    candidate: Measured, champion: Measured | None, test: str, *, seed: int, accept_tie: bool
) -> Gate:
    """Demand a plain average precision that is significantly above the champion's.

    Args:
        seed: Of the paired bootstrap over queries.
        accept_tie: Let a difference pass whose interval holds zero.
    """
    name = "significance"
    if champion is None:
        return Gate(name, True, FIRST)
    mine, its = (measured.result.queries[test, PLAIN] for measured in (candidate, champion))
    if not np.array_equal(mine.paths, its.paths):
        found = f"other queries ({len(mine.paths)} and {len(its.paths)})"
        return Gate(name, False, found, "Embed and evaluate both again.")
    gap = paired_bootstrap(mine.average_precision, its.average_precision, seed)
    found = (
        f"mAP {_points(gap.difference)} points, 95 % interval {_points(gap.low)} to "
        f"{_points(gap.high)}, against {label(champion.version)}"
    )
    if gap.high < 0:
        return Gate(name, False, f"significantly worse: {found}", "Keep the champion.")
    if gap.low > 0:
        return Gate(name, True, found)
    remedy = "Keep the champion, or say --accept-tie if there are other reasons for this model."
    return Gate(name, accept_tie, f"a tie: {found}", remedy, waived=accept_tie)


def robustness(
    candidate: Measured,
    champion: Measured | None,
    test: str,
    *,
    seed: int,
    queries: int,
    points: float,
) -> Gate:
    """Refuse a model that is much worse than the champion on a group of queries.

    Args:
        seed: Of the paired bootstrap over queries.
        queries: Smaller groups are not looked at.
        points: Points of mAP that a group may lose significantly.
    """
    name = "robustness"
    if champion is None:
        return Gate(name, True, FIRST)
    losses = sorted(
        group_losses(candidate.result, champion.result, test, seed=seed, queries=queries),
        key=lambda loss: loss.difference,
    )
    if not losses:
        return Gate(name, True, f"no group of {queries} queries or more")
    bad = [loss for loss in losses if loss.high < 0 and 100 * loss.difference < -points]
    if not bad:
        return Gate(name, True, f"of {len(losses)} groups the lowest: {_describe(losses[0])}")
    found = f"significantly worse by more than {points:g} points: {'; '.join(map(_describe, bad))}"
    return Gate(name, False, found, "Train for these groups, or keep the champion.")


def stored_copy(version: ModelVersion, test: str, candidate: Measured, uri: str) -> Gate:
    """Demand that the stored model loads, and that it is the one that was measured."""
    weights = version.tags[WEIGHTS_TAG]
    measured = candidate.result.cards[test].get("model_digest")
    if measured != weights:
        trouble: str | None = (
            f"measured with other weights ({_short(measured)}, registered {_short(weights)})"
        )
    else:
        trouble = trouble_with_copy(version, uri)
    remedy = f"Register again with `reid register {version.tags['run']}`."
    found = trouble or f"it loads; weights {weights[:_SHORT]}"
    return Gate(STORED_COPY, trouble is None, found, remedy)


def _describe(loss: Loss) -> str:
    return f"{loss.group} ({_points(loss.difference)} points, {loss.queries} queries)"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:_SHORT]}…" if len(text) > 40 else text
