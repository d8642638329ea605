"""Hugging Face datasets as sources of documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import datasets

from tracekit.errors import ConfigurationError
from tracekit.training.task_settings import HuggingFace
from tracekit.training.tasks.sources import Columns, Document

SAVED_TO_DISK = ("dataset_info.json", "dataset_dict.json")


class DatasetDocuments(Sequence[Document]):
    """Rows of a dataset, each read when it is asked for."""

    def __init__(self, rows: Any, columns: Columns, origin: str) -> None:
        self._rows = rows
        self._columns = columns
        self._origin = origin

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Document: ...

    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...

    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._columns.document(self._rows[index], index, self._origin)


def open_dataset(source: HuggingFace, columns: Columns) -> DatasetDocuments:
    """Open one split of a dataset: saved to disk, a local folder of data files, or a name on the Hub.

    Raises
    ------
    ConfigurationError
        If it cannot be found, reached or read, or has no such split.
    """
    origin = f"dataset {source.path!r}, split {source.split!r}"
    try:
        rows = _load(source)
    except (OSError, ValueError, KeyError, datasets.exceptions.DatasetsError) as error:
        raise ConfigurationError(f"tasks.source: cannot open {origin}: {error}") from error
    return DatasetDocuments(rows, columns, origin)


def _load(source: HuggingFace) -> Any:
    if any((Path(source.path) / name).exists() for name in SAVED_TO_DISK):
        saved = datasets.load_from_disk(source.path)
        return saved[source.split] if isinstance(saved, datasets.DatasetDict) else saved
    return datasets.load_dataset(source.path, source.subset, split=source.split, revision=source.revision)
