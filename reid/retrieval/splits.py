"""Split a test set into queries and gallery, as a protocol says, once for each trial."""

import random
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from reid.errors import EvaluationError
from reid.retrieval.features import IntArray
from reid.retrieval.protocols import MODALITY_NAMES, OTHER_MODALITY, Modality, Protocol
from reid.retrieval.testset import Split, TestSet


def splits(protocol: Protocol, test: TestSet) -> Iterator[Split]:
    """Yield the split of each trial; one only where the protocol draws no gallery of images.

    Raises:
        EvaluationError: No query or no gallery image, or too few official draws.
    """
    if protocol.gallery == "one_image_per_person":
        for trial in range(protocol.trials):
            chosen = draw_gallery(test.person_ids, protocol.seed, trial)
            yield split_at(test.person_ids, chosen)
        return
    if protocol.query_modality is None:
        split = _by_role(protocol, test)
    else:
        split = _by_modality(protocol, test, protocol.query_modality)
    if protocol.gallery != "shots_per_camera":
        yield split
        return
    for trial in range(protocol.trials):
        yield Split(split.query_rows, draw_shots(protocol, test, split.gallery_rows, trial))


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


def draw_shots(protocol: Protocol, test: TestSet, gallery_rows: IntArray, trial: int) -> IntArray:
    """Draw up to `shots` images of each person and camera: rows, ascending.

    The official draws say which, where the test set has any. Otherwise Python's generator is
    seeded with the number of the trial and asked for each person in ascending order, camera by
    camera, with the images in order of path, as the makers of LLCM do. Asked for one image, its
    `sample` reads the same stream as its `choice`, which they call.

    Args:
        protocol: Shots, trials and seed.
        test: The test set.
        gallery_rows: Rows to draw from [P].
        trial: Number of the trial, from 0.

    Raises:
        EvaluationError: Fewer official trials than the protocol has, or one without any image.
    """
    if test.draws.shape[1]:
        return _official_draw(protocol, test, gallery_rows, trial)
    persons, cameras = test.person_ids[gallery_rows], test.camera_ids[gallery_rows]
    order = np.lexsort((test.paths[gallery_rows], cameras, persons))
    pairs = np.stack([persons[order], cameras[order]])
    starts = np.flatnonzero((pairs[:, 1:] != pairs[:, :-1]).any(axis=0)) + 1
    generator = random.Random(protocol.seed + trial)
    chosen: list[int] = []
    for first, last in pairwise([0, *starts.tolist(), len(order)]):
        chosen += generator.sample(range(first, last), min(protocol.shots, last - first))
    return np.sort(gallery_rows[order[chosen]])


def _official_draw(
    protocol: Protocol, test: TestSet, gallery_rows: IntArray, trial: int
) -> IntArray:
    trials = test.draws.shape[1]
    if trials < protocol.trials:
        raise EvaluationError(
            f"{test.name}: {trials} official gallery draws",
            f"{protocol.trials} under the protocol {protocol.name}",
            "Read the dataset again with its list of draws, or without it for seeded ones.",
        )
    places = test.draws[gallery_rows, trial]
    chosen: IntArray = gallery_rows[(places >= 0) & (places < protocol.shots)]
    if not len(chosen):
        raise EvaluationError(
            f"{test.name}: official gallery draw {trial + 1} holds none of the "
            f"{len(gallery_rows)} gallery images",
            f"up to {protocol.shots} of each person and camera",
            "Read the dataset again with its list of draws, or without it for seeded ones.",
        )
    return chosen


def _by_role(protocol: Protocol, test: TestSet) -> Split:
    sides = []
    for role in ("query", "gallery"):
        taken = test.roles == role
        if protocol.single_shot:
            taken |= test.roles == "pool"
        sides.append(np.flatnonzero(taken))
    if not all(len(rows) for rows in sides):
        found = Counter(test.roles.tolist())
        roles = ", ".join(f"{count} {role}" for role, count in sorted(found.items())) or "0"
        raise EvaluationError(
            f"{test.name}: {roles} images",
            f"images of the roles query and gallery under the protocol {protocol.name}",
            "Give the images these roles, or take the protocol made for this dataset.",
        )
    return Split(*sides)


def _by_modality(protocol: Protocol, test: TestSet, modality: Modality) -> Split:
    query = _side(protocol, test, "queries", modality, protocol.query_cameras)
    other = OTHER_MODALITY[modality]
    return Split(query, _side(protocol, test, "a gallery", other, protocol.gallery_cameras))


def _side(
    protocol: Protocol,
    test: TestSet,
    side: str,
    modality: Modality,
    cameras: tuple[int, ...] | None,
) -> IntArray:
    """Return the rows of one modality, and of some cameras or all."""
    taken, name = test.modalities == modality, MODALITY_NAMES[modality]
    if not taken.any():
        raise _lacks(protocol, test, f"{side} without {name} images")
    if cameras is not None:
        found = sorted(set(test.camera_ids[taken].tolist()))
        taken &= np.isin(test.camera_ids, cameras)
        if not taken.any():
            wanted, there = (", ".join(map(str, ids)) for ids in (cameras, found))
            lack = f"{side} without {name} images of cameras {wanted} (there are {there})"
            raise _lacks(protocol, test, lack)
    return np.flatnonzero(taken)


def _lacks(protocol: Protocol, test: TestSet, what: str) -> EvaluationError:
    return EvaluationError(
        f"{test.name}: {what} ({len(test.modalities)} images)",
        f"visible and infrared images under the protocol {protocol.name}",
        "Add the missing images, or take a protocol that goes by roles, such as market.",
    )
