"""The tasks of a run, made from the section `tasks` of its configuration."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tracekit.errors import ConfigurationError
from tracekit.training.faults import nearest
from tracekit.training.randomness import Stream, generator, integer_seed
from tracekit.training.task_settings import DocumentSettings, TokenSettings, ToyTaskSettings
from tracekit.training.tasks.choice import choose
from tracekit.training.tasks.documents import DocumentTasks
from tracekit.training.tasks.sources import Document, read_source
from tracekit.training.tasks.tokenization import make_tokenizer
from tracekit.training.tasks.toy import ToyTasks
from tracekit.training.tasks.variation import Variation

Tokens = dict[str, list[int]]


def build_tasks(
    settings: DocumentSettings | TokenSettings | ToyTaskSettings, seed: int
) -> DocumentTasks | ToyTasks:
    """Load or draw the tasks of a run.

    Raises
    ------
    ConfigurationError
        If the data is not there, or cannot be a task.
    """
    match settings:
        case DocumentSettings():
            return document_tasks(settings, seed)
        case TokenSettings():
            return token_tasks(settings)
        case ToyTaskSettings():
            size = settings.n_tasks, settings.inputs, settings.outputs
            return ToyTasks.draw(*size, generator(seed, Stream.TOY))


def document_tasks(settings: DocumentSettings, seed: int) -> DocumentTasks:
    """Read, choose and tokenize documents."""
    source = read_source(settings.source)
    choice_seed = settings.choice_seed
    trained, held_out = choose(
        settings, len(source), integer_seed(seed, Stream.DOCUMENTS) if choice_seed is None else choice_seed
    )
    tokenizer = make_tokenizer(settings.tokenizer, source)
    train = {document.name: document.text for document in _documents(source, trained)}
    test = _held_out_texts(source, trained, held_out)
    varies = settings.masked > 0 or settings.shift > 0
    return DocumentTasks(
        _tokenized(tokenizer, train, settings.max_tokens + 2 * settings.shift),
        _tokenized(tokenizer, test, settings.max_tokens),
        vocabulary=len(tokenizer),
        variation=Variation(settings.masked, settings.shift) if varies else None,
    )


def token_tasks(settings: TokenSettings) -> DocumentTasks:
    """Read tokens that are ready from an `.npz` file."""
    try:
        with np.load(settings.path, allow_pickle=False) as file:
            train = _rows(file, settings.train, settings.path, "train")
            test = _rows(file, settings.held_out, settings.path, "held_out") if settings.held_out else {}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigurationError(f"tasks.path: cannot read arrays from {settings.path}: {error}") from error
    largest = max(max(row, default=0) for row in (*train.values(), *test.values()))
    return DocumentTasks(train, test, vocabulary=settings.vocabulary or largest + 1)


def _documents(source: Sequence[Document], places: Sequence[int]) -> list[Document]:
    documents = [source[place] for place in places]
    name, count = Counter(document.name for document in documents).most_common(1)[0] if documents else ("", 0)
    if count > 1:
        raise ConfigurationError(
            f"tasks.source.name: expected a different name for each document, found {name!r} {count} times"
        )
    return documents


def _held_out_texts(
    source: Sequence[Document], trained: Sequence[int], places: Sequence[int]
) -> dict[str, str]:
    beside = {source[place].name: source[place].held_out for place in trained}
    texts = {name: text for name, text in beside.items() if text is not None}
    if texts and places:
        raise ConfigurationError(
            "tasks: held-out tasks come from tasks.source.held_out or from tasks.n_held_out, not from both"
        )
    return texts or {document.name: document.text for document in _documents(source, places)}


def _tokenized(tokenizer: Any, texts: dict[str, str], max_tokens: int) -> Tokens:
    return {
        name: tokenizer(text, truncation=True, max_length=max_tokens)["input_ids"]
        for name, text in texts.items()
    }


def _rows(file: Any, array: str, path: str, key: str) -> Tokens:
    if array not in file.files:
        raise ConfigurationError(
            f"tasks.{key}: {path}: expected an array {array!r}, "
            f"found {', '.join(file.files)}{nearest(array, file.files)}"
        )
    tokens = file[array]
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu" or len(tokens) == 0:
        raise ConfigurationError(
            f"tasks.{key}: {path}: expected integers of dims (task, token) in {array!r}, "
            f"found {tokens.dtype} of shape {tokens.shape}"
        )
    return {f"document-{index}": row[row >= 0].tolist() for index, row in enumerate(tokens)}
