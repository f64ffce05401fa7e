"""The command `reid evaluate`: a run of the study, or files of features from anywhere."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reid.cli_data import Commands
from reid.retrieval.foreign.names import SUFFIXES, names_table

if TYPE_CHECKING:
    from reid.retrieval.expansion import ExpansionParams
    from reid.retrieval.reranking import RerankParams

RERANK = (20, 6, 0.3)
MAX_RANK = 50
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}

_EXAMPLES = """examples:
  reid evaluate transreid                        stage evaluate@ of a run of the study
  reid evaluate market.npz                       features of another toolkit, market protocol
  reid evaluate features.npy --labels rows.csv   features, and their rows as a table
  reid evaluate shop.npz --protocol no_camera    no camera ids
  reid evaluate duke.npz --rerank 50 15 0.3 --out reports/duke
  reid evaluate duke.npz --expand 10 0 --expand 10 3    AQE and alpha-QE beside plain
  reid evaluate sysu.npz --protocol sysu_all_single --rerank-variant query_only    as IDKL does
  reid evaluate regdb_*.npz --protocol regdb_visible_to_thermal    ten splits: mean and deviation

names of arrays, or of the columns of a table; letter case does not matter:
"""


def add_evaluate_command(commands: "Commands[argparse.ArgumentParser]") -> None:
    """Add `reid evaluate`."""
    evaluate = commands.add_parser(
        "evaluate",
        help="score a run, or files of features; plain and re-ranked",
        description="Score a run of the active study (stage evaluate@), or files of features: "
        f"{', '.join(SUFFIXES)}. Several files are trials of one benchmark. The options are for "
        "files; a run is scored as its study says.",
        epilog=_EXAMPLES + names_table(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument("targets", nargs="+", metavar="TARGET", help="one run, or files")
    evaluate.add_argument("--labels", type=Path, metavar="FILE", help="table of the rows, in order")
    evaluate.add_argument(
        "--protocol",
        action="append",
        metavar="NAME",
        help="may be repeated (default: market; no_camera without camera ids)",
    )
    evaluate.add_argument("--name", help="name of the test set (default: that of the file)")
    evaluate.add_argument("--raw", action="store_true", help="do not scale features to length 1")
    _add_reranking(evaluate)
    evaluate.add_argument(
        "--expand",
        nargs=2,
        type=_number,
        action="append",
        metavar=("K", "ALPHA"),
        help="score expanded queries too: means of K features, weights cosine^ALPHA (0: AQE)",
    )
    evaluate.add_argument(
        "--expand-gallery", action="store_true", help="expand the gallery as well (DBA)"
    )
    evaluate.add_argument(
        "--max-rank", type=int, metavar="RANKS", help=f"length of the curve (default: {MAX_RANK})"
    )
    evaluate.add_argument(
        "--memory", type=_size, metavar="SIZE", help="bound for working memory, such as 2GB"
    )
    evaluate.add_argument("--device", help="where distances are computed (default: cpu)")
    evaluate.add_argument(
        "--out", type=Path, metavar="DIR", help="write record, card, curves, queries and pictures"
    )
    evaluate.set_defaults(command=_evaluate)


def _add_reranking(evaluate: argparse.ArgumentParser) -> None:
    how = evaluate.add_mutually_exclusive_group()
    defaults = " ".join(map(str, RERANK))
    how.add_argument(
        "--rerank",
        nargs=3,
        type=_number,
        metavar=("K1", "K2", "LAMBDA"),
        help=f"parameters of re-ranking (default: {defaults})",
    )
    how.add_argument("--no-rerank", action="store_true", help="plain distances only")
    evaluate.add_argument(
        "--rerank-variant",
        action="append",
        metavar="NAME",
        help="score a known public variant of re-ranking too, under its own name, such as "
        "query_only (IDKL on SYSU-MM01); may be repeated",
    )
    evaluate.add_argument(
        "--search",
        choices=("exact", "approximate"),
        help="how re-ranking finds neighbours (default: exact); approximate is for sets beyond a "
        "million images, and stands in the name of the scores",
    )


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"\d+", text) else float(text)


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?) *([KMG]I?|)B?", text.strip().upper())
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' is no size; write for example 2GB or 500MB")
    return round(float(found[1]) * _UNITS[found[2]])


def _evaluate(options: argparse.Namespace) -> None:
    if any(_is_file(target) for target in options.targets):
        _evaluate_files(options)
    else:
        _evaluate_run(options)


def _is_file(target: str) -> bool:
    # a folder of the same name does not hide a run
    return Path(target).is_file() or Path(target).suffix.lower() in SUFFIXES


def _evaluate_run(options: argparse.Namespace) -> None:
    from reid.errors import ParamsError

    if len(options.targets) > 1:
        raise ParamsError(
            f"'{options.targets[0]}' and {len(options.targets) - 1} more, which are no files",
            f"one run, or files of features ({', '.join(SUFFIXES)})",
            "Name one run at a time, or check the paths.",
        )
    # compared by identity, as a rank of 0 was given too
    values = {name: getattr(options, name) for name in _FOR_FILES}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if given:
        raise ParamsError(
            f"--{given[0].replace('_', '-')} with the run '{options.targets[0]}'",
            "it with files of features only",
            "Set it in the study (params/study.yaml), or name a file.",
        )
    from reid.stages.evaluate import evaluate_run

    evaluate_run(options.targets[0])


_FOR_FILES = (
    *("labels", "protocol", "name", "raw", "rerank", "no_rerank", "rerank_variant"),
    *("expand", "expand_gallery", "max_rank", "memory", "device", "search", "out"),
)


def _evaluate_files(options: argparse.Namespace) -> None:
    from reid.retrieval.evaluate import EvaluationSettings
    from reid.stages.score import Wanted, score_files

    settings = EvaluationSettings(
        rerank=None if options.no_rerank else _rerank_params(options.rerank or RERANK),
        variants=tuple(dict.fromkeys(options.rerank_variant or ())),
        expansions=_expansions(options.expand or (), options.expand_gallery),
        max_rank=MAX_RANK if options.max_rank is None else options.max_rank,
        memory=options.memory,
        device=options.device or "cpu",
        search=options.search or "exact",
    )
    wanted = Wanted(
        paths=tuple(Path(target) for target in options.targets),
        protocols=tuple(options.protocol or ()),
        labels=options.labels,
        name=options.name,
        raw=options.raw,
    )
    score_files(wanted, settings, options.out)


def _rerank_params(given: Sequence[float]) -> "RerankParams":
    from reid.errors import ParamsError
    from reid.retrieval.reranking import RerankParams

    k1, k2, lambda_ = given
    if not (isinstance(k1, int) and isinstance(k2, int)):
        raise ParamsError(f"--rerank {k1} {k2} {lambda_}", "whole K1 and K2", "Correct them.")
    return RerankParams(k1, k2, lambda_)


def _expansions(
    given: Sequence[Sequence[float]], gallery_too: bool
) -> "tuple[ExpansionParams, ...]":
    from reid.errors import ParamsError
    from reid.retrieval.expansion import ExpansionParams

    if gallery_too and not given:
        raise ParamsError("--expand-gallery alone", "--expand K ALPHA beside it", "Add it.")
    for count, alpha in given:
        if not isinstance(count, int):
            raise ParamsError(f"--expand {count} {alpha}", "a whole K", "Correct it.")
    return tuple(
        ExpansionParams(int(count), float(alpha), gallery_too=gallery_too) for count, alpha in given
    )
