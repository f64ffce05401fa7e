"""Score files of features made by other toolkits; several files are trials of one benchmark."""

import os.path
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from reid.progress import progress
from reid.report.evaluation_sheet import draw_sheet
from reid.report.score_table import ScoreRow, score_table
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import Evaluation, EvaluationSettings
from reid.retrieval.foreign.evaluation import evaluate_foreign, has_cameras, read_features
from reid.retrieval.protocols import Protocol, protocol_named
from reid.retrieval.result import Result
from reid.stages.sheets import facts_of, sheet_of
from reid.stages.trial_files import averaged

RESULT = "result"
"""Name of the record in the folder: `result.json`, `result.card.json`, `cmc/result/` ..."""


@dataclass(frozen=True)
class Wanted:
    """What to score.

    Args:
        paths: Files of features (see `read_features`), at least one.
        protocols: Names; by default `market`, or `no_camera` for a file without camera ids.
        labels: Table of the rows of a file of features without labels.
        name: Name of the test set; by default what the names of the files begin with.
        raw: Use features as they are, where the protocol would scale them to length 1.
    """

    paths: tuple[Path, ...]
    protocols: tuple[str, ...] = ()
    labels: Path | None = None
    name: str | None = None
    raw: bool = False


def score_files(wanted: Wanted, settings: EvaluationSettings, folder: Path | None = None) -> Result:
    """Score files and print the table; with a folder, write the record and the pictures there.

    Several files are trials: each is scored, then mean and standard deviation over files follow.

    Raises:
        ReidError: A file cannot be used, or no result is defined; the message is one line.
    """
    trials: dict[str, list[Evaluation]] = {}
    for path in wanted.paths:
        embeddings = read_features(path, wanted.labels, wanted.name or _common_name(wanted.paths))
        for protocol in _protocols(wanted, embeddings):
            evaluation = evaluate_foreign(embeddings, protocol, settings, progress)
            trials.setdefault(protocol.name, []).append(evaluation)
    means = [averaged(found) for found in trials.values()]
    result = Result.of(RESULT, means)
    console = _console()
    for evaluation, parts in zip(means, trials.values(), strict=True):
        _print(console, evaluation, parts)
    if folder is not None:
        result.save(folder)
        for evaluation in means:
            draw_sheet(
                sheet_of(evaluation, evaluation.test_set), folder / f"{_file_name(evaluation)}.png"
            )
        console.print(Text(f"Written: {folder}/{RESULT}.json, card, curves, queries, pictures."))
    return result


def _protocols(wanted: Wanted, embeddings: Embeddings) -> list[Protocol]:
    names = wanted.protocols or ("market" if has_cameras(embeddings) else "no_camera",)
    protocols = [protocol_named(name) for name in dict.fromkeys(names)]
    if wanted.raw:
        protocols = [replace(protocol, normalise=False) for protocol in protocols]
    return protocols


def _common_name(paths: Sequence[Path]) -> str:
    """Return what the names of the files begin with, without a number at its end."""
    shared = os.path.commonprefix([path.stem for path in paths])  # noqa: RUF071 - of letters
    if len(paths) > 1:
        shared = shared.rstrip("0123456789").rstrip("_-. ")
    return shared or "features"


def _print(console: Console, evaluation: Evaluation, parts: Sequence[Evaluation]) -> None:
    console.print(score_table(evaluation.test_set, _rows(evaluation, parts)))
    notes = [note for part in parts for note in part.card["notes"]]
    for line in (*facts_of(evaluation), *(f"note: {note}" for note in dict.fromkeys(notes))):
        console.print(Text(line))


def _rows(evaluation: Evaluation, parts: Sequence[Evaluation]) -> list[ScoreRow]:
    several = len(parts) > 1
    rows = [(str(part.card["source"]), part) for part in parts] if several else []
    rows.append(("mean" if several else "", evaluation))
    return [
        ScoreRow(file, setting, scores.figures(), scores.deviations)
        for setting in evaluation.scores
        for file, part in rows
        for scores in (part.scores[setting],)
    ]


def _file_name(evaluation: Evaluation) -> str:
    return evaluation.test_set.replace("/", "_")


def _console() -> Console:
    console = Console()
    # a log has no width of its own
    return console if console.is_terminal else Console(width=140)
