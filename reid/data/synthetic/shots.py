"""Names of images and of the times at which they are taken, whatever the layout on disk."""

from dataclasses import dataclass

import numpy as np

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.world import FRAMES_PER_SECOND, WorldSpec

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


def camera_distances(spec: WorldSpec) -> list[float]:
    """Metres from the first camera of the path to each of them."""
    draw = spec.draw("gap")
    distances = [0.0]
    for _ in range(spec.counts.cameras - 1):
        distances.append(distances[-1] + uniform(draw, CAMERA_GAP))
    return distances


def arrival_frames(
    spec: WorldSpec, person_id: int, cameras: list[int], distances: list[float]
) -> list[int]:
    """Frames at which a walker reaches each of the cameras, which count from 0 here."""
    draw = spec.draw("time", person_id)
    start = uniform(draw, (0.0, spec.counts.span))
    upwards = draw.random() < 0.70
    speed = float(np.clip(draw.normal(1.35, 0.16), 0.9, 1.9))
    origin = 0.0 if upwards else distances[-1]
    seconds = [start + abs(distances[camera] - origin) / speed for camera in cameras]
    return [round(moment * FRAMES_PER_SECOND) for moment in seconds]


def next_frame(draw: np.random.Generator, frame: int) -> int:
    """The frame of the following image of a track."""
    return frame + int(draw.integers(FRAME_GAP[0], FRAME_GAP[1] + 1))


def images_of_track(spec: WorldSpec, draw: np.random.Generator) -> int:
    """Draw how many images a track has."""
    fewest, most = spec.counts.images_per_track
    return int(draw.integers(fewest, most + 1))
