"""People's own images that a table describes, one line per image."""

import difflib
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reid.data.manifest import SPLITS
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
from reid.data.readers.reading import LIST_FILE, UNLISTED, Reading, Row
from reid.data.readers.sorting import (
    homes_of,
    require_splits,
    sort_files,
)
from reid.data.readers.splitting import TEST, UNKNOWN, check_draw, complete_splits
from reid.data.readers.tabular import Line, Record, read_records, text_of
from reid.data.storage import Storage
from reid.errors import DataError
from reid.params import nearest

LAYOUT = "table"
PARSER_VERSION = 1

REQUIRED = ("path", "pid")
COLUMNS = (
    *REQUIRED,
    "camera",
    "camid",
    "split",
    "view",
    "viewid",
    "modality",
    "timestamp",
    "frame",
    "session",
    "track",
    "occluded",
)
"""Columns that mean something; others become attributes."""

LOOKS = {
    "rgb": ("rgb", "visible"),
    "ir": ("ir", "nir"),
    "nir": ("ir", "nir"),
    "thermal": ("ir", "thermal"),
}
"""What the column `modality` may say, and the modality and band that it means."""

TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

PRETRAIN = "pretrain"
"""Split of images whose persons need no name."""

_TABLES = (".csv", ".tsv", ".parquet")
_TESTS = ("query", "gallery")
_MISSPELT = 0.75
_ELSEWHERE = re.compile(r"/|[A-Za-z]:|\.\.(/|$)")


def read_table(
    storage: Storage, *, table: str = "labels.csv", test_share: float = 0.5, seed: int = 0
) -> Reading:
    """Read images of one's own by a table with the columns `path` and `pid`.

    Further columns are those of `COLUMNS`. `camera` and `view` are any text, while `camid` and
    `viewid` are the numbers of the manifest. `split` is a split of the manifest, or `test` if the
    queries are to be drawn. The pid `-1` is nobody; it may be left out of images to pretrain on.

    Args:
        storage: Folder or archive that holds table and images.
        table: The CSV or Parquet file. Paths in it start from its folder, or from the root.
        test_share: Share of the persons to test on; used if there is no column `split`.
        seed: Seed of the draw of persons and queries.

    Raises:
        DataError: The table is not there or wrong, a listed image is missing, the draw is
            impossible, or a query or gallery has no counterpart.
        ParamsError: An option is wrong.
    """
    check_draw(test_share, seed)
    files = storage.files()
    place = _find(storage, files, table)
    records = read_records(storage, place, COLUMNS)
    sheet = _Sheet.of(records, f"{storage.root}: {place}")
    paths = sheet.locate(files, posixpath.dirname(place))
    rows = sorted(sheet.rows(paths), key=lambda row: row.path)
    if len({row.split for row in rows} & set(_TESTS)) == 1:
        require_splits(rows, storage, _TESTS, "'query' and 'gallery' in the column split")
    listed = set(paths)
    _, ignored = sort_files(
        (file for file in files if file not in listed),
        "",
        lambda _path: UNLISTED,
        lambda path: LIST_FILE if path == place else None,
    )
    return Reading(
        layout=LAYOUT,
        parser_version=PARSER_VERSION,
        benchmark=None,
        rows=tuple(complete_splits(rows, test_share, seed)),
        ignored=tuple(ignored),
        camera_count=None if "camid" in records[0] else len(sheet.cameras) or None,
    )


def _find(storage: Storage, files: Sequence[str], table: str) -> str:
    """Find the table: at its path, or below folders that an archive puts around everything."""
    if table in files:
        return table
    homes = homes_of(files, (table,))
    if len(homes) == 1:
        return homes[0] + table
    present = [file for file in files if file.lower().endswith(_TABLES)][:5]
    raise DataError(
        f"{storage.root}: {f'{len(homes)} files' if homes else 'no file'} {table}",
        f"one table (there is {', '.join(present)})" if present else "one table",
        "Name the table with the option `table`.",
    )


