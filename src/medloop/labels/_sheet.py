"""Tables as text: CSV and TSV in the encodings and dialects that spreadsheets write, and XLSX."""

from __future__ import annotations

import csv
import datetime
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from medloop.errors import InputError

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WORKBOOKS = (".xlsx", ".xlsm")
_LOOK = 50
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a]")
_FIELD_LIMIT = 2**24


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A table as text. ``columns``: unique names. ``rows``: cells without surrounding blanks, as many as columns. ``numbers``: the
    row of each as a spreadsheet counts (the header is row 1). ``says``: how the file was read. ``odd``: rows with too many cells.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...]
    says: str
    odd: tuple[int, ...] = ()

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of one column."""
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)

    def headless(self) -> Sheet:
        """The same table when its first row is no header: columns are called ``column 1``, ``column 2``, ..."""
        names = tuple(f"column {place + 1}" for place in range(len(self.columns)))
        first = tuple("" if name.startswith("column ") else name for name in self.columns)
        return Sheet(self.path, names, (first, *self.rows), (1, *self.numbers), f"{self.says}, no header", self.odd)


def read(path: Path) -> Sheet:
    """Read a table. Raises `InputError` for a file that is missing, empty, or no table."""
    if not path.is_file():
        raise InputError(
            "no-labels",
            got=f"There is no label table at {path}.",
            allowed="A CSV, TSV or XLSX file.",
            fix="Check the spelling, or give the full path.",
        )
    try:
        records, says = _workbook(path) if path.suffix.lower() in _WORKBOOKS else _text(path)
    except (OSError, csv.Error, zipfile.BadZipFile, InvalidFileException, KeyError, ValueError) as error:
        raise _broken(path, f"cannot be read as a table: {error}") from error
    filled = [(number, cells) for number, cells in records if any(cells)]
    if len(filled) < 2:
        raise _broken(path, "holds no rows below a header" if filled else "is empty")
    return _sheet(path, filled, says)


def _broken(path: Path, what: str) -> InputError:
    return InputError(
        "bad-table",
        got=f"{path.name} {what}.",
        allowed="A CSV, TSV or XLSX table with a header row and one row for each image.",
        fix="Open it in a spreadsheet, check it, and save it again as CSV.",
    )


def _sheet(path: Path, filled: Sequence[tuple[int, Sequence[str]]], says: str) -> Sheet:
    header = list(filled[0][1])
    while header and not header[-1]:
        header.pop()
    width = len(header)
    odd = tuple(number for number, cells in filled[1:] if any(cells[width:]))
    rows = tuple((*cells[:width], *[""] * (width - len(cells))) for _, cells in filled[1:])
    return Sheet(path, tuple(_unique(header)), rows, tuple(number for number, _ in filled[1:]), says, odd)


def _unique(names: Sequence[str]) -> Iterator[str]:
    """Names made unique: blanks become ``column N``, a repeated name gets its count."""
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        plain = " ".join(name.split()) or f"column {place + 1}"
        seen[plain] += 1
        yield plain if seen[plain] == 1 else f"{plain} ({seen[plain]})"


def _text(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    text, encoding = decoded(path.read_bytes())
    if _CONTROL.search(text.replace("\0", "")):
        raise ValueError("it is not text")
    delimiter = "\t" if path.suffix.lower() == ".tsv" and "\t" in text else _delimiter(text)
    named = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}[delimiter]
    _closed(text, delimiter)
    return list(_records(text, delimiter)), f"{encoding}, {named}"


def _closed(text: str, delimiter: str) -> None:
    """Raises `ValueError` for a quotation mark that is never closed: all rows below it would be one cell."""
    if text.count('"') % 2 == 0:
        return
    lines = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    row = 1
    try:
        for _ in lines:
            row = lines.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise ValueError(f"the quotation mark that opens in row {row} is never closed") from error


def decoded(content: bytes) -> tuple[str, str]:
    """Text and the name of its encoding: by its mark, else UTF-8, else UTF-16 by its zero bytes, else Western (Windows-1252)."""
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace"), encoding.removesuffix("-sig").upper()
    zeros = (content[0:2000:2].count(0), content[1:2000:2].count(0))
    if max(zeros) > len(content[:2000]) // 4:
        return content.decode("utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", errors="replace"), "UTF-16"
    try:
        return content.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace"), "Windows-1252"


def _delimiter(text: str) -> str:
    """The mark that cuts most of the first rows into one and the same number of cells, more than one."""
    head = "\n".join(text.splitlines()[:_LOOK])
    best, found = (0.0, 0), ","
    for mark in (",", ";", "\t", "|"):
        widths = [len(cells) for _, cells in _records(head, mark) if any(cells)]
        if not widths or widths[0] < 2:
            continue
        score = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
        if score > best and not (mark == "|" and best[1]):
            best, found = score, mark
    return found


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number at which each record begins, and its cells."""
    csv.field_size_limit(_FIELD_LIMIT)
    lines = csv.reader(io.StringIO(text.replace("\0", ""), newline=""), delimiter=delimiter, skipinitialspace=True)
    before = 0
    for cells in lines:
        yield before + 1, [_plain(cell) for cell in cells]
        before = lines.line_num


def _workbook(path: Path) -> tuple[list[tuple[int, list[str]]], str]:
    """The first sheet of an XLSX workbook that holds a table."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        for sheet in book.worksheets:
            records = [
                (number, [_cell(cell) for cell in cells]) for number, cells in enumerate(sheet.iter_rows(values_only=True), 1)
            ]
            if sum(any(cells) for _, cells in records) > 1:
                more = f" (the first of {len(book.worksheets)} sheets with a table)" if len(book.worksheets) > 1 else ""
                return _from_top(records), f"XLSX, sheet '{sheet.title}'{more}"
        return [], "XLSX"
    finally:
        book.close()


def _from_top(records: Iterable[tuple[int, list[str]]]) -> list[tuple[int, list[str]]]:
    """Without a title above the header: rows with a single cell before the first row with several."""
    kept = list(records)
    widths = [sum(map(bool, cells)) for _, cells in kept]
    first = next((place for place, width in enumerate(widths) if width > 1), 0)
    return kept[first:]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return _plain(str(value))


def _plain(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\ufeff", "").strip()
