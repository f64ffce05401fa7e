"""Test protocols: which gallery images count for a query, and how gallery and trials are drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reid.errors import EvaluationError, ParamsError
from reid.params import nearest
from reid.retrieval.distance import IntArray
from reid.retrieval.labels import Exclusion

Gallery = Literal["all", "single_shot_expected", "single_shot_drawn", "one_image_per_person"]


@dataclass(frozen=True)
class Protocol:
    """How a test set is scored.

    Args:
        name: Stands in the name of every metric.
        exclusion: Gallery images that do not count for a query (see `Labels`).
        gallery: `all` images; one per person drawn after exclusion, as the exact expectation
            (`single_shot_expected`) or in seeded draws (`single_shot_drawn`), which alters the
            matching curve and not the average precision; or `one_image_per_person` drawn from all
            images of the test set, the rest of which are queries.
        trials: Number of draws, whose scores are averaged.
        seed: Seed of the draws.
        normalise: Scale features to length 1 before squared Euclidean distances.
    """

    name: str
    exclusion: Exclusion
    gallery: Gallery = "all"
    trials: int = 1
    seed: int = 0
    normalise: bool = True

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise ParamsError(f"protocol {self.name}: {self.trials} trials", "at least 1", "Set 1.")

    @property
    def card(self) -> dict[str, Any]:
        """Everything here that alters a score, by the names of the protocol card."""
        return {
            "protocol": self.name,
            "distance": "squared_euclidean",
            "normalisation": "l2" if self.normalise else "none",
            "exclusion_rule": f"junk; {self.exclusion.replace('_', ' ')}",
            "gallery_draw": self.gallery,
            "trials": self.trials,
            "seed": self.seed,
        }


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol("market", exclusion="same_person_and_camera"),
        Protocol("no_camera", exclusion="none"),
        Protocol("cuhk03", exclusion="same_person_and_camera", gallery="single_shot_expected"),
        Protocol(
            "cuhk03_drawn",
            exclusion="same_person_and_camera",
            gallery="single_shot_drawn",
            trials=10,
        ),
        Protocol("vehicleid", exclusion="none", gallery="one_image_per_person", trials=10),
    )
}


def protocol_named(name: str) -> Protocol:
    """Look up a protocol.

    Raises:
        ParamsError: Unknown name.
    """
    if name not in PROTOCOLS:
        raise ParamsError(
            f"unknown protocol '{name}'{nearest(name, PROTOCOLS)}",
            f"one of {', '.join(PROTOCOLS)}",
            "Correct the name.",
        )
    return PROTOCOLS[name]


@dataclass(frozen=True)
class Split:
    """Which rows of a test set are queries and which are the gallery.

    Args:
        query_rows: [Q].
        gallery_rows: [G].
    """

    query_rows: IntArray
    gallery_rows: IntArray


def splits(
    protocol: Protocol, person_ids: IntArray, is_query: npt.NDArray[np.bool_]
) -> Iterator[Split]:
    """Yield the split of each trial; the given one where the protocol draws no gallery.

    Args:
        protocol: The protocol.
        person_ids: Of all rows, without junk [N].
        is_query: Role of all rows [N].

    Raises:
        EvaluationError: No image to draw from.
    """
    if protocol.gallery != "one_image_per_person":
        yield Split(np.flatnonzero(is_query), np.flatnonzero(~is_query))
        return
    for trial in range(protocol.trials):
        yield split_at(person_ids, draw_gallery(person_ids, protocol.seed, trial))


def draw_gallery(person_ids: IntArray, seed: int, trial: int) -> IntArray:
    """Draw the row of one image of each person: [persons], in order of person.

    Args:
        person_ids: Of all rows [N].
        seed: Seed of the protocol.
        trial: Number of the trial; each has its own stream.
    """
    if not len(person_ids):
        raise EvaluationError("0 images", "at least one person", "Check the test set.")
    order = np.argsort(person_ids, kind="stable")
    _, first, sizes = np.unique(person_ids[order], return_index=True, return_counts=True)
    generator = np.random.default_rng([seed, trial])
    chosen: IntArray = order[first + generator.integers(0, sizes)]
    return chosen


def split_at(person_ids: IntArray, gallery_rows: IntArray) -> Split:
    """Make queries of all rows that are not in the gallery."""
    is_query = np.ones(len(person_ids), np.bool_)
    is_query[gallery_rows] = False
    return Split(np.flatnonzero(is_query), gallery_rows)
