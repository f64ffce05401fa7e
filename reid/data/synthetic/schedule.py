"""Who passes which camera when: tracks, times, splits and file names of a whole world."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from reid.data.synthetic.keys import generator, uniform
from reid.data.synthetic.world import FRAMES_PER_SECOND, SESSION_SECONDS, WorldSpec

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"

CAMERA_GAP = (40.0, 140.0)
"""Walking distance in metres between neighbouring cameras."""

FRAME_GAP = (10, 25)
"""Frames between neighbouring images of a track, both included."""


@dataclass(frozen=True)
class ImageKey:
    """Name of an image: all that its content depends on, besides the world.

    `kind` is person, distractor or junk and `number` counts within it; `camera` counts from 1,
    `track` is unique in the world, `index` counts from 1 within the track.
    """

    kind: str
    number: int
    camera: int
    track: int
    index: int


@dataclass(frozen=True)
class Shot:
    """An image to be written: its key, its file relative to the root, and its time."""

    key: ImageKey
    file: str
    frame: int  # frames since the start of the recording, sessions not subtracted

    @property
    def time(self) -> float:
        """Seconds since the start of the recording."""
        return self.frame / FRAMES_PER_SECOND


def schedule(spec: WorldSpec) -> tuple[Shot, ...]:
    """All images of a world: train people, test people, distractors, junk."""
    distances = _camera_distances(spec)
    shots: list[Shot] = []
    for person_id in range(1, spec.counts.train_ids + spec.counts.test_ids + 1):
        shots += _person_shots(spec, person_id, distances)
    shots += _lone_shots(spec)
    return tuple(shots)


def file_name(person: str, camera: int, frame: int, index: int) -> str:
    """Name in the grammar of Market-1501; the frame restarts with every session."""
    session, frame_in_session = divmod(frame, SESSION_SECONDS * FRAMES_PER_SECOND)
    return f"{person}_c{camera}s{session + 1}_{frame_in_session:06}_{index:02}.jpg"


def _camera_distances(spec: WorldSpec) -> list[float]:
    draw = generator(spec.seed, spec.domain, "gap")
    distances = [0.0]
    for _ in range(spec.counts.cameras - 1):
        distances.append(distances[-1] + uniform(draw, CAMERA_GAP))
    return distances


def _person_shots(spec: WorldSpec, person_id: int, distances: list[float]) -> Iterator[Shot]:
    counts = spec.counts
    occur = generator(spec.seed, spec.domain, "occur", person_id)
    low, high = counts.cameras_per_id
    amount = int(occur.integers(low, high + 1))
    cameras = sorted(occur.permutation(counts.cameras)[:amount].tolist())
    test = person_id > counts.train_ids
    for camera, arrival in zip(
        cameras, _arrivals(spec, person_id, cameras, distances), strict=True
    ):
        fewest, most = counts.images_per_track
        images = int(occur.integers(fewest, most + 1))
        query = int(occur.integers(images)) if test and images > 1 else None
        # a person passes a camera once, so this number names the track in the whole world
        track = person_id * 10 + camera + 1
        frame = round(arrival * FRAMES_PER_SECOND)
        for index in range(images):
            split = TRAIN if not test else QUERY if index == query else GALLERY
            name = file_name(f"{person_id:04}", camera + 1, frame, index + 1)
            key = ImageKey("person", person_id, camera + 1, track, index + 1)
            yield Shot(key, f"{split}/{name}", frame)
            frame += int(occur.integers(FRAME_GAP[0], FRAME_GAP[1] + 1))


def _arrivals(
    spec: WorldSpec, person_id: int, cameras: list[int], distances: list[float]
) -> list[float]:
    """Seconds at which a walker reaches each of the cameras."""
    draw = generator(spec.seed, spec.domain, "time", person_id)
    start = uniform(draw, (0.0, spec.counts.span))
    upwards = draw.random() < 0.70
    speed = float(np.clip(draw.normal(1.35, 0.16), 0.9, 1.9))
    origin = 0.0 if upwards else distances[-1]
    return [start + abs(distances[camera] - origin) / speed for camera in cameras]


def _lone_shots(spec: WorldSpec) -> Iterator[Shot]:
    """Distractors and junk: single images in the gallery."""
    counts = spec.counts
    track = (counts.train_ids + counts.test_ids + 1) * 10
    taken: set[str] = set()
    for kind, person, amount in (
        ("distractor", "0000", counts.distractors),
        ("junk", "-1", counts.junk),
    ):
        for number in range(1, amount + 1):
            draw = generator(spec.seed, spec.domain, "occur", kind, number)
            camera = int(draw.integers(counts.cameras)) + 1
            frame = round(uniform(draw, (0.0, counts.span)) * FRAMES_PER_SECOND)
            index = 0
            while (name := file_name(person, camera, frame, index)) in taken:
                index += 1
            taken.add(name)
            track += 1
            yield Shot(ImageKey(kind, number, camera, track, 1), f"{GALLERY}/{name}", frame)
