"""Unlabelled worlds in the layout of LUPerson: videos of streets, nobody named.

Images are `<country>/<city>/<country>+<city>+<video>.mp4/<frame:08>_<object:04>.jpg`. A country is
a domain, a video is a camera, and an object is a place in the list of people in a frame: no name
and no folder tells who is in a picture.
"""

from collections import Counter
from collections.abc import Iterator

from reid.data.synthetic.keys import uniform
from reid.data.synthetic.shots import ImageKey, Shot, images_of_track, next_frame
from reid.data.synthetic.world import FRAMES_PER_SECOND, WorldSpec

COUNTRIES = {"A": "summerland", "B": "winterland"}
CITIES = ("eastport", "westport")


def luperson_shots(spec: WorldSpec) -> tuple[Shot, ...]:
    """All images of a world, by video and time."""
    people = range(1, spec.counts.train_ids + 1)
    seen = [moment for number in people for moment in _person_moments(spec, number)]
    seen.sort(key=lambda moment: (moment[0].camera, moment[1], moment[0].number))
    objects: Counter[str] = Counter()
    shots = []
    for key, frame in seen:
        place = f"{video_folder(spec, key.camera)}/{frame:08}"
        shots.append(Shot(key, f"{place}_{objects[place]:04}.jpg", frame))
        objects[place] += 1
    return tuple(shots)


def video_folder(spec: WorldSpec, camera: int) -> str:
    """Folder of a video; domains take turns, and so do the cities of a country."""
    country = COUNTRIES[spec.part(camera).domain]
    turn = (camera - 1) // len(spec.domain)
    city = CITIES[turn % len(CITIES)]
    return f"{country}/{city}/{country}+{city}+street{turn // len(CITIES) + 1:02}.mp4"


def _person_moments(spec: WorldSpec, number: int) -> Iterator[tuple[ImageKey, int]]:
    """Images and frames of a person; a file name depends on everybody else in the frame."""
    occur = spec.draw("occur", number)
    domain = spec.part(number).domain
    videos = [n for n in range(1, spec.counts.cameras + 1) if spec.part(n).domain == domain]
    low, high = spec.counts.cameras_per_id
    amount = int(occur.integers(low, high + 1))
    for camera in occur.permutation(videos)[:amount].tolist():
        frame = round(uniform(occur, (0.0, spec.counts.span)) * FRAMES_PER_SECOND)
        track = number * 100 + camera
        for index in range(1, images_of_track(spec, occur) + 1):
            yield ImageKey("person", number, camera, track, index), frame
            frame = next_frame(occur, frame)
