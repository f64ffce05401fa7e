"""One file per dataset layout: from a folder on disk to manifest rows."""

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reid.data.readers.market1501 import read_market1501
from reid.data.readers.reading import Ignored, Reading, Row
from reid.data.readers.synthetic import read_synthetic
from reid.errors import ParamsError
from reid.params import nearest

READERS: dict[str, Callable[..., Reading]] = {
    "market1501": read_market1501,
    "synthetic": read_synthetic,
}
"""Name of a layout to its reader: a function of the root folder and of keyword options."""


def read_layout(layout: str, root: Path, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a folder with the reader of a layout.

    Args:
        layout: A key of `READERS`.
        root: Folder of the data set.
        options: Options of the reader, by name.

    Raises:
        ParamsError: There is no such layout, or it has no such option.
        DataError: The folder does not hold what the layout needs.
    """
    if layout not in READERS:
        raise ParamsError(
            f"layout '{layout}'{nearest(layout, READERS)}",
            f"one of {', '.join(sorted(READERS))}",
            "Correct the layout.",
        )
    options = dict(options or {})
    known = sorted(set(inspect.signature(READERS[layout]).parameters) - {"root"})
    for name in options:
        if name not in known:
            raise ParamsError(
                f"layout '{layout}' has no option '{name}'{nearest(name, known)}",
                f"one of {', '.join(known)}" if known else "no option",
                "Correct or remove the option.",
            )
    return READERS[layout](root, **options)


__all__ = ["READERS", "Ignored", "Reading", "Row", "read_layout"]
