"""Score one test set under one protocol: plain, re-ranked, and with expanded queries."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError, ParamsError
from reid.progress import Advance, silent
from reid.retrieval.answers import FirstAnswers, first_answers
from reid.retrieval.embeddings import Embeddings
from reid.retrieval.expansion import ExpansionParams
from reid.retrieval.features import DoubleArray, FeatureRows, FloatArray, IntArray
from reid.retrieval.labels import JUNK
from reid.retrieval.memory import (
    APPROXIMATE_COPIES,
    EXPANSION_COPIES,
    VARIANT_COPIES,
    Plan,
    Sizes,
)
from reid.retrieval.pair_source import LiftedSource
from reid.retrieval.plain_watch import Breakdown, PlainWatch
from reid.retrieval.precision import name_of
from reid.retrieval.protocols import Protocol
from reid.retrieval.reranked_trials import expanded_trials, reranked_trials
from reid.retrieval.reranking import RerankParams
from reid.retrieval.scoring import NearestLists, Scores, Source, score
from reid.retrieval.space import FeatureSpace, Search, Space
from reid.retrieval.testset import TestSet
from reid.retrieval.tlift import TLiftParams
from reid.retrieval.variant_source import (
    AS_GIVEN,
    VariantSource,
    check_variants,
    variant_remarks,
    variant_setting,
)

PLAIN = "plain"
# what the maker of embeddings is expected to state; None where it does not
STATED = (
    "backends",
    "device",
    "feature_size",
    "flip",
    "images_per_second",
    "manifest_digest",
    "model_digest",
    "precision",
    "recipe",
    "uses_camera_ids",
    "world_size",
)
# shows the progress of a named part of the work
Report = Callable[[str], AbstractContextManager[Advance]]


@dataclass(frozen=True)
class EvaluationSettings:
    """What is computed beside plain scores, and with what means.

    Args:
        rerank: Parameters of re-ranking; None leaves it out.
        variants: Names of known public variants of re-ranking (see `reranking_variants`), scored
            with the same parameters, each under its own name.
        expansions: Query expansions, each scored under its own name.
        lift: Parameters of temporal lifting of the re-ranked distances; None leaves it out.
        max_rank: Length of the matching curve.
        memory: Bytes to work with (see `Plan`); None for no bound.
        device: Where matrix products run: `cpu` or a device of torch.
        pairs: Count all pairs by distance too, which makes the plain distances a second time.
        search: How re-ranking finds neighbours: `exact`, or `approximate` beyond a million images,
            which then stands in the name of the setting.

    Raises:
        ParamsError: Variants without re-ranking.
    """

    rerank: RerankParams | None = field(default_factory=RerankParams)
    variants: tuple[str, ...] = ()
    expansions: tuple[ExpansionParams, ...] = ()
    lift: TLiftParams | None = None
    max_rank: int = 50
    memory: int | None = None
    device: str = "cpu"
    pairs: bool = True
    search: Search = "exact"

    def __post_init__(self) -> None:
        if self.variants and self.rerank is None:
            raise ParamsError(
                f"the re-ranking variant {self.variants[0]} without re-ranking",
                "the canonical score beside it",
                "Leave out the variant, or re-rank.",
            )

    @property
    def remarks(self) -> dict[str, str]:
        """What each setting of a variant exploits, as a sentence."""
        return variant_remarks(self.variants, self.rerank) if self.rerank else {}

    @property
    def reranked(self) -> str | None:
        """Name of the re-ranked setting."""
        if self.rerank is None:
            return None
        return self.rerank.name + ("" if self.search == "exact" else f"_{self.search}")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Scores of one test set under one protocol, for each setting (`plain`, `rerank_...`).

    Args:
        dataset: Name of the test set.
        protocol: Name of the protocol.
        query_paths: Path of each query, in the order of the per-query scores [Q].
        scores: By setting.
        nearest: By setting.
        card: Everything that alters a score, and how the embeddings were made.
        breakdown: Where plain distances are right and wrong.
        answers: By setting; empty where several test sets were averaged.
        query_seconds: Time that the plain distances of a query to the whole gallery take, without
            embedding and ranking.
    """

    dataset: str
    protocol: str
    query_paths: npt.NDArray[np.str_]
    scores: dict[str, Scores]
    nearest: dict[str, NearestLists]
    card: dict[str, Any]
    breakdown: Breakdown
    answers: dict[str, FirstAnswers]
    query_seconds: float

    @property
    def test_set(self) -> str:
        """`<dataset>/<protocol>`, which starts the name of every metric."""
        return f"{self.dataset}/{self.protocol}"


