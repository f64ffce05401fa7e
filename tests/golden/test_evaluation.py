"""Evaluation and re-ranking against reference packs.

A pack is a direct sub-folder of the golden folder that holds `evaluation.json`. Its cases, sizes,
parameters and tolerances are read from the JSON and the arrays beside it; a case, a field or an
array that is not known here fails.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reid.errors import EvaluationError
from reid.retrieval.distance import distance_blocks, normalise
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.evaluate import evaluate
from reid.retrieval.expansion import ExpansionParams, expand
from reid.retrieval.labels import Labels
from reid.retrieval.metrics import (
    average_precision,
    cumulative_matching,
    first_match_rank,
    inverse_negative_penalty,
    mean_of_valid,
    trapezoid_average_precision,
)
from reid.retrieval.protocols import PROTOCOLS
from reid.retrieval.ranking import Ranking, rank_blocks, rank_matches
from reid.retrieval.reranking import RerankParams, rerank_blocks
from reid.retrieval.reranking_variants import VARIANTS, variant_blocks
from reid.retrieval.single_shot import expected_curves
from reid.retrieval.splits import split_at
from reid.retrieval.verification import verify

# figures with ties decided for or against matches count distances this close as tied: found from
# the figures, the JSON is silent about it
TIE_MARGIN = 1e-4
# rows of a block, so that every case is computed in several
BLOCK = 7
# text, and facts about other codes
PROSE = {"note", "convention", "cmc_ranks_computed_by_peer"}
LABELS = ("q_pid", "q_cam", "g_pid", "g_cam")


@dataclass(frozen=True)
class Case:
    """One entry of a pack: its JSON fields, its arrays, and the tolerances of the pack."""

    name: str
    fields: dict[str, Any]
    arrays: dict[str, np.ndarray]
    tolerances: dict[str, Any]

    def numbers(self, key: str) -> list[float]:
        """The numbers in a tolerance, which may be a sentence."""
        found = re.findall(r"\d+(?:\.\d+)?(?:e[-+]?\d+)?", str(self.tolerances[key]))
        return [float(number) for number in found]

    def tolerance(self, key: str) -> float:
        return self.numbers(key)[0]

    @property
    def from_features(self) -> float:
        """Tolerance of a mean that starts from features instead of stored distances."""
        return self.numbers("mAP")[-1]

    def labels(self) -> Labels:
        return Labels(*(self.arrays[key] for key in LABELS))

    def check_known(self, fields: set[str], arrays: set[str]) -> None:
        assert set(self.fields) - PROSE <= fields
        assert set(self.arrays) <= arrays


def _packs() -> list[Path]:
    root = Path(os.environ.get("REID_GOLDEN", Path(__file__).parent / "packs"))
    packs = sorted(path.parent for path in root.glob("*/evaluation.json"))
    if not packs:
        raise FileNotFoundError(f"{root}: no sub-folder holds evaluation.json")
    return packs


def _read(pack: Path) -> dict[str, Any]:
    return json.loads((pack / "evaluation.json").read_text())


def _cases(section: str) -> list[Any]:
    return [
        pytest.param(pack, name, id=f"{pack.name}-{name}")
        for pack in _packs()
        for name in _read(pack)[section]
    ]


def _load(pack: Path, section: str, name: str) -> Case:
    content = _read(pack)
    with np.load(pack / f"{section}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    if section == "eval":
        mine = {k.split("/", 1)[1]: v for k, v in arrays.items() if k.split("/")[0] == name}
    else:
        shared = {key: arrays[key] for key in ("q_feat", "g_feat", *LABELS)}
        own = {k: v for k, v in arrays.items() if k.split("/")[0] == name}
        mine = {**shared, **{k.split("/", 1)[1] if "/" in k else "dist": own[k] for k in own}}
    return Case(name, content[section][name], mine, content["tolerances"])


@pytest.mark.parametrize("pack", _packs(), ids=lambda pack: pack.name)
def test_every_array_belongs_to_a_case(pack: Path) -> None:
    content = _read(pack)
    shared = {"q_feat", "g_feat", *LABELS}
    for section in ("eval", "rerank"):
        with np.load(pack / f"{section}.npz") as file:
            owners = {key.split("/")[0] for key in file.files} - shared
        assert owners <= set(content[section])


@pytest.mark.parametrize(("pack", "name"), _cases("eval"))
def test_evaluation(pack: Path, name: str) -> None:
    case = _load(pack, "eval", name)
    if "cmc" in case.arrays:
        _check_ranking(case)
    elif "cmc_expected" in case.arrays:
        _check_single_gallery_shot(case)
    elif "gallery_choice" in case.arrays:
        _check_trials(case)
    elif name == "all_invalid":
        _check_no_valid_query(case, pack)
    else:
        pytest.fail(f"unknown evaluation case {name} with arrays {sorted(case.arrays)}")


@pytest.mark.parametrize(("pack", "name"), _cases("rerank"))
def test_reranking(pack: Path, name: str) -> None:
    case = _load(pack, "rerank", name)
    kind = name.split("_")[0]
    if kind == "aqe":
        _check_expansion(case)
    elif kind in ("baseline", "original", "variant"):
        _check_distances(case, kind)
    else:
        pytest.fail(f"unknown re-ranking case {name}")


def _check_ranking(case: Case) -> None:
    means = {"mAP", "mINP", "rank1", "rank5", "rank10", "mAP_trapezoid_invalid_as_zero"}
    ties = {"mAP_if_ties_favour_matches", "mAP_if_ties_go_against_matches"}
    sizes = {"num_query", "num_gallery", "max_rank", "num_valid_query"}
    per_query = {"cmc", "ap", "inp", "valid", "ap_trapezoid"}
    inputs = {"dist", "q_feat", "g_feat", *LABELS}
    case.check_known(means | ties | sizes | {"roc", "tie_margin"}, per_query | inputs)
    assert case.arrays["dist"].shape == (case.fields["num_query"], case.fields["num_gallery"])
    ranking = rank_blocks(_rows(case.arrays["dist"]), case.labels())
    _check_scores(case, ranking)
    _check_ties(case)
    if "roc" in case.fields:
        _check_roc(case)
    if "q_feat" in case.arrays:
        _check_from_features(case)


def _check_scores(case: Case, ranking: Ranking) -> None:
    arrays, fields = case.arrays, case.fields
    precision, first = average_precision(ranking), first_match_rank(ranking)
    curve = cumulative_matching(first, fields["max_rank"])
    trapezoid = trapezoid_average_precision(ranking)
    np.testing.assert_array_equal(ranking.valid, arrays["valid"])
    assert ranking.valid.sum() == fields["num_valid_query"]
    _close(curve, arrays["cmc"], case.tolerance("cmc"))
    _close(precision, arrays["ap"], case.tolerance("ap"))
    _close(trapezoid, arrays["ap_trapezoid"], case.tolerance("ap"))
    _close(inverse_negative_penalty(ranking), arrays["inp"], case.tolerance("mINP"))
    _close(mean_of_valid(precision), fields["mAP"], case.tolerance("mAP"))
    penalty = mean_of_valid(inverse_negative_penalty(ranking))
    _close(penalty, fields["mINP"], case.tolerance("mINP"))
    _close(trapezoid.mean(), fields["mAP_trapezoid_invalid_as_zero"], case.tolerance("mAP"))
    _check_ranks(case, curve)


def _check_ranks(case: Case, curve: np.ndarray) -> None:
    for key, value in case.fields.items():
        if match := re.fullmatch(r"rank(\d+)", key):
            _close(curve[int(match[1]) - 1], value, case.tolerance("cmc"))


def _check_ties(case: Case) -> None:
    margin = case.fields.get("tie_margin", TIE_MARGIN)
    for ties, key in (
        ("favour", "mAP_if_ties_favour_matches"),
        ("against", "mAP_if_ties_go_against_matches"),
    ):
        # in float64, so that adding the margin does not round
        blocks = _rows(case.arrays["dist"].astype(np.float64))
        ranking = rank_blocks(blocks, case.labels(), ties, tie_margin=margin)
        mean = mean_of_valid(average_precision(ranking))
        _close(mean, case.fields[key], case.tolerance("mAP"))


def _check_roc(case: Case) -> None:
    expected = case.fields["roc"]
    counts = {"num_genuine", "num_impostor", "auc"}
    rates = {"tpr_at_fpr_canonical", "fast_reid_convention_tpr_at_nearest_fpr"}
    assert set(expected) - PROSE <= counts | rates
    roc = verify(lambda: _rows(case.arrays["dist"]), case.labels())
    assert roc.genuine.sum() == expected["num_genuine"]
    assert roc.impostors == expected["num_impostor"]
    _close(roc.auc, expected["auc"], case.tolerance("ap"))
    for rate, value in expected["tpr_at_fpr_canonical"].items():
        _close(roc.true_positive_rate_at(float(rate)), value, case.tolerance("ap"))
    for rate, value in expected["fast_reid_convention_tpr_at_nearest_fpr"].items():
        _close(roc.fast_reid_rate_at(float(rate)), value, case.tolerance("ap"))


def _check_from_features(case: Case) -> None:
    """The features give the stored distances by one of our distances, and the same scores."""
    query, gallery = case.arrays["q_feat"], case.arrays["g_feat"]
    stored = case.arrays["dist"]
    gaps = {}
    for metric, unit in (
        ("squared_euclidean", True),
        ("squared_euclidean", False),
        ("cosine", True),
    ):
        sides = (normalise(query), normalise(gallery)) if unit else (query, gallery)
        made = np.concatenate(list(distance_blocks(*sides, metric, BLOCK)))
        gaps[metric, unit] = float(np.abs(made - stored).max() / np.abs(stored).max())
    metric, unit = min(gaps, key=lambda key: gaps[key])
    assert gaps[metric, unit] < 2e-6
    ranking = rank_matches(query, gallery, case.labels(), metric, unit, BLOCK)
    _close(mean_of_valid(average_precision(ranking)), case.fields["mAP"], case.from_features)
    curve = cumulative_matching(first_match_rank(ranking), case.fields["max_rank"])
    _close(curve, case.arrays["cmc"], case.tolerance("cmc"))


def _check_single_gallery_shot(case: Case) -> None:
    gap, peer = "max_abs_gap_expectation_vs_peer_sampling", "cmc_peer_mean_of_400_draws"
    case.check_known({"mAP", gap}, {"dist", "cmc_expected", peer, *LABELS})
    labels, blocks = case.labels(), _rows(case.arrays["dist"])
    expected = case.arrays["cmc_expected"]
    parts = [
        expected_curves(block, BLOCK * number, labels, len(expected))
        for number, block in enumerate(blocks)
    ]
    curve = np.nanmean(np.concatenate(parts), axis=0)
    _close(curve, expected, case.tolerance("cmc"))
    if peer in case.arrays:
        _close(np.abs(curve - case.arrays[peer]).max(), case.fields[gap], case.tolerance("cmc"))
    ranking = rank_blocks(_rows(case.arrays["dist"]), labels)
    # the peer's mean is single precision
    _close(mean_of_valid(average_precision(ranking)), case.fields["mAP"], case.tolerance("cmc"))


def _check_trials(case: Case) -> None:
    names = {"feat", "pid", "gallery_choice", "cmc_per_trial"}
    case.check_known({"mean_rank1", "mean_rank5", "mean_mAP"}, names)
    features, persons = case.arrays["feat"], case.arrays["pid"]
    curves, precisions = [], []
    for choice, stored in zip(
        case.arrays["gallery_choice"], case.arrays["cmc_per_trial"], strict=True
    ):
        split = split_at(persons, choice)
        mine, theirs = persons[split.query_rows], persons[split.gallery_rows]
        none = np.zeros(len(mine), np.int64), np.zeros(len(theirs), np.int64)
        labels = Labels(mine, none[0], theirs, none[1], exclusion="none")
        sides = features[split.query_rows], features[split.gallery_rows]
        ranking = rank_matches(*sides, labels, block_size=BLOCK)
        curves.append(cumulative_matching(first_match_rank(ranking), len(stored)))
        precisions.append(mean_of_valid(average_precision(ranking)))
        _close(curves[-1], stored, case.tolerance("cmc"))
    mean = np.mean(curves, axis=0)
    _close(mean[0], case.fields["mean_rank1"], case.tolerance("cmc"))
    _close(mean[4], case.fields["mean_rank5"], case.tolerance("cmc"))
    _close(np.mean(precisions), case.fields["mean_mAP"], case.from_features)


def _check_no_valid_query(case: Case, pack: Path) -> None:
    """Take the case's own arrays, or else those of another case with everything in one camera."""
    case.check_known(set(), {"dist", "q_feat", "g_feat", *LABELS})
    arrays = case.arrays
    if not arrays:
        names = [name for name in _read(pack)["eval"] if name != case.name]
        others = (_load(pack, "eval", name).arrays for name in names)
        found = next(arrays for arrays in others if "q_feat" in arrays)
        arrays = {k: np.zeros_like(v) if k.endswith("cam") else v for k, v in found.items()}
    roles = np.repeat(["query", "gallery"], [len(arrays["q_pid"]), len(arrays["g_pid"])])
    both = {k: np.concatenate([arrays[f"q_{k}"], arrays[f"g_{k}"]]) for k in ("pid", "cam")}
    if "q_feat" in arrays:
        features = np.concatenate([arrays["q_feat"], arrays["g_feat"]])
    else:
        features = np.ones((len(roles), 2), np.float32)
    paths = np.array([str(number) for number in range(len(roles))])
    embeddings = Embeddings(features, both["pid"], both["cam"], roles, paths)
    with pytest.raises(EvaluationError, match="no query image shares an identity"):
        evaluate(embeddings, PROTOCOLS["market"])


