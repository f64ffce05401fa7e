"""How the numbers of a comparison are written, the same in every format."""

from collections.abc import Mapping
from typing import Any

from reid.report import significance
from reid.report.comparison import ComparedRun, ComparedRuns

HEADS = {"mAP": "mAP", "rank1": "R1", "rank5": "R5", "rank10": "R10", "mINP": "mINP"}
FIELD_HEADS = {
    "train_dataset": "trained on",
    "distance": "distance",
    "normalisation": "features scaled",
    "uses_camera_ids": "camera ids",
    "flip": "flip",
    "precision": "precision",
    "stored_as": "stored as",
    "feature_size": "feature size",
    "device": "device",
    "backends": "backends",
    "world_size": "world size",
}
NOTE = (
    "All scores in per cent; runs are ranked by plain mAP alone. In brackets: 95 % intervals from "
    "a bootstrap over queries, a paired one for the difference to the best run, which looks at "
    "this one pair and corrects for no other. "
) + significance.NOTE


def percent(value: float) -> str:
    """Write a share as per cent with two decimals."""
    return f"{100 * value:.2f}"


def interval(row: ComparedRun) -> str:
    """Write the interval of the plain mAP."""
    return f"[{percent(row.interval.low)}, {percent(row.interval.high)}]"


def groups(row: ComparedRun) -> str:
    """Write the letters of a run."""
    return " ".join(row.groups)


def figure(row: ComparedRun, name: str) -> str:
    """Write a plain figure, with its deviation where there were several trials."""
    if name in row.deviation:
        return f"{percent(row.plain[name])} ± {percent(row.deviation[name])}"
    return percent(row.plain[name])


def reranked(row: ComparedRun, setting: str, name: str) -> str:
    """Write a re-ranked figure, or a dash where this run was not re-ranked in that way."""
    return percent(row.reranked[setting][name]) if setting in row.reranked else "-"


def gap(row: ComparedRun) -> str:
    """Write the difference to the best run, and say when it may be luck."""
    if row.gap is None:
        return "best"
    low, high = percent(row.gap.low), percent(row.gap.high)
    text = f"{percent(row.gap.difference)} [{low}, {high}]"
    return text if row.gap.significant else f"{text} not significant"


def stated(value: Any) -> str:
    """Write a field of a card."""
    if value is None:
        return "not stated"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {entry}" for key, entry in value.items()) or "-"
    return str(value)


def remarks(table: ComparedRuns) -> list[str]:
    """Write what each variant of re-ranking exploits, and that it ranks nothing."""
    return [
        f"{setting} {said}. It ranks no run; it stands beside figures of codes that do the same."
        for setting, said in table.remarks.items()
    ]


def conditions(table: ComparedRuns) -> list[tuple[str, str]]:
    """Write how all rows of a table were measured."""
    return [(key.replace("_", " "), stated(value)) for key, value in table.conditions.items()]
