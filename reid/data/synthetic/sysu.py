"""Cross-modal worlds in the layout of SYSU-MM01.

Images are `cam<camera>/<person:04>/<number:04>.jpg`; infrared ones are JPEG files with three equal
channels, as in the real set. `exp/train_id.txt`, `val_id.txt`, `test_id.txt` and `available_id.txt`
hold one line of person ids. The order in which trials draw the gallery stands in
`exp/rand_perm_cam.mat` and, readable for people, in `exp/rand_perm_cam.json`.
"""

import json
from collections.abc import Iterator, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from reid.data.synthetic.shots import (
    ImageKey,
    Shot,
    arrival_frames,
    camera_distances,
    images_of_track,
    next_frame,
)
from reid.data.synthetic.tables import INFRARED_CAMERAS
from reid.data.synthetic.world import WorldSpec

INFRARED_PER_ID = (1, 2)
COLOUR_PER_ID = (2, 4)
"""Cameras of each spectrum that a person passes, both bounds included."""

TRIALS = 10
VALIDATION_SHARE = 0.25
"""Share of the people for training that the official split sets aside."""

_HEADER_TEXT = 116
"""Bytes of free text at the start of a MAT file; scipy writes the date there."""

Permutations = list[list[NDArray[np.uint16]]]


def sysu_shots(spec: WorldSpec) -> tuple[Shot, ...]:
    """All images of a world: train people, then test people."""
    distances = camera_distances(spec)
    shots: list[Shot] = []
    for person_id in range(1, _people(spec) + 1):
        shots += _person_shots(spec, person_id, distances)
    return tuple(shots)


def sysu_companions(spec: WorldSpec, shots: Sequence[Shot]) -> dict[str, bytes]:
    """Files beside the images: lists of ids and permutations of the gallery, by name."""
    train, test = spec.counts.train_ids, spec.counts.test_ids
    fitting = train - round(VALIDATION_SHARE * train)
    lists = {
        "train_id": range(1, fitting + 1),
        "val_id": range(fitting + 1, train + 1),
        "test_id": range(train + 1, train + test + 1),
        "available_id": range(1, train + test + 1),
    }
    permutations = gallery_permutations(spec, shots)
    files = {f"exp/{name}.txt": f"{','.join(map(str, ids))}\n" for name, ids in lists.items()}
    files["exp/rand_perm_cam.json"] = json.dumps(_readable(permutations)) + "\n"
    return {name: text.encode() for name, text in files.items()} | {
        "exp/rand_perm_cam.mat": _mat_file(permutations)
    }


def gallery_permutations(spec: WorldSpec, shots: Sequence[Shot]) -> Permutations:
    """For each camera and person an order of that person's images for each trial.

    Returns:
        `[camera - 1][person_id - 1]` is [trials, images] of image numbers from 1; a person whom a
        camera did not see has no columns. A trial with n shots takes the first n of its row.
    """
    images = np.zeros((spec.counts.cameras, _people(spec)), dtype=np.int64)
    for shot in shots:
        images[shot.key.camera - 1, shot.key.number - 1] += 1
    return [
        [_orders(spec, camera + 1, person + 1, int(amount)) for person, amount in enumerate(row)]
        for camera, row in enumerate(images)
    ]


def _orders(spec: WorldSpec, camera: int, person_id: int, images: int) -> NDArray[np.uint16]:
    draw = spec.draw("perm", camera, person_id)
    rows = [draw.permutation(images) + 1 for _ in range(TRIALS)]
    return np.array(rows, dtype=np.uint16).reshape(TRIALS, images)


def _people(spec: WorldSpec) -> int:
    return spec.counts.train_ids + spec.counts.test_ids


def _person_shots(spec: WorldSpec, person_id: int, distances: list[float]) -> Iterator[Shot]:
    occur = spec.draw("occur", "cross_modal", person_id)
    cameras: list[int] = []
    numbers = np.arange(spec.counts.cameras)
    infrared = np.isin(numbers + 1, INFRARED_CAMERAS)
    for pool, (low, high) in (
        (numbers[infrared], INFRARED_PER_ID),
        (numbers[~infrared], COLOUR_PER_ID),
    ):
        amount = int(occur.integers(low, high + 1))
        cameras += occur.permutation(pool)[:amount].tolist()
    cameras.sort()
    arrivals = arrival_frames(spec, person_id, cameras, distances)
    for camera, frame in zip(cameras, arrivals, strict=True):
        track = person_id * 10 + camera + 1
        for index in range(1, images_of_track(spec, occur) + 1):
            key = ImageKey("person", person_id, camera + 1, track, index)
            yield Shot(key, f"cam{camera + 1}/{person_id:04}/{index:04}.jpg", frame)
            frame = next_frame(occur, frame)


def _readable(permutations: Permutations) -> dict[str, dict[str, list[list[int]]]]:
    """Camera folder, person folder, trials; people whom a camera did not see are left out."""
    return {
        f"cam{camera}": {
            f"{person_id:04}": orders.tolist()
            for person_id, orders in enumerate(people, start=1)
            if orders.size
        }
        for camera, people in enumerate(permutations, start=1)
    }


def _mat_file(permutations: Permutations) -> bytes:
    """The official structure: a cell of cameras, each a cell of people, each [trials, images].

    A reader gets the order of a trial as `mat["rand_perm_cam"][cam - 1][0][pid - 1][0][trial]`.
    """
    from scipy.io import savemat  # takes half a second, and only such worlds need it

    cameras = np.empty((len(permutations), 1), dtype=object)
    for camera, people in enumerate(permutations):
        cell = np.empty((len(people), 1), dtype=object)
        for person, orders in enumerate(people):
            cell[person, 0] = orders
        cameras[camera, 0] = cell
    buffer = BytesIO()
    savemat(buffer, {"rand_perm_cam": cameras})
    text = b"MATLAB 5.0 MAT-file, synthetic world"
    # equal worlds have equal bytes: no date
    return text.ljust(_HEADER_TEXT) + buffer.getvalue()[_HEADER_TEXT:]