@dataclass(frozen=True, eq=False)
class Scored:
    """Distances from elsewhere, such as a pair scorer, in place of those of the features.

    Args:
        source: Distances between the rows of `known_rows`. Re-ranking needs a whole `Space`.
        facts: What the card says of them, `distance` and more.
        pair_seconds: Time for each pair that was spent before, in the making of `source`.
    """

    source: Source
    facts: dict[str, Any]
    pair_seconds: float = 0.0


def evaluate(
    embeddings: Embeddings,
    protocol: Protocol,
    settings: EvaluationSettings | None = None,
    report: Report = lambda _: nullcontext(silent),
    scored: Scored | None = None,
) -> Evaluation:
    """Score embeddings plain and re-ranked, and with expanded queries where that is asked for.

    Junk rows are dropped first, so they take no part in re-ranking either.

    Args:
        embeddings: Of one test set; the card names the `dataset`.
        protocol: Queries, gallery, exclusion rule and trials.
        settings: What to compute; by default plain and re-ranked scores.
        report: Shows progress, part by part.
        scored: Distances to use instead of those of the features.

    Raises:
        EvaluationError: The test set lacks what the protocol needs, no query is valid, features
            are not finite, the memory is too small, or settings ask for what `scored` cannot give
            or what has no meaning under the protocol.
    """
    settings = settings or EvaluationSettings()
    rows = known_rows(embeddings)
    dataset = str(embeddings.card.get("dataset", "embeddings"))
    test = TestSet.of(dataset, embeddings, rows)
    width = 0 if scored else embeddings.features.shape[1]
    plan = Plan.of(_sizes(embeddings, rows, width, settings), settings.memory)
    space = scored.source if scored else _features(embeddings, protocol, settings, plan, rows)
    if settings.rerank:
        check_variants(settings.variants, settings.rerank, test, protocol)
    watching = PlainWatch(test, settings.pairs)
    scores: dict[str, Scores] = {}
    nearest: dict[str, NearestLists] = {}
    answers: dict[str, FirstAnswers] = {}
    passes: list[_Watched] = []
    # one after the other: a test without a valid query fails before the costly part
    moments = (embeddings.camera_ids[rows], embeddings.seconds[rows])
    for setting, source in _sources(space, settings, plan.keep, moments):
        with report(f"{dataset} {protocol.name} {setting}") as advance:
            watched = _Watched(source, advance)
            watch = watching if setting == PLAIN else None
            how = (plan.block_size, settings.max_rank)
            scores[setting], lists = score(watched, test, protocol, *how, watch=watch)
        nearest[setting] = lists.renumbered(rows)
        answers[setting] = first_answers(embeddings, rows, scores[setting], nearest[setting])
        if setting == PLAIN:
            passes.append(watched)
    with report(f"{dataset} {protocol.name} pairs") as advance:
        passes.append(_Watched(space, advance))
        pairs = watching.statistics(passes[-1], plan.block_size)
    found = scores[PLAIN]
    breakdown = watching.breakdown(pairs, found, embeddings.occlusions[rows])
    paths = embeddings.paths[rows[found.query_rows]]
    card = _card(embeddings, protocol, settings, test, scores) | (scored.facts if scored else {})
    seconds = _query_seconds(passes, scored, found.gallery)
    return Evaluation(
        dataset, protocol.name, paths, scores, nearest, card, breakdown, answers, seconds
    )


def _features(
    embeddings: Embeddings,
    protocol: Protocol,
    settings: EvaluationSettings,
    plan: Plan,
    rows: IntArray,
) -> FeatureSpace:
    name = str(embeddings.card.get("dataset", "embeddings"))
    features = FeatureRows(embeddings.features, name, protocol.normalise, rows, plan.hold)
    return FeatureSpace(features, settings.device, search=settings.search)


def known_rows(embeddings: Embeddings) -> IntArray:
    """Return the rows that are not junk, queries first, so that both sides are consecutive."""
    is_query, known = embeddings.is_query, embeddings.person_ids != JUNK
    return np.concatenate([np.flatnonzero(known & is_query), np.flatnonzero(known & ~is_query)])


