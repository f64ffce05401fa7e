"""Splits for data that come without: who is trained on, and which images are looked for.

Every draw is a function of the seed and of a name alone. So neither the order of the files nor
another option alters it, and a person who joins the data leaves the draws of the others alone.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from reid.data.readers.numbering import PERSON
from reid.data.readers.reading import Row
from reid.errors import DataError, ParamsError

UNKNOWN = ""
"""Split of rows of which the data do not say what they are for."""

TEST = "test"
"""Split of rows that are to be tested on, whose role as query or gallery is to be drawn."""

Person = tuple[str, int]
"""Space and number of a person."""

Album = list[Row]
"""The images of one person, in byte order of their paths."""


def check_draw(test_share: float, seed: int) -> None:
    """Refuse options of the draw that are out of range.

    Raises:
        ParamsError: The share is not between 0 and 1, or the seed is negative.
    """
    number = isinstance(test_share, int | float) and not isinstance(test_share, bool)
    if not number or not 0 <= test_share <= 1:
        raise ParamsError(f"test_share {test_share!r}", "0 to 1", "Correct the option.")
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ParamsError(f"seed {seed!r}", "a whole number from 0", "Correct the option.")


def complete_splits(rows: Iterable[Row], test_share: float, seed: int) -> list[Row]:
    """Draw what the data leave open: the splits of all persons, or the roles in a given test set.

    Args:
        rows: All of split `UNKNOWN`, or none; junk has a split already.
        test_share: See `split_identities`.
        seed: Seed of the draws.

    Returns:
        The rows in the same order, none of split `UNKNOWN` or `TEST`.
    """
    rows = list(rows)
    if any(row.split == UNKNOWN for row in rows):
        return split_identities(rows, test_share, seed)
    return draw_queries(rows, seed)


def split_identities(rows: Iterable[Row], test_share: float, seed: int) -> list[Row]:
    """Draw persons to train on and others to test on, and the queries of the latter.

    Only some persons can be looked for: those seen by two cameras or, if nobody is, those with two
    images. The share is taken of these and of the others separately. The others of the test set
    are in the gallery as negatives.

    Args:
        rows: Rows of split `UNKNOWN`; others stay as they are.
        test_share: Share of the persons to test on. Between 0 and 1, at least one who can be looked
            for is tested on and one is trained on.
        seed: Seed of the draws.

    Returns:
        The rows in the same order, with splits `train`, `query` and `gallery`.

    Raises:
        DataError: There are fewer than two persons who can be looked for.
    """
    rows = list(rows)
    albums = _albums(row for row in rows if row.split == UNKNOWN)
    across = _seen_across(albums.values())
    ready = [person for person, album in albums.items() if _can_be_sought(album, across)]
    others = [person for person in albums if not _can_be_sought(albums[person], across)]
    count = round(test_share * len(ready))
    if 0 < test_share < 1:
        if len(ready) < 2:
            raise DataError(
                f"of {len(albums)} persons {len(ready)} "
                f"{'seen by two cameras' if across else 'with two images'}",
                "at least 2, one to train on and one to test on",
                "State the splits, or set test_share to 0 or 1.",
            )
        count = min(max(count, 1), len(ready) - 1)
    tested = {
        *_shuffled(ready, albums, seed)[:count],
        *_shuffled(others, albums, seed)[: round(test_share * len(others))],
    }
    split = {
        row.path: TEST if person in tested else "train"
        for person, album in albums.items()
        for row in album
    }
    return draw_queries([replace(row, split=split.get(row.path, row.split)) for row in rows], seed)


def draw_queries(rows: Iterable[Row], seed: int) -> list[Row]:
    """Draw a query of each person and camera, as in Market-1501; the other images are gallery.

    Every query has its person in the gallery, seen by another camera: where too few images are
    left for that, one camera of the person has no query. If nobody is seen by two cameras, one
    image of each person is a query. Persons who cannot be looked for are in the gallery only.

    Args:
        rows: Rows; those of split `TEST` get another one.
        seed: Seed of the draws.

    Returns:
        The rows in the same order.
    """
    rows = list(rows)
    albums = _albums(row for row in rows if row.split == TEST)
    across = _seen_across(albums.values())
    queries: set[str] = set()
    for album in albums.values():
        if _can_be_sought(album, across):
            queries |= _queries_of(album, seed, across)
    role = {True: "query", False: "gallery"}
    return [
        replace(row, split=role[row.path in queries]) if row.split == TEST else row for row in rows
    ]


def _albums(rows: Iterable[Row]) -> dict[Person, Album]:
    albums: dict[Person, Album] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.path):
        if row.flag == "ok" and row.pid is not None:
            albums[row.pid_space, row.pid].append(row)
    return albums


def _cameras(album: Album) -> set[int | None]:
    return {row.camid for row in album}


def _seen_across(albums: Iterable[Album]) -> bool:
    return any(len(_cameras(album)) > 1 for album in albums)


def _can_be_sought(album: Album, across: bool) -> bool:
    return len(_cameras(album) if across else album) > 1


def _queries_of(album: Album, seed: int, across: bool) -> set[str]:
    """Choose the paths of the queries of a person."""
    name = _name(album[0])
    shots: dict[int | None, Album] = defaultdict(list)
    for row in album:
        shots[row.camid if across else None].append(row)
    chosen = {}
    for camera, rows in shots.items():
        draw = _draw(seed, "query", name, _camera_name(rows[0]) if across else "")
        chosen[camera] = rows[int(draw * len(rows))].path
    keepers = [camera for camera, rows in shots.items() if len(rows) > 1]
    if across and len(keepers) < 2:  # then a query of the one keeper would have no other camera
        draws = {
            camera: (_draw(seed, "keep", name, _camera_name(rows[0])), str(camera))
            for camera, rows in shots.items()
            if camera not in keepers
        }
        del chosen[min(draws, key=draws.__getitem__)]
    return set(chosen.values())


def _shuffled(people: Sequence[Person], albums: Mapping[Person, Album], seed: int) -> list[Person]:
    place = {person: _draw(seed, "person", _name(albums[person][0])) for person in people}
    return sorted(people, key=lambda person: (place[person], person))


def _name(row: Row) -> str:
    """The name of a person, which does not change when others join the data."""
    written = json.loads(row.attrs).get(PERSON) if row.attrs else None
    return f"{row.pid_space}/{row.pid}" if written is None else str(written)


def _camera_name(row: Row) -> str:
    return str(row.camid) if row.cam_raw is None else row.cam_raw


def _draw(*name: int | str) -> float:
    """Draw from [0, 1): the first 53 bits of the BLAKE2b of the name."""
    digest = hashlib.blake2b("\0".join(map(str, name)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)
