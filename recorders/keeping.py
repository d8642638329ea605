"""The form in which a recorder keeps its tensors: it gives tensors, and each form makes a row of them.

A form is declared from the `Rows` that would hold the tensors in full, and fills one row per sample. Every
recorder of tensors goes through here, so that whatever it captures can be kept in every form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy.typing as npt

from recorders.copying import copy_row, row_memory
from recorders.exchange import exchange_into, is_sharded
from recorders.precisions import Rounded
from recorders.reductions import Reductions
from recorders.shards import own_shards
from recorders.sketches import Sketch
from recorders.tensors import Tensors, torch_view
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Rows
from tracekit.plugins import require_options, suggestion
from tracekit.protocols import Run
from tracekit.writing.putting import Wait
from tracekit.writing.writer import TraceWriter


class Form(Protocol):
    """Makes rows of tensors."""

    def declare(self, full: Rows, run: Run) -> Rows:
        """Say what rows are written, given those that would hold the tensors in full. Called once a run.

        What a form must know of earlier visits belongs into `run.carried`, so that checkpoints keep it.
        """

    def fill(self, row: npt.NDArray[Any], tensors: Tensors, place: int) -> Wait | None:
        """Fill a row, dims (element,), or that place of the middle dim of it.

        If that goes on in the background, as copies from a GPU do, give what waits for it.
        """


Keep: TypeAlias = "str | Form | Mapping[str, Any] | Sequence[str | Form | Mapping[str, Any]]"


class Full:
    """Every value, as it is."""

    def declare(self, full: Rows, run: Run) -> Rows:
        """Give the rows that hold the tensors."""
        self._sizes = [field.size for field in full.fields]
        return full

    def fill(self, row: npt.NDArray[Any], tensors: Tensors, place: int) -> Wait | None:
        """Copy the tensors."""
        return copy_row(row, tensors, self._sizes)


FORMS: Mapping[str, Callable[..., Form]] = {
    "full": Full,
    **{name: partial(Rounded, name) for name in ("bfloat16", "float16", "float32")},
    "reductions": Reductions,
    "sketch": Sketch,
}
"""Forms by the names that configurations give them."""


class Kept:
    """The rows of one recorder in the forms that it keeps, declared at a writer.

    Parameters
    ----------
    keep
        The form, or a list of forms: see `parse_keep`.
    run : Run
        The run that is recorded.
    trace : TraceWriter
        Where rows are declared and put.
    full : Rows
        The rows that would hold the tensors in full.
    """

    def __init__(self, keep: Keep, run: Run, trace: TraceWriter, full: Rows) -> None:
        self._trace = trace
        self._forms = [(form, form.declare(full, run)) for form in parse_keep(keep)]
        _require_kinds_of_their_own([rows.group for _, rows in self._forms], keep)
        for _, rows in self._forms:
            trace.declare_rows(rows)

    def put(self, sample: int, tensors: Tensors) -> None:
        """Put the row of a visit, or of an update; tensors may be changed when this returns."""
        self.put_parts(sample, [tensors])

    def put_parts(self, sample: int, parts: Iterable[Tensors]) -> None:
        """Put a row with a middle dim: the tensors of each of its places, in order.

        They are asked for one by one, and may be changed when the next are asked for.
        """
        made = [self._trace.buffer(rows.group, row_memory()) for _, rows in self._forms]
        waits: list[list[Wait]] = [[] for _ in self._forms]
        for place, tensors in enumerate(parts):
            for (form, rows), row, under_way in zip(self._forms, made, waits, strict=True):
                wait = self._fill(form, rows, row.reshape(-1, rows.n_elements)[place], tensors, place)
                under_way += [] if wait is None else [wait]
        for (_, rows), row, under_way in zip(self._forms, made, waits, strict=True):
            self._trace.put_row(rows.group, sample, row, under_way)

    def _fill(
        self, form: Form, rows: Rows, row: npt.NDArray[Any], tensors: Tensors, place: int
    ) -> Wait | None:
        """Fill a row, or of sharded tensors this process's stretch of it: nothing else of it is written."""
        if not is_sharded(tensors):
            return form.fill(row, tensors, place)
        sizes = [field.size for field in (rows.sources or rows.fields)]
        if isinstance(form, Reductions | Sketch):
            form.fill_shards(row, own_shards(tensors, sizes), place)
            return None
        if not isinstance(form, Full):
            raise ConfigurationError(
                f"keep: {rows.group}: tensors that are sharded over processes are kept in full, as "
                "reductions or as a sketch; this form needs all of a tensor at once"
            )
        exchange_into(torch_view(row), tensors, sizes, self._trace.stretches(rows.group))
        return None


def parse_keep(keep: Keep) -> tuple[Form, ...]:
    """Give the forms that a name, a mapping with its `kind` and options, or a list of these stands for.

    Raises
    ------
    ConfigurationError
        If there is no form of a name, or it does not take an option.

    Examples
    --------
    >>> [type(form).__name__ for form in parse_keep(["full"])]
    ['Full']
    """
    several = keep if isinstance(keep, Sequence) and not isinstance(keep, str) else (keep,)
    forms = tuple(_parse_form(item) for item in several)
    if not forms:
        raise ConfigurationError("keep: expected one form or more, found an empty list")
    return forms


def _require_kinds_of_their_own(groups: Sequence[str], keep: Keep) -> None:
    twice = [group for group in groups if groups.count(group) > 1]
    if twice:
        raise ConfigurationError(
            f"keep: expected forms of which each is a kind of its own, found {keep!r}, where "
            f"{len(twice)} are written as {twice[0]!r}; keep one of them"
        )


def _parse_form(form: Any) -> Form:
    if isinstance(form, str):
        return _make(form, {})
    if isinstance(form, Mapping):
        return _make(form.get("kind"), {key: value for key, value in form.items() if key != "kind"})
    if isinstance(form, type) or not (hasattr(form, "declare") and hasattr(form, "fill")):
        raise ConfigurationError(
            "keep: expected the name of a form, a mapping with its kind, or an object with the methods "
            f"declare and fill, found {form!r}"
        )
    made: Form = form
    return made


def _make(kind: Any, options: Mapping[str, Any]) -> Form:
    if kind is None:
        raise ConfigurationError(
            f"keep: no form None: expected the key kind, one of {', '.join(FORMS)}, found only "
            f"{sorted(options)}"
        )
    if kind not in FORMS:
        raise ConfigurationError(f"keep: no form {kind!r}{suggestion(str(kind), list(FORMS))}")
    require_options(FORMS[kind], options, what=f"keep: {kind}")
    try:
        return FORMS[kind](**options)
    except TypeError as error:
        raise ConfigurationError(f"keep: {kind}: {error}") from error
