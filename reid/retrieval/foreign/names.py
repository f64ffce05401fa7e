"""The names under which the toolkits of the field store features and labels.

One table, read by the reader, by the help of the command line and by its tests. Only the standard
library is imported here, as the help must answer at once.
"""

import difflib
from collections.abc import Iterator

COLUMNS: dict[str, tuple[str, ...]] = {
    "features": ("features", "feature", "feats", "feat", "f", "embeddings", "embedding"),
    "person_ids": ("person_ids", "person_id", "pids", "pid", "ids", "id", "labels", "label"),
    "camera_ids": (
        *("camera_ids", "camera_id", "cam_ids", "cam_id", "camids", "camid"),
        *("cameras", "camera", "cams", "cam"),
    ),
    "roles": ("roles", "role", "split"),
    "is_query": ("is_query",),
    "paths": ("paths", "path", "img_paths", "img_path", "image_paths", "files", "names"),
    "modalities": ("modalities", "modality", "modals", "modal"),
    "occlusions": ("occlusions", "occlusion"),
    "draws": ("draws",),
}
"""Spellings of each column, the one of this project first."""

SIDES: dict[str, tuple[str, ...]] = {
    "query": ("query_", "probe_", "q_", "q"),
    "gallery": ("gallery_", "g_", "g"),
}
"""What stands before a spelling where queries and gallery are stored apart: `q_pids`, `gf`."""

ROLES: dict[str, tuple[str, ...]] = {
    "query": ("query", "q", "probe"),
    "gallery": ("gallery", "g"),
    "pool": ("pool",),
}

MODALITIES: dict[str, tuple[str, ...]] = {
    "rgb": ("rgb", "visible", "vis", "colour", "color"),
    "ir": ("ir", "infrared", "nir", "thermal"),
}

SUFFIXES = (".npz", ".npy", ".parquet", ".pt", ".pth")
"""Files of features that can be read."""

Place = tuple[str, str]

_WORDS = [word for spellings in COLUMNS.values() for word in spellings]
_OF_BOTH = ("roles", "is_query")
_TYPO = 0.85


def place_of(name: str) -> Place | None:
    """Return (side, column) of an array by its name; the side is empty for both together.

    Returns:
        None where no toolkit stores anything of use under this name.
    """
    for side, word in _readings(name):
        for column, spellings in COLUMNS.items():
            if word in spellings and not (side and column in _OF_BOTH):
                return side, column
    return None


def meant(name: str) -> str | None:
    """Return the known name of which an unknown one is a slip of the keyboard, else None."""
    plain = _plain(name)
    for _, word in _readings(name):
        close = difflib.get_close_matches(word, _WORDS, n=1, cutoff=_TYPO)
        if close:
            return plain.removesuffix(word) + close[0]
    return None


def names_table() -> str:
    """Return the table of names as text, for the help."""
    lines = [f"  {column:12} {', '.join(names)}" for column, names in COLUMNS.items()]
    sides = "\n".join(f"  {side:12} {', '.join(starts)}" for side, starts in SIDES.items())
    contents = (("in roles", ROLES), ("in modality", MODALITIES))
    for title, table in contents:
        words = "; ".join(f"{word}: {', '.join(names)}" for word, names in table.items())
        lines.append(f"  {title:12} {words}")
    return "\n".join(
        (*lines, "before any name, where queries and gallery are stored apart:", sides)
    )


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _readings(name: str) -> Iterator[tuple[str, str]]:
    """Yield the name as it is, and with each start of a side taken off."""
    plain = _plain(name)
    yield "", plain
    for side, starts in SIDES.items():
        for start in starts:
            if plain.startswith(start):
                yield side, plain.removeprefix(start)
