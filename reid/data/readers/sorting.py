"""Sorting the files of a data set into rows and ignored ones, the same way for every layout."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from reid.data.readers.reading import (
    BAD_NAME,
    NOT_AN_IMAGE,
    OTHER_FOLDER,
    SIDECAR,
    Ignored,
    Row,
    is_image,
    is_sidecar,
)
from reid.data.storage import Storage
from reid.errors import DataError

Judge = Callable[[str], Row | str]
"""From the path of an image below the home of a data set to its row, or why it is ignored."""

DEEPEST_HOME = 2
_OUTLINE_FOLDERS, _OUTLINE_NAMES = 2000, 50


def find_home(storage: Storage, paths: Iterable[str], markers: Sequence[str]) -> str:
    """Find the folder that holds all the markers: the root, or one up to two levels below it.

    Args:
        storage: The data set, for messages.
        paths: Its files.
        markers: Paths of folders (with a slash at the end) or files that the layout has.

    Returns:
        Prefix of all paths below that folder: empty, or ending in a slash.

    Raises:
        DataError: There is no such folder, or there are several.
    """
    marks = _find_marks(paths, markers)
    homes = [home for home, found in marks.items() if len(found) == len(markers)]
    if len(homes) == 1:
        return homes[0]
    if homes:
        found = ", ".join(home or "." for home in sorted(homes))
        raise DataError(
            f"{storage.root}: {len(homes)} data sets ({found})", "one", "Point to one of them."
        )
    best = max(marks.values(), key=len, default=set())
    lacking = ", ".join(marker.rstrip("/") for marker in markers if marker not in best)
    raise DataError(
        f"{storage.root}: no {lacking}, here or up to {DEEPEST_HOME} levels down",
        ", ".join(marker.rstrip("/") for marker in markers),
        "Point to the whole folder or archive of the data set.",
    )


def homes_of(paths: Iterable[str], markers: Sequence[str]) -> list[str]:
    """Find every folder, down to `DEEPEST_HOME`, that holds all the markers."""
    marks = _find_marks(paths, markers)
    return sorted(home for home, found in marks.items() if len(found) == len(set(markers)))


def _find_marks(paths: Iterable[str], markers: Sequence[str]) -> dict[str, set[str]]:
    """Find which markers each folder down to `DEEPEST_HOME` holds."""
    seen: dict[str, set[str]] = {}
    for path in paths:
        if is_sidecar(path):
            continue
        parts = path.split("/")
        for depth in range(min(DEEPEST_HOME, len(parts) - 1) + 1):
            below = "/".join(parts[depth:])
            for marker in markers:
                if below == marker or (marker.endswith("/") and below.startswith(marker)):
                    home = "".join(f"{part}/" for part in parts[:depth])
                    seen.setdefault(home, set()).add(marker)
    return seen


def outline(paths: Sequence[str]) -> list[str]:
    """Pick enough files to recognise a layout by: a few of each of the first folders."""
    kept: dict[str, list[str]] = {}
    for path in paths:
        folder = path.rpartition("/")[0]
        if is_sidecar(path):
            continue
        if folder not in kept and len(kept) == _OUTLINE_FOLDERS:
            continue
        names = kept.setdefault(folder, [])
        if len(names) < _OUTLINE_NAMES:
            names.append(path)
    return [path for names in kept.values() for path in names]


def sort_files(
    paths: Iterable[str], home: str, judge: Judge, known: Callable[[str], str | None]
) -> tuple[list[Row], list[Ignored]]:
    """Make a row of every image of the protocol, and note why other files are none.

    Args:
        paths: Files of the data set.
        home: Prefix of those that belong to it; see `find_home`.
        judge: Decides about an image by its path below `home`; the path of the row is set here.
        known: Why a file that the layout names is no image (`LIST_FILE` …), by its whole path;
            None for other files.
    """
    rows: list[Row] = []
    ignored: list[Ignored] = []
    for path in paths:
        verdict: Row | str | None = SIDECAR if is_sidecar(path) else known(path)
        if verdict is None and not is_image(path):
            verdict = NOT_AN_IMAGE
        if verdict is None:
            verdict = judge(path.removeprefix(home)) if path.startswith(home) else OTHER_FOLDER
        if isinstance(verdict, str):
            ignored.append(Ignored(path, verdict))
        else:
            rows.append(verdict if verdict.path == path else replace(verdict, path=path))
    return rows, ignored


def nothing_known(_path: str) -> str | None:
    """For `sort_files`: the layout names no other file."""
    return None


def require_splits(rows: Iterable[Row], storage: Storage, splits: Sequence[str], like: str) -> None:
    """Refuse a data set that lacks images of a split.

    Args:
        rows: What was found.
        splits: What the layout must have.
        like: An example of an image's path in the layout.
    """
    found = {row.split for row in rows}
    missing = [split for split in splits if split not in found]
    if missing:
        raise DataError(
            f"{storage.root}: no image of the split {', '.join(missing)}",
            f"names such as {like}",
            "Unpack the data set again, or point to its folder.",
        )


def judge_by_folder(
    path: str,
    splits: Mapping[str, str],
    grammar: re.Pattern[str],
    make: Callable[[str, re.Match[str]], Row],
) -> Row | str:
    """Judge an image by its folder, which gives the split, and by its name.

    Args:
        path: Its path below the home of the data set.
        splits: Split of each folder of the protocol.
        grammar: What names look like.
        make: Makes the row from the split and the parts of the name.
    """
    folder, _, name = path.rpartition("/")
    if folder not in splits:
        return OTHER_FOLDER
    match = grammar.fullmatch(name)
    return BAD_NAME if match is None else make(splits[folder], match)


def any_named(paths: Iterable[str], folder: str, grammar: re.Pattern[str]) -> bool:
    """Tell whether a file somewhere below a folder of that name has a name of the grammar."""
    inside = (path for path in paths if f"/{folder}/" in f"/{path}")
    return any(grammar.fullmatch(path.rpartition("/")[2]) for path in inside)
