"""Tables of a data set, CSV or Parquet, as records."""

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from reid.data.readers.numbering import are_numbers
from reid.data.storage import Storage
from reid.errors import DataError

Record = dict[str, object]
"""The cells of a line by the names of their columns."""

_PARQUET = b"PAR1"
_DELIMITERS = ",;\t"
_NAMELESS = ("", "__index_level_0__")  # where pandas leaves its index


def read_records(storage: Storage, path: str, known: Collection[str]) -> list[Record]:
    """Read a table; what it is follows from its content, not from its suffix.

    The cells of a CSV file are texts, its delimiter a comma, a semicolon or a tab. Columns without
    a name are left out.

    Args:
        storage: The data set.
        path: The table in it.
        known: Names of columns that may be written in capitals too.

    Raises:
        DataError: The table cannot be read, has no line, or two columns of one name.
    """
    data = storage.read(path)
    if data.startswith(_PARQUET):
        columns, lines = _read_parquet(data, storage, path)
    else:
        columns, lines = _read_csv(storage.read_text(path), storage, path)
    names = [name.lower() if name.lower() in known else name for name in map(str.strip, columns)]
    named = [(place, name) for place, name in enumerate(names) if name not in _NAMELESS]
    twice = {name for _, name in named if names.count(name) > 1}
    if twice:
        raise DataError(
            f"{storage.root}: {path} has several columns '{min(twice)}'", "one", "Remove the rest."
        )
    records = [{name: line[place] for place, name in named} for line in lines]
    if not records:
        raise DataError(
            f"{storage.root}: {path} has no line", "a line per image", "Restore the table."
        )
    return records


def text_of(cell: object) -> str | None:
    """Write a cell as text; None if it is empty. A number that is whole is written as such."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip() or None


@dataclass(frozen=True)
class Line:
    """The cells of one image, as text.

    Args:
        where: The table, for messages.
        path: The image, for messages.
        cells: Cells by column; None where empty. A column that is absent is empty.
    """

    where: str
    path: str
    cells: Mapping[str, str | None]

    def text(self, column: str) -> str | None:
        """Any text."""
        return self.cells.get(column)

    def word(self, column: str, words: Collection[str]) -> str | None:
        """One of some words, in capitals or not.

        Raises:
            DataError: It is none of them.
        """
        cell = self.text(column)
        if cell is not None and cell.lower() not in words:
            raise self._wrong(column, f"one of {', '.join(words)}")
        return cell and cell.lower()

    def whole(self, column: str, end: int) -> int | None:
        """A whole number from 0 to below `end`.

        Raises:
            DataError: It is no such number.
        """
        cell = self.text(column)
        if cell is None:
            return None
        if not are_numbers([cell]) or int(cell) >= end:
            raise self._wrong(column, f"a whole number from 0 to {end - 1}")
        return int(cell)

    def number(self, column: str) -> float | None:
        """A finite number.

        Raises:
            DataError: It is none.
        """
        cell = self.text(column)
        try:
            number = None if cell is None else float(cell)
        except ValueError:
            number = math.nan
        if number is not None and not math.isfinite(number):
            raise self._wrong(column, "a number")
        return number

    def _wrong(self, column: str, expected: str) -> DataError:
        found = f"{self.where}: {self.path} has the {column} '{self.text(column)}'"
        return DataError(found, expected, "Correct the table.")


def _read_parquet(
    data: bytes, storage: Storage, path: str
) -> tuple[list[str], Iterable[Sequence[object]]]:
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(storage, path, " ".join(str(error).split())) from None
    columns = [column.to_pylist() for column in table.columns]
    return list(table.column_names), zip(*columns, strict=True)


def _read_csv(
    text: str, storage: Storage, path: str
) -> tuple[list[str], Iterable[Sequence[object]]]:
    header = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[list[str]] = []
    try:
        for line in reader:
            if line and lines and len(line) != len(lines[0]):
                found = f"line {reader.line_num} has {len(line)} cells, the first {len(lines[0])}"
                raise _damaged(storage, path, found)
            if line:
                lines.append(line)
    except csv.Error as error:
        raise _damaged(storage, path, f"line {reader.line_num}: {error}") from None
    return (lines[0], lines[1:]) if lines else ([], [])


def _damaged(storage: Storage, path: str, reason: str) -> DataError:
    return DataError(
        f"{storage.root}: {path} cannot be read ({reason})",
        "a CSV or Parquet table",
        "Correct the table.",
    )
