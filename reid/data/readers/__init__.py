"""One file per dataset layout: from the files of a data set to manifest rows."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from reid.data.readers.clonedperson import is_clonedperson, read_clonedperson
from reid.data.readers.cuhk03_classic import is_cuhk03_classic, read_cuhk03_classic
from reid.data.readers.cuhk03_np import is_cuhk03_np, read_cuhk03_np
from reid.data.readers.dukemtmc import (
    is_dukemtmcreid,
    is_occluded_duke,
    read_dukemtmcreid,
    read_occluded_duke,
)
from reid.data.readers.folder import read_folder
from reid.data.readers.llcm import is_llcm, read_llcm
from reid.data.readers.luperson import (
    is_luperson,
    is_luperson_nl,
    read_luperson,
    read_luperson_nl,
)
from reid.data.readers.market1501 import is_market1501, read_market1501
from reid.data.readers.msmt17 import is_msmt17, read_msmt17
from reid.data.readers.occluded import (
    is_occluded_reid,
    is_partial_reid,
    read_occluded_reid,
    read_partial_reid,
)
from reid.data.readers.randperson import is_randperson, read_randperson
from reid.data.readers.reading import Ignored, Reading, Row
from reid.data.readers.regdb import is_regdb, read_regdb
from reid.data.readers.sorting import outline
from reid.data.readers.synthetic import LAYOUT as SYNTHETIC
from reid.data.readers.synthetic import is_synthetic, read_synthetic
from reid.data.readers.sysu_mm01 import is_sysu_mm01, read_sysu_mm01
from reid.data.readers.table import read_table
from reid.data.readers.vehicleid import is_vehicleid, read_vehicleid
from reid.data.readers.veri776 import is_veri776, read_veri776
from reid.data.storage import Storage
from reid.errors import DataError, ParamsError
from reid.params import nearest


class Reader(NamedTuple):
    """How one layout is recognised and read.

    Attributes:
        read: Function of the storage and of keyword options.
        matches: Tells from an outline of the files, as `outline` gives it, whether it is this
            layout; None for a layout that must be asked for by name.
        suite: Validation suite of such data.
        protocols: Evaluation protocols of such data.
    """

    read: Callable[..., Reading]
    matches: Callable[[Sequence[str]], bool] | None
    suite: str = "person"
    protocols: tuple[str, ...] = ("market",)


SYSU_PROTOCOLS = ("sysu_all_single", "sysu_all_multi", "sysu_indoor_single", "sysu_indoor_multi")
REGDB_PROTOCOLS = ("regdb_visible_to_thermal", "regdb_thermal_to_visible")
LLCM_PROTOCOLS = (
    "llcm_nir_to_visible",
    "llcm_visible_to_nir",
    "llcm_full_gallery_nir_to_visible",
    "llcm_full_gallery_visible_to_nir",
)

READERS: dict[str, Reader] = {
    SYNTHETIC: Reader(read_synthetic, is_synthetic),
    "market1501": Reader(read_market1501, is_market1501),
    "dukemtmcreid": Reader(read_dukemtmcreid, is_dukemtmcreid),
    "occluded_duke": Reader(read_occluded_duke, is_occluded_duke),
    "occluded_reid": Reader(read_occluded_reid, is_occluded_reid),
    "partial_reid": Reader(read_partial_reid, is_partial_reid),
    "msmt17": Reader(read_msmt17, is_msmt17),
    "cuhk03_np": Reader(read_cuhk03_np, is_cuhk03_np),
    "cuhk03_classic": Reader(
        read_cuhk03_classic, is_cuhk03_classic, protocols=("cuhk03", "cuhk03_drawn")
    ),
    "randperson": Reader(read_randperson, is_randperson, protocols=()),
    "clonedperson": Reader(read_clonedperson, is_clonedperson),
    "luperson": Reader(read_luperson, is_luperson, "pretrain", ()),
    "luperson_nl": Reader(read_luperson_nl, is_luperson_nl, "pretrain", ()),
    "sysu_mm01": Reader(read_sysu_mm01, is_sysu_mm01, "cross_modal", SYSU_PROTOCOLS),
    "regdb": Reader(read_regdb, is_regdb, "cross_modal", REGDB_PROTOCOLS),
    "llcm": Reader(read_llcm, is_llcm, "cross_modal", LLCM_PROTOCOLS),
    "veri776": Reader(read_veri776, is_veri776, "vehicle"),
    "vehicleid": Reader(read_vehicleid, is_vehicleid, "vehicle", ("vehicleid",)),
    "folder": Reader(read_folder, None),
    "table": Reader(read_table, None),
}
"""Name of a layout to its reader."""


def recognise(storage: Storage) -> str:
    """Find the layout of a data set.

    Raises:
        DataError: No layout fits, or several do.
    """
    paths = outline(storage.files())
    found = [name for name, reader in READERS.items() if reader.matches and reader.matches(paths)]
    if SYNTHETIC in found:  # a generated world has the layout of a public set too
        return SYNTHETIC
    if len(found) == 1:
        return found[0]
    seen = ", ".join(paths[:3]) or "no file"
    what = f"the layouts {' and '.join(found)} fit" if found else f"no known layout ({seen} …)"
    raise DataError(
        f"{storage.root}: {what}",
        f"one of {', '.join(READERS)}",
        "Name the layout with --layout; `folder` and `table` read data of your own.",
    )


def read_layout(layout: str, storage: Storage, options: Mapping[str, Any] | None = None) -> Reading:
    """Read a data set with the reader of a layout.

    Args:
        layout: A key of `READERS`.
        storage: The files of the data set.
        options: Options of the reader, by name.

    Raises:
        ParamsError: There is no such layout, or it has no such option.
        DataError: The files are not what the layout needs.
    """
    if layout not in READERS:
        raise ParamsError(
            f"layout '{layout}'{nearest(layout, READERS)}",
            f"one of {', '.join(sorted(READERS))}",
            "Correct the layout.",
        )
    options = dict(options or {})
    known = options_of(layout)
    for name in options:
        if name not in known:
            raise ParamsError(
                f"layout '{layout}' has no option '{name}'{nearest(name, known)}",
                f"one of {', '.join(known)}" if known else "no option",
                "Correct or remove the option.",
            )
    return READERS[layout].read(storage, **options)


def options_of(layout: str) -> list[str]:
    """Names of the options that the reader of a layout takes."""
    return sorted(set(inspect.signature(READERS[layout].read).parameters) - {"storage"})


__all__ = [
    "READERS",
    "Ignored",
    "Reader",
    "Reading",
    "Row",
    "options_of",
    "read_layout",
    "recognise",
]
