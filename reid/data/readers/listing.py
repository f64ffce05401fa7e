"""Lists of a data set: text files that name images with a number each, and MATLAB tables."""

import re
import zlib
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

from reid.data.readers.reading import Row
from reid.data.storage import Storage
from reid.errors import DataError

CONTAINER = "container, not an image file"
_LINE = re.compile(r"(?P<name>\S.*?)\s+(?P<number>[0-9]+)")
# What scipy raises on damaged files, besides its own error.
_DAMAGE = (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError, zlib.error)
_REPAIR = "Restore the lists of the data set."


def read_numbered(storage: Storage, path: str) -> dict[str, int]:
    """Read a list of lines `<name> <number>`; the last newline may be missing.

    Raises:
        DataError: The list is missing, a line is of another form, or a name has two numbers.
    """
    numbers: dict[str, int] = {}
    for position, line in enumerate(storage.read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{storage.root}: line {position} of {path}"
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise DataError(f"{where} is '{line.strip()}'", "a name and a number", _REPAIR)
        number = int(match["number"])
        if numbers.setdefault(match["name"], number) != number:
            raise DataError(f"{where}: {match['name']} has two numbers", "one", _REPAIR)
    return numbers


def read_ids(storage: Storage, path: str) -> set[int]:
    """Read a line of numbers between commas.

    Raises:
        DataError: The file is missing, or holds something else.
    """
    ids = set()
    for word in storage.read_text(path).strip().split(","):
        if not re.fullmatch(r"\s*[0-9]+\s*", word):
            found = f"{storage.root}: {path} holds '{word}'"
            raise DataError(found, "numbers between commas", _REPAIR)
        ids.add(int(word))
    return ids


def roles_of(storage: Storage, lists: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Find the one list that holds each name.

    Args:
        storage: The data set, for messages.
        lists: The names in each list.

    Raises:
        DataError: A name is in two lists.
    """
    found: dict[str, str] = {}
    for title, names in lists.items():
        for name in names:
            if found.setdefault(name, title) != title:
                raise DataError(
                    f"{storage.root}: {name} is in {found[name]} and in {title}",
                    "each in one of them",
                    _REPAIR,
                )
    return found


def require_listed(storage: Storage, listed: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Refuse a data set in which a list names what is no image of it.

    Args:
        storage: The data set.
        listed: The list that names an image, by the image's path.
        rows: The images that were found.
    """
    lost = sorted(listed.keys() - {row.path for row in rows})
    if lost:
        state = "no image of the layout" if storage.has(lost[0]) else "no file"
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DataError(
            f"{storage.root}: {state} {lost[0]}{more}",
            f"every image in {listed[lost[0]]}",
            "Unpack the data set again.",
        )


def read_mat(storage: Storage, path: str, tables: Iterable[str], squeeze: bool) -> dict[str, Any]:
    """Read tables of a MATLAB file of version 5.

    Args:
        storage: The data set.
        path: The file.
        tables: What it must hold.
        squeeze: Drop dimensions of length 1, also inside cells.

    Raises:
        DataError: The file is missing or damaged, or lacks a table.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    data = storage.read(path)
    try:
        content: dict[str, Any] = loadmat(BytesIO(data), squeeze_me=squeeze)
    except (MatReadError, *_DAMAGE) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise _bad_table(storage, path, f"cannot be read ({reason})") from None
    missing = [table for table in tables if table not in content]
    if missing:
        raise _bad_table(storage, path, f"lacks {', '.join(missing)}")
    return content


def _bad_table(storage: Storage, path: str, state: str) -> DataError:
    return DataError(
        f"{storage.root}: {path} {state}", "a MATLAB 5 file of the release", "Copy it again."
    )
