"""Labelled worlds in the layout of Market-1501: train people, queries, gallery, distractors."""

from collections.abc import Iterator

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.shots import (
    ImageKey,
    Shot,
    arrival_frames,
    camera_distances,
    images_of_track,
    next_frame,
)
from reid.data.synthetic.world import FRAMES_PER_SECOND, SESSION_SECONDS, WorldSpec

TRAIN, QUERY, GALLERY = "bounding_box_train", "query", "bounding_box_test"


def market_shots(spec: WorldSpec) -> tuple[Shot, ...]:
    """All images of a world: train people, test people, distractors, junk."""
    distances = camera_distances(spec)
    shots: list[Shot] = []
    for person_id in range(1, spec.counts.train_ids + spec.counts.test_ids + 1):
        shots += _person_shots(spec, person_id, distances)
    shots += _lone_shots(spec)
    return tuple(shots)


def file_name(person: str, camera: int, frame: int, index: int) -> str:
    """Name in the grammar of Market-1501; the frame restarts with every session."""
    session, frame_in_session = divmod(frame, SESSION_SECONDS * FRAMES_PER_SECOND)
    return f"{person}_c{camera}s{session + 1}_{frame_in_session:06}_{index:02}.jpg"


def _person_shots(spec: WorldSpec, person_id: int, distances: list[float]) -> Iterator[Shot]:
    counts = spec.counts
    occur = spec.draw("occur", person_id)
    low, high = counts.cameras_per_id
    amount = int(occur.integers(low, high + 1))
    cameras = sorted(occur.permutation(counts.cameras)[:amount].tolist())
    test = person_id > counts.train_ids
    arrivals = arrival_frames(spec, person_id, cameras, distances)
    for camera, frame in zip(cameras, arrivals, strict=True):
        images = images_of_track(spec, occur)
        query = int(occur.integers(images)) if test and images > 1 else None
        # a person passes a camera once, so this number names the track in the whole world
        track = person_id * 10 + camera + 1
        for index in range(images):
            split = TRAIN if not test else QUERY if index == query else GALLERY
            name = file_name(f"{person_id:04}", camera + 1, frame, index + 1)
            key = ImageKey("person", person_id, camera + 1, track, index + 1)
            yield Shot(key, f"{split}/{name}", frame)
            frame = next_frame(occur, frame)


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
            draw = spec.draw("occur", kind, number)
            camera = int(draw.integers(counts.cameras)) + 1
            frame = round(uniform(draw, (0.0, counts.span)) * FRAMES_PER_SECOND)
            index = 0
            while (name := file_name(person, camera, frame, index)) in taken:
                index += 1
            taken.add(name)
            track += 1
            yield Shot(ImageKey(kind, number, camera, track, 1), f"{GALLERY}/{name}", frame)
