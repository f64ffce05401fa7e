"""How LUPerson and LUPerson-NL name their images, in the tree and as keys of a database.

The tree is `<country>/<city>/<video>/<image>`, where the level of the video may be missing.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from reid.data.readers.reading import Row

SPLIT = "pretrain"


class Place(NamedTuple):
    """Where an image of the tree was taken; `video` is empty if the tree has no such level."""

    home: str
    country: str
    city: str
    video: str

    @property
    def folder(self) -> str:
        """The folder of the image, with a slash at its end."""
        video = f"{self.video}/" if self.video else ""
        return f"{self.home}{self.country}/{self.city}/{video}"


@dataclass(frozen=True)
class Form:
    """What the two data sets do not share.

    Args:
        layout: Name of the reader and of the data set.
        name: Grammar of file names in the tree.
        key: Grammar of database keys; its group `video` is the session of the image.
        database: Grammar of the path of the database's data file.
        like: An image's path in the tree, for messages.
    """

    layout: str
    name: re.Pattern[str]
    key: re.Pattern[str]
    database: re.Pattern[str]
    like: str


LUPERSON = Form(
    "luperson",
    re.compile(r"(?P<frame>[0-9]{8})_(?P<object>[0-9]{4})(?i:\.jpg)"),
    re.compile(r"(?P<video>[0-9]{2}_[0-9]{2}_[0-9]{4})_(?P<image>[0-9]{8})"),
    re.compile(r"(?:.*/)?lup_lmdb/data\.mdb"),
    "US/Austin/US+Austin+v00.mp4/00000668_0000.jpg",
)
LUPERSON_NL = Form(
    "luperson_nl",
    re.compile(r"(?P<pid>[0-9]{6})_(?P<frame>[0-9]{7})_(?P<object>[0-9]{2})(?i:\.jpg)"),
    re.compile(r"(?P<video>[0-9]{5})_(?P<pid>[0-9]{6})_(?P<frame>[0-9]{7})_(?P<object>[0-9]{2})"),
    re.compile(r"(?:.*/)?lupnl_lmdb/(?:lmdb/)?data\.mdb"),
    "JP/Tokyo/JP+Tokyo+w00.mp4/000020_0067155_00.jpg",
)


def parse_row(path: str, form: Form, member: str | None = None) -> Row | None:
    """Read the row of an image from its path in the tree; None if it is none of the layout.

    Args:
        path: As in the manifest.
        form: Which of the two.
        member: The path in the tree, if the manifest's path names a container too.
    """
    folder, _, file = (member or path).rpartition("/")
    name = form.name.fullmatch(file)
    place = place_of(folder)
    if name is None or place is None:
        return None
    return make_row(path, name, place.video or None)


@lru_cache(maxsize=256)  # images come folder by folder
def place_of(folder: str) -> Place | None:
    """Split a folder of the tree; None if it is not deep enough.

    A video's folder is known by its name, `<country>+<city>+<name>.mp4`.
    """
    parts = folder.split("/")
    video = ""
    if len(parts) > 2 and (
        parts[-1].startswith(f"{parts[-3]}+{parts[-2]}+") or parts[-1].lower().endswith(".mp4")
    ):
        video = parts.pop()
    if len(parts) < 2:
        return None
    *above, country, city = parts
    return Place("".join(f"{part}/" for part in above), country, city, video)


def lmdb_keys(paths: Iterable[str], form: Form) -> Iterator[tuple[str, str]]:
    """Find the key that each image of the tree has in the database.

    LUPerson counts countries, cities of a country, videos of a city and images of a video, each
    from 0; LUPerson-NL counts all videos from 1, and keeps the name of the image. All go by name.

    Args:
        paths: Images of the tree.
        form: Which of the two.

    Yields:
        Path and key, by video and name.
    """
    images: defaultdict[Place, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        place = place_of(folder)
        if place is not None and form.name.fullmatch(name):
            images[place].append(name)
    videos = sorted(images)
    numbers = _numbers(videos, form)
    for place in videos:
        for rank, name in enumerate(sorted(images[place])):
            last = f"{rank:08}" if form is LUPERSON else name.rpartition(".")[0]
            yield place.folder + name, f"{numbers[place]}_{last}"


def _numbers(videos: Sequence[Place], form: Form) -> dict[Place, str]:
    """Number videos, which are sorted, as the keys do."""
    if form is not LUPERSON:
        return {place: f"{number:05}" for number, place in enumerate(videos, start=1)}
    countries: dict[str, int] = {}
    cities: defaultdict[str, dict[str, int]] = defaultdict(dict)
    in_city: Counter[tuple[str, str]] = Counter()
    numbers = {}
    for place in videos:
        country, city = place.country, place.city
        country_rank = countries.setdefault(country, len(countries))
        city_rank = cities[country].setdefault(city, len(cities[country]))
        numbers[place] = f"{country_rank:02}_{city_rank:02}_{in_city[country, city]:04}"
        in_city[country, city] += 1
    return numbers


def make_row(path: str, name: re.Match[str], session: str | None) -> Row:
    """Make a row of an image.

    Args:
        path: As in the manifest.
        name: What the grammar found in the name or key.
        session: The video, if it is known.
    """
    numbers = name.groupdict()
    pid, frame = numbers.get("pid"), numbers.get("frame")
    return Row(
        path=path,
        split=SPLIT,
        pid=None if pid is None else int(pid),
        camid=None,
        cam_raw=None,
        noisy_label=pid is not None,
        session=session,
        frame=None if frame is None else int(frame),
    )