@dataclass(frozen=True)
class _Sheet:
    """The cells of a table as text, and the numbers of who and what they name."""

    where: str
    records: Sequence[Record]
    cells: Sequence[Mapping[str, str | None]]
    people: Mapping[str, int]
    named: bool
    cameras: Mapping[str, int]
    views: Mapping[str, int]

    @classmethod
    def of(cls, records: Sequence[Record], where: str) -> "_Sheet":
        present = list(records[0])
        _check_columns(present, where)
        known = [column for column in COLUMNS if column in present]
        cells = [{column: text_of(record[column]) for column in known} for record in records]

        def all_of(column: str) -> set[str]:
            return {text for line in cells if (text := line.get(column))}

        people = all_of("pid") - {JUNK}
        return cls(
            where,
            records,
            cells,
            number_people(people),
            not are_numbers(people),
            rank_names(all_of("camera"), "camera", MOST_CAMERAS),
            rank_names(all_of("view"), "view", MOST_VIEWS),
        )

    def locate(self, files: Sequence[str], folder: str) -> list[str]:
        """Find the file of each line.

        Raises:
            DataError: A path leads elsewhere, is listed twice, or no file is there.
        """
        names = [self._plain(line["path"], number) for number, line in enumerate(self.cells, 1)]
        # names in an archive made on macOS are composed in another way than those of a table
        known = {unicodedata.normalize("NFC", file): file for file in files}
        known |= {file: file for file in files}
        found: list[str | None] = []
        for base in (folder, ""):
            tried = [posixpath.join(base, name) for name in names]
            found = [known.get(path, known.get(_composed(path))) for path in tried]
            if any(found):
                break
        missing = [name for name, file in zip(names, found, strict=True) if file is None]
        if missing:
            raise self._wrong(
                f"{len(missing)} of {len(names)} images are not there, the first {missing[0]}",
                "paths from the folder of the table or from the root",
            )
        paths = [file for file in found if file is not None]
        path, times = Counter(paths).most_common(1)[0]
        if times > 1:
            raise self._wrong(f"{path} is listed {times} times", "one line per image")
        return paths

    def rows(self, paths: Sequence[str]) -> list[Row]:
        """Make the row of each line.

        Raises:
            DataError: A cell is not what its column holds, or is empty and must not be.
        """
        lines = [Line(self.where, path, line) for path, line in zip(paths, self.cells, strict=True)]
        splits = [line.word("split", (*SPLITS, TEST)) or UNKNOWN for line in lines]
        both = list(zip(lines, splits, strict=True))
        open_ones = [line.path for line, split in both if split == UNKNOWN]
        if 0 < len(open_ones) < len(lines):
            found = f"{len(open_ones)} lines without split, the first {open_ones[0]}"
            raise self._wrong(found, "a split in each line or in none")
        nameless = [line.path for line, split in both if not line.text("pid") and split != PRETRAIN]
        if nameless:
            found = f"{len(nameless)} lines without pid, the first {nameless[0]}"
            raise self._wrong(found, f"a person in each, or {JUNK} for nobody")
        return [
            self._row(line, split, record)
            for (line, split), record in zip(both, self.records, strict=True)
        ]

    def _row(self, line: Line, split: str, record: Record) -> Row:
        person, camera, view = line.text("pid") or JUNK, line.text("camera"), line.text("view")
        junk = person == JUNK and split != PRETRAIN
        if junk:
            split = "gallery" if split in ("gallery", TEST) else "ignored"
        extra = {name: cell for name, cell in record.items() if name not in COLUMNS}
        extra = {name: cell for name, cell in extra.items() if text_of(cell) is not None}
        if self.named and person != JUNK:
            extra[PERSON] = person
        camid = line.whole("camid", MOST_CAMERAS)
        viewid = None if line.text("viewid") == "-1" else line.whole("viewid", MOST_VIEWS)
        modality, band = LOOKS[line.word("modality", LOOKS) or "rgb"]
        occluded = line.word("occluded", TRUTH)
        return Row(
            path=line.path,
            split=split,
            pid=int(JUNK) if junk else self.people.get(person),
            camid=self.cameras.get(camera or "") if camid is None else camid,
            cam_raw=camera or line.text("camid"),
            flag="junk" if junk else "ok",
            viewid=self.views.get(view or "", -1) if viewid is None else viewid,
            modality=modality,
            band=band,
            session=line.text("session"),
            frame=line.whole("frame", 1 << 63),
            timestamp=line.number("timestamp"),
            track_id=line.text("track"),
            occluded=None if occluded is None else TRUTH[occluded],
            attrs=attributes(extra),
        )

    def _plain(self, path: str | None, number: int) -> str:
        """Bring a path into the form of the storage."""
        if path is None:
            raise self._wrong(f"line {number} of the images has no path", "the path of an image")
        plain = posixpath.normpath(path.replace("\\", "/"))
        if _ELSEWHERE.match(plain):
            raise self._wrong(
                f"the path {path!r} leads elsewhere", "paths from the folder of the table"
            )
        return plain

    def _wrong(self, found: str, expected: str) -> DataError:
        return DataError(f"{self.where}: {found}", expected, "Correct the table.")


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)


def _check_columns(present: Sequence[str], where: str) -> None:
    """Refuse a table that lacks a column, or misspells one.

    Raises:
        DataError: A required column is missing, or a column is almost a known one.
    """
    for column in present:
        if column in COLUMNS:
            continue
        close = difflib.get_close_matches(column.lower(), COLUMNS, n=1, cutoff=_MISSPELT)
        if close or column.lower() == PERSON:
            meant = nearest(column.lower(), COLUMNS) if close else " (did you mean 'pid'?)"
            raise DataError(
                f"{where}: unknown column '{column}'{meant}",
                f"one of {', '.join(COLUMNS)}, or a name that is unlike them",
                "Rename the column.",
            )
    missing = [column for column in REQUIRED if column not in present]
    if missing:
        raise DataError(
            f"{where}: no column {' and '.join(missing)} among {', '.join(present)}",
            f"the columns {' and '.join(REQUIRED)}",
            "Add or rename a column.",
        )