def _check_distances(case: Case, kind: str) -> None:
    case.check_known(
        {"k1", "k2", "lam", "mAP", "mINP", "rank1"}, {"dist", "q_feat", "g_feat", *LABELS}
    )
    query, gallery = case.arrays["q_feat"], case.arrays["g_feat"]
    tolerance = case.numbers("reranked_distance")[0]
    if kind == "baseline":
        blocks = distance_blocks(query, gallery, block_size=BLOCK)
    elif kind == "original":
        blocks = rerank_blocks(query, gallery, _params(case), BLOCK)
    else:
        variant = case.name.removeprefix("variant_")
        assert variant in VARIANTS
        blocks = variant_blocks(variant, query, gallery, _params(case), BLOCK)
        if variant == "float16":
            tolerance = case.numbers("reranked_distance")[-1]
    made = np.concatenate(list(blocks))
    _close(made, case.arrays["dist"], tolerance)
    ranking = rank_blocks(_rows(made), case.labels())
    _close(mean_of_valid(average_precision(ranking)), case.fields["mAP"], case.from_features)
    penalty = mean_of_valid(inverse_negative_penalty(ranking))
    _close(penalty, case.fields["mINP"], case.from_features)
    _check_ranks(case, cumulative_matching(first_match_rank(ranking)))


def _params(case: Case) -> RerankParams:
    """The pure Jaccard variants have no lambda."""
    given = {"k1": case.fields["k1"], "k2": case.fields["k2"]}
    if "lam" in case.fields:
        given["lambda_"] = case.fields["lam"]
    return RerankParams(**given)


def _check_expansion(case: Case) -> None:
    case.check_known({"k", "alpha", "times"}, {"q", "g", "q_feat", "g_feat", *LABELS})
    sides = case.arrays["q_feat"], case.arrays["g_feat"]
    fields = case.fields
    params = ExpansionParams(fields["k"], fields["alpha"], fields["times"], gallery_too=True)
    made = expand(np.concatenate(sides), np.arange(len(sides[0])), params)
    expected = np.concatenate([case.arrays["q"], case.arrays["g"]])
    _close(made, expected, case.tolerance("aqe"))


def _rows(distances: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(distances), BLOCK):
        yield distances[start : start + BLOCK]


def _close(made: Any, expected: Any, tolerance: float) -> None:
    np.testing.assert_allclose(made, expected, rtol=0, atol=tolerance, equal_nan=True)
