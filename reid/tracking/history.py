"""The history of a registered model: one tag for each decision, never rewritten."""

import getpass
import json
import re
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal

from mlflow import MlflowClient

from reid.errors import RegistryError
from reid.tracking.gates import Gate

Act = Literal["promote", "demote"]
LONGEST_REASON = 1000  # letters; a tag of a registered model holds 5000
LONGEST_FINDING = 300

_KEY = re.compile(r"decision\.\d{4,}")


@dataclass(frozen=True)
class Decision:
    """Who made or unmade a champion, when, why, and what was known.

    Args:
        test: `<dataset>/<protocol>`.
        version: That became champion, or was it before.
        run: Of this version.
        predecessor: Champion before a promotion, or after a demotion; None where there is none.
        who: Name that git knows the user by, else the login name.
        when: UTC, ISO 8601.
        gates: As they were found.
    """

    what: Act
    test: str
    version: int
    run: str
    predecessor: int | None
    reason: str
    who: str
    when: str
    gates: tuple[Gate, ...]


def read_history(client: MlflowClient, name: str) -> list[Decision]:
    """Return the decisions on a registered model, the oldest first."""
    tags = client.get_registered_model(name).tags
    records = [json.loads(tags[key]) for key in sorted(filter(_KEY.fullmatch, tags), key=_number)]
    return [
        Decision(**{**record, "gates": tuple(Gate(**gate) for gate in record["gates"])})
        for record in records
    ]


def add_decision(client: MlflowClient, name: str, decision: Decision) -> None:
    """Write a decision behind the others; whoever calls holds the lock of the store."""
    known = filter(_KEY.fullmatch, client.get_registered_model(name).tags)
    number = max(map(_number, known), default=0) + 1
    record = asdict(decision)
    for gate in record["gates"]:
        gate["found"] = gate["found"][:LONGEST_FINDING]
        del gate["remedy"]  # of use before the decision only
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    client.set_registered_model_tag(name, f"decision.{number:04}", text)


def require_reason(reason: str) -> str:
    """Return a reason without needless space.

    Raises:
        RegistryError: It is empty or too long.
    """
    text = " ".join(reason.split())
    if not 0 < len(text) <= LONGEST_REASON:
        raise RegistryError(
            f"a reason of {len(text)} letters" if text else "no reason",
            f"1 to {LONGEST_REASON} letters",
            'Say --because "…": whoever asks later finds it in `reid registry`.',
        )
    return text


def decided_by() -> str:
    """Return the name that git knows the user by, else the login name."""
    try:
        done = subprocess.run(
            ["git", "config", "user.name"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return getpass.getuser()
    return done.stdout.strip() or getpass.getuser()


def now() -> str:
    """Return the present time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _number(key: str) -> int:
    return int(key.removeprefix("decision."))
