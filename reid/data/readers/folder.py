"""People's own images in folders: one folder per person, or names of a given pattern."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from reid.data.readers.numbering import (
    JUNK,
    MOST_CAMERAS,
    MOST_VIEWS,
    PERSON,
    are_numbers,
    attributes,
    number_people,
    rank_names,
)
from reid.data.readers.reading import BAD_NAME, Reading, Row, is_image, is_sidecar
from reid.data.readers.sorting import (
    nothing_known,
    require_splits,
    sort_files,
)
from reid.data.readers.splitting import TEST, UNKNOWN, check_draw, complete_splits
from reid.data.readers.template import SPLITS, compile_pattern
from reid.data.storage import Storage
from reid.errors import DataError

LAYOUT = "folder"
PARSER_VERSION = 1
LIKE = "<person>/<image> or <person>/<camera>/<image>"

_BY_DEPTH = {1: "{pid}/{any}", 2: "{pid}/{camera}/{any}"}
_TESTS = ("query", "gallery")


def read_folder(
    storage: Storage, *, pattern: str | None = None, test_share: float = 0.5, seed: int = 0
) -> Reading:
    """Read images of one's own.

    Without a pattern, images lie in `<person>/` or `<person>/<camera>/`, whichever holds more of
    them, for each split or for all: `train`, `val`, `query`, `gallery`, or `test` if the queries
    are to be drawn. Folders that hold everything are passed through. Names of persons and cameras
    may be any text; what the person `-1` shows is nobody.

    Args:
        storage: Folder or archive.
        pattern: Path of an image below the root, with fields; see `compile_pattern`.
        test_share: Share of the persons to test on; used if the images state no split.
        seed: Seed of the draw of persons and queries.

    Raises:
        DataError: No image fits, the draw is impossible, or a query or gallery has no counterpart.
        ParamsError: An option is wrong.
    """
    check_draw(test_share, seed)
    paths = storage.files()
    images = [path for path in paths if is_image(path) and not is_sidecar(path)]
    if not images:
        raise DataError(f"{storage.root}: no image", LIKE, "Point to the folder of the images.")
    if pattern is None:
        home, expression = _guess(images, storage)
    else:
        expression = compile_pattern(pattern)
        home = _home_of_pattern(images, expression, pattern, storage)
    names = _Names.of(images, home, expression)
    rows, ignored = sort_files(paths, home, names.judge, nothing_known)
    if len({row.split for row in rows} & set(_TESTS)) == 1:
        require_splits(rows, storage, _TESTS, "gallery/<person>/<image>")
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=None,
        rows=tuple(complete_splits(rows, test_share, seed)),
        ignored=tuple(ignored),
        camera_count=len(names.cameras) or None,
    )


@dataclass(frozen=True)
class _Names:
    """What the names of the images say, and the numbers of who and what they name."""

    fields: Mapping[str, Mapping[str, str | None]]
    people: Mapping[str, int]
    named: bool
    cameras: Mapping[str, int]
    views: Mapping[str, int]

    @classmethod
    def of(cls, images: Sequence[str], home: str, expression: re.Pattern[str]) -> "_Names":
        fields = {}
        for path in images:
            match = expression.fullmatch(path.removeprefix(home))
            if match is not None and match["pid"]:
                fields[path.removeprefix(home)] = match.groupdict()

        def all_of(field: str) -> set[str]:
            return {text for found in fields.values() if (text := found.get(field))}

        people = all_of("pid") - {JUNK}
        return cls(
            fields,
            number_people(people),
            not are_numbers(people),
            rank_names(all_of("camera"), "camera", MOST_CAMERAS),
            rank_names(all_of("view"), "view", MOST_VIEWS),
        )

    def judge(self, path: str) -> Row | str:
        """Make a row of an image by its path below the home of the data set."""
        found = self.fields.get(path)
        if found is None:
            return BAD_NAME
        person, camera, view = found["pid"] or "", found.get("camera"), found.get("view")
        frame, split = found.get("frame"), (found.get("split") or UNKNOWN).lower()
        if (frame and not are_numbers([frame])) or split not in (UNKNOWN, *SPLITS):
            return BAD_NAME
        junk = person == JUNK
        if junk:
            split = "gallery" if split in ("gallery", TEST) else "ignored"
        return Row(
            path=path,
            split=split,
            pid=int(JUNK) if junk else self.people[person],
            camid=self.cameras[camera] if camera else None,
            cam_raw=camera or None,
            flag="junk" if junk else "ok",
            viewid=self.views[view] if view else -1,
            session=found.get("session") or None,
            frame=int(frame) if frame else None,
            attrs=attributes({PERSON: person} if self.named and not junk else {}),
        )


def _shared_folders(images: Sequence[str]) -> list[str]:
    """List the names of the folders, from the root on, that hold all the images."""
    first, last = images[0].split("/")[:-1], images[-1].split("/")[:-1]  # in byte order
    pairs = zip(first, last, strict=False)
    return [folder for folder, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]


def _guess(images: Sequence[str], storage: Storage) -> tuple[str, re.Pattern[str]]:
    """Find the folder of the data set and the pattern below it from where most images lie."""
    shared = takewhile(lambda name: name.lower() not in SPLITS, _shared_folders(images))
    home = "".join(f"{name}/" for name in shared)
    folders = [path.removeprefix(home).lower().split("/")[:-1] for path in images]
    in_splits = [below[1:] for below in folders if below and below[0] in SPLITS]
    split = 2 * len(in_splits) >= len(images)
    depths = Counter(len(below) for below in (in_splits if split else folders))
    depth = max(_BY_DEPTH, key=lambda depth: depths[depth])
    if not depths[depth]:
        raise DataError(
            f"{storage.root}: no folders of persons, the first image is {images[0]}",
            LIKE,
            "Sort the images into folders, or say with `pattern` how they are named.",
        )
    return home, compile_pattern(("{split}/" if split else "") + _BY_DEPTH[depth])


def _home_of_pattern(
    images: Sequence[str], expression: re.Pattern[str], pattern: str, storage: Storage
) -> str:
    """Find the folder below which images fit: the root, or one that holds all images."""
    home = ""
    for folder in (*_shared_folders(images), ""):
        if any(expression.fullmatch(path.removeprefix(home)) for path in images):
            return home
        home += f"{folder}/"
    raise DataError(
        f"{storage.root}: none of {len(images)} images fits {pattern!r}, the first is {images[0]}",
        "a pattern of their paths",
        "Correct `pattern`; {any} stands for any text without a slash.",
    )
