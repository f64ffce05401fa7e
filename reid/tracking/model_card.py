"""What a registered model says of itself: lineage, and a model card in Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reid.methods.model_directory import ModelCard
from reid.tracking.provenance import condensed


@dataclass(frozen=True)
class Conditions:
    """A test set and protocol on which a model was measured.

    Args:
        manifest_digest: Digest of the manifest of the test set.
        protocol: What decides the numbers beside model and data, as in the result's card.
    """

    dataset: str
    manifest_digest: str
    protocol: Mapping[str, Any]


def describe_lineage(
    card: ModelCard,
    model_md5: str,
    weights_sha256: str,
    tests: Mapping[str, Conditions],
    intended_use: str,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Collect where a model comes from and what it is for; plain values, no wall-clock time.

    Args:
        provenance: What `collect_provenance` found, to be joined.
    """
    return {
        **provenance,
        "study": card.study,
        "run": card.run,
        "method": card.method,
        "train_dataset": card.train_dataset,
        "train_manifest_digest": card.manifest_digest,
        "licence": card.licence,
        "status": card.status,
        "consent": card.consent,
        "acknowledged_by": card.acknowledged_by,
        "intended_use": intended_use,
        "git_commit": card.git_commit,
        "parents": list(card.parents),
        "pretraining": card.pretraining.model_dump(mode="json") if card.pretraining else None,
        "model_md5": model_md5,
        "weights_sha256": weights_sha256,
        "seed": card.seed,
        "epochs": card.epochs,
        "precision": card.precision,
        "backends": dict(card.backends),
        "reidflow": card.version,
        "tests": {
            name: {
                "dataset": test.dataset,
                "manifest_digest": test.manifest_digest,
                "protocol": dict(test.protocol),
            }
            for name, test in sorted(tests.items())
        },
    }


def render_model_card(lineage: Mapping[str, Any], metrics: Mapping[str, float]) -> str:
    """Write the model card, with every metric under its full name."""
    used_by = lineage["acknowledged_by"]
    facts = (
        ("Method", lineage["method"]),
        ("Study and run", f"{lineage['study']} / {lineage['run']}"),
        ("Training data", f"{lineage['train_dataset']} ({lineage['train_manifest_digest']})"),
        ("Licence of the training data", lineage["licence"]),
        ("Status of the training data", lineage["status"] or "not stated"),
        ("Consent of the people shown", lineage["consent"] or "not stated"),
        *((("Withdrawn data used by", used_by),) if used_by else ()),
        ("Trained from", ", ".join(lineage["parents"]) or "random weights"),
        ("Code", lineage["git_commit"] or "unknown"),
        ("Seed, epochs, precision", "{seed}, {epochs}, {precision}".format_map(lineage)),
        ("Digest of the model directory", lineage["model_md5"]),
        *((key, value) for key, value in condensed(lineage).items()),
    )
    lines = [f"# {lineage['run']}: {lineage['method']} on {lineage['train_dataset']}", ""]
    lines += ["## Intended use", "", lineage["intended_use"].strip(), "", "## Facts", ""]
    lines += ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts)]
    for name, test in lineage["tests"].items():
        lines += ["", f"## Measured on {name}", "", f"Manifest {test['manifest_digest']}.", ""]
        lines += [f"- {key}: {value}" for key, value in test["protocol"].items()]
        lines += ["", "| metric | value |", "|---|---:|"]
        chosen = sorted(key for key in metrics if key.startswith(f"{name}/"))
        lines += [f"| {key} | {metrics[key]:.4f} |" for key in chosen]
    lines += ["", "A name with `rerank_` is a re-ranked number; all others are plain.", ""]
    return "\n".join(lines)
