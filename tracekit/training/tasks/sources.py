"""Where texts come from: every source gives a sequence of documents."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

from tracekit.errors import ConfigurationError
from tracekit.training.faults import nearest
from tracekit.training.task_settings import File, Folder, HuggingFace, PythonReference

TEXT_SUFFIXES = frozenset({".txt", ".md"})
LONGEST_CSV_FIELD = 2**31 - 1


@dataclass(frozen=True)
class Document:
    """A text with a name, and the text that is held out beside it where there is one."""

    name: str
    text: str
    held_out: str | None = None


@dataclass(frozen=True)
class Columns:
    """Which columns of a record are the text, the held-out text and the name."""

    text: str
    held_out: str | None
    name: str | None

    def document(self, record: Mapping[str, Any], index: int, origin: str) -> Document:
        """Turn the record at place `index` of `origin` into a document."""
        where = f"{origin}, record {index}"
        name = f"document-{index}" if self.name is None else str(_column(record, self.name, where))
        held_out = None if self.held_out is None else _text(record, self.held_out, where)
        return Document(name, _text(record, self.text, where), held_out)


def read_source(source: PythonReference | Folder | File | HuggingFace) -> Sequence[Document]:
    """Open a source of documents.

    Raises
    ------
    ConfigurationError
        If there is nothing to read, or a record has no such column or no text in it.
    """
    match source:
        case PythonReference():
            return python_reference(source.longer_than)
        case Folder():
            return folder(Path(source.path))
        case File():
            return records(Path(source.path), Columns(source.text, source.held_out, source.name))
        case HuggingFace():
            # `datasets` takes seconds to import, and no other source needs it
            from tracekit.training.tasks.hugging_face import open_dataset

            return open_dataset(source, Columns(source.text, source.held_out, source.name))


def python_reference(longer_than: int) -> list[Document]:
    """Give the topics of the language reference of more than `longer_than` characters, sorted by name.

    Examples
    --------
    >>> "assignment" in [document.name for document in python_reference(1500)]
    True
    """
    return [Document(name, text) for name, text in sorted(topics.items()) if len(text) > longer_than]


def folder(path: Path) -> list[Document]:
    """Give the text files below a folder, sorted by path, named by their path in it."""
    if not path.is_dir():
        raise ConfigurationError(f"tasks.source.path: expected a folder, found none at {path}")
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in TEXT_SUFFIXES)
    if not files:
        raise ConfigurationError(f"tasks.source.path: expected .txt or .md files below {path}, found none")
    return [Document(file.relative_to(path).as_posix(), _read(file)) for file in files]


def records(path: Path, columns: Columns) -> list[Document]:
    """Give the records of a `.jsonl`, `.json` or `.csv` file as documents."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ConfigurationError(f"tasks.source.path: expected one of {', '.join(READERS)}, found {path}")
    rows = reader(_read(path), path)
    return [columns.document(row, index, str(path)) for index, row in enumerate(rows)]


def _json_lines(text: str, path: Path) -> Iterable[Any]:
    lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    return (_json(line, f"{path}, line {number}") for number, line in lines)


def _json_list(text: str, path: Path) -> Iterable[Any]:
    content = _json(text, str(path))
    if not isinstance(content, list):
        raise ConfigurationError(f"{path}: expected a list of records, found {type(content).__name__}")
    return content


def _csv(text: str, path: Path) -> Iterable[Any]:
    # a document is often longer than the module's limit, which is global
    limit = csv.field_size_limit(LONGEST_CSV_FIELD)
    try:
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except csv.Error as error:
        raise ConfigurationError(f"{path}: not a valid CSV file: {error}") from error
    finally:
        csv.field_size_limit(limit)


READERS: dict[str, Callable[[str, Path], Iterable[Any]]] = {
    ".jsonl": _json_lines,
    ".json": _json_list,
    ".csv": _csv,
}


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{where}: not valid JSON: {error}") from error


def _read(path: Path) -> str:
    try:
        # spreadsheets put a byte-order mark in front
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"tasks.source.path: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: expected UTF-8 text: {error}") from error


def _column(record: Any, column: str, where: str) -> Any:
    if not isinstance(record, Mapping):
        raise ConfigurationError(f"{where}: expected columns, found {type(record).__name__}")
    if column not in record:
        names = [str(name) for name in record]
        raise ConfigurationError(
            f"{where}: expected a column {column!r}, found {', '.join(names)}{nearest(column, names)}"
        )
    return record[column]


def _text(record: Any, column: str, where: str) -> str:
    value = _column(record, column, where)
    if not isinstance(value, str):
        raise ConfigurationError(f"{where}: expected text in {column!r}, found {type(value).__name__}")
    return value