def _sizes(
    embeddings: Embeddings, rows: IntArray, width: int, settings: EvaluationSettings
) -> Sizes:
    """Return what the memory depends on; a pool counts as gallery."""
    persons, is_query = embeddings.person_ids[rows], embeddings.is_query[rows]
    _, codes = np.unique(persons, return_inverse=True)
    mine, theirs = (
        np.bincount(codes[side], minlength=len(codes)) for side in (is_query, ~is_query)
    )
    approximate = settings.search == "approximate"
    return Sizes(
        queries=int(is_query.sum()),
        gallery=int((~is_query).sum()),
        width=width,
        longest=max(
            settings.rerank.longest if settings.rerank else 0,
            *(params.count for params in settings.expansions),
            0,
        ),
        averaged=settings.rerank.k2 if settings.rerank else 0,
        genuine=int(mine @ theirs) if settings.pairs else 0,
        cameras=len(np.unique(embeddings.camera_ids[rows])),
        copies=max(
            EXPANSION_COPIES if settings.expansions else 0,
            APPROXIMATE_COPIES if approximate else 0,
            VARIANT_COPIES if settings.variants else 0,
        ),
        variants=bool(settings.variants),
    )


def _sources(
    source: Source,
    settings: EvaluationSettings,
    keep: bool,
    moments: tuple[IntArray, DoubleArray],
) -> Iterator[tuple[str, Source]]:
    yield PLAIN, source
    if settings.rerank and settings.reranked:
        if not isinstance(source, Space):
            raise _impossible("re-ranking", "distances between all images")
        reranked = reranked_trials(source, settings.rerank, keep)
        yield settings.reranked, reranked
        if settings.lift:
            lifted = LiftedSource(reranked, *moments, settings.lift)
            yield f"{settings.reranked}_{settings.lift.name}", lifted
        for name in settings.variants:
            if not isinstance(source, FeatureSpace):
                raise _impossible(f"the re-ranking variant {name}", "features")
            features = source.features.as_given() if name in AS_GIVEN else source.features
            yield (
                variant_setting(name, settings.rerank),
                VariantSource(features, name, settings.rerank),
            )
    for params in settings.expansions:
        if not isinstance(source, FeatureSpace):
            raise _impossible("query expansion", "features, whose means are features")
        yield params.name, expanded_trials(source, params)


def _impossible(what: str, needed: str) -> EvaluationError:
    return EvaluationError(f"{what} of pair scores", needed, "Switch it off for this run.")


def _query_seconds(passes: "Sequence[_Watched]", scored: Scored | None, gallery: int) -> float:
    """Return the time of a query in the quickest pass: the first one may wait for a compiler."""
    seconds = min(made.seconds_per_query for made in passes if made.queries)
    return seconds + scored.pair_seconds * gallery if scored else seconds


@dataclass
class _Watched:
    """A source whose blocks are counted, and their making timed, as they pass."""

    source: Source
    advance: Advance
    queries: int = 0
    seconds: float = 0.0

    @property
    def seconds_per_query(self) -> float:
        """Mean over all trials."""
        return self.seconds / self.queries

    def blocks(
        self, query_rows: IntArray, gallery_rows: IntArray, block_size: int
    ) -> Iterator[FloatArray]:
        done = 0
        started = time.perf_counter()
        for block in self.source.blocks(query_rows, gallery_rows, block_size):
            self.seconds += time.perf_counter() - started
            yield block
            done += len(block)
            self.queries += len(block)
            self.advance(done, len(query_rows))
            started = time.perf_counter()


def _card(
    embeddings: Embeddings,
    protocol: Protocol,
    settings: EvaluationSettings,
    test: TestSet,
    scores: dict[str, Scores],
) -> dict[str, Any]:
    """Return what must be printed beside the scores; the protocol wins over the embedding card."""
    rerank = settings.rerank
    return {
        **dict.fromkeys(STATED),
        "feature_size": embeddings.features.shape[1],
        **embeddings.card,
        **protocol.card(test),
        "dataset": test.name,
        "queries": scores[PLAIN].queries,
        "gallery": scores[PLAIN].gallery,
        "cameras": sorted(set(test.camera_ids.tolist())),
        "valid_queries": scores[PLAIN].valid_queries,
        "stored_as": name_of(embeddings.features),
        "rerank": rerank
        and {
            "k1": rerank.k1,
            "k2": rerank.k2,
            "lambda": rerank.lambda_,
            "neighbours": settings.search,
        },
        # known public codes that give other numbers; never the ones to compare methods by
        "rerank_variants": settings.remarks,
        # other queries and the gallery shape these distances: a system that answers one query at a
        # time does not have them
        "transductive": [setting for setting in scores if setting != PLAIN],
        "trial_mean": {setting: found.figures() for setting, found in scores.items()},
        "trial_deviation": {setting: found.deviations for setting, found in scores.items()},
    }
