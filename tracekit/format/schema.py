"""What a trace holds, in words: tensors laid in rows, and series of small values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

Phase = Literal["before update", "after update", "snapshot"]
SampleDim = Literal["visit", "update"]


class FieldRecord(TypedDict):
    """A `Field` and its offset, in elements, as the index of a group keeps it."""

    name: str
    shape: list[int]
    offset: int
    dtype: str
    axes: NotRequired[list[str]]


@dataclass(frozen=True)
class Field:
    """One tensor of a row: its name, its shape, and the dtype that it had when it was seen.

    `axes` names its first dims, as many as it has names; the labels of the group that has a label for each
    place of such a dim name the places.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    axes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Rows:
    """A kind of tensors recorded together, such as all weights: one flat row per visit, or per update.

    Parameters
    ----------
    group : str
        Name of the kind: `"weights"`, `"gradients"`, …
    fields : sequence of Field
        The tensors, in the order in which they lie in the row.
    visits : sequence of int
        The visit of every row that will be recorded, ascending.
    middle : (name, labels), optional
        A dim between sample and element, such as `("probe", ("doc a", "doc b"))`.
    dtype : str
        Type of the stored values: `"float64"`, `"float32"`, `"float16"`, or `"bfloat16"`, which is put as its
        bits (see `tracekit.format.precision`) and read as float32.
    phase : str
        Whether the values were taken before or after the update, or at a snapshot.
    labels : mapping
        Labels of the named axes of fields.
    sources : sequence of Field
        The tensors that the fields are made of, where that is not themselves.
    attributes : mapping
        Anything else a reader should know, `units` among it.
    updates : sequence of int, optional
        For rows per update: the update of every row, by its number in the whole run, ascending. A visit may
        then come several times, once for each of its updates.

    Examples
    --------
    >>> Rows("gradients", (Field("w", (2,)),), visits=(1, 1, 2), updates=(0, 1, 2)).dims
    ('update', 'element')
    """

    group: str
    fields: tuple[Field, ...]
    visits: tuple[int, ...]
    middle: tuple[str, tuple[str, ...]] | None = None
    dtype: str = "float32"
    phase: Phase = "snapshot"
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[Field, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    updates: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.updates is not None and len(self.updates) != len(self.visits):
            raise ValueError(
                f"{self.group}: expected a visit for each of {len(self.updates)} updates, found "
                f"{len(self.visits)}"
            )

    @property
    def sample(self) -> SampleDim:
        """What there is one row for."""
        return "visit" if self.updates is None else "update"

    @property
    def samples(self) -> tuple[int, ...]:
        """Numbers of the visits or updates that there are rows for."""
        return self.visits if self.updates is None else self.updates

    @property
    def n_elements(self) -> int:
        """Elements of a row (of each entry of the middle dim, if there is one)."""
        return sum(item.size for item in self.fields)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Shape of one row, dims ([middle,] element)."""
        return (len(self.middle[1]), self.n_elements) if self.middle else (self.n_elements,)

    @property
    def all_labels(self) -> dict[str, tuple[str, ...]]:
        """Labels of the middle dim and of named axes."""
        return {**dict([self.middle] if self.middle else []), **self.labels}

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the dims of the flat array."""
        middle = (self.middle[0],) if self.middle else ()
        return (self.sample, *middle, "element")


@dataclass(frozen=True)
class Series:
    """One small value, or a vector of them, per visit or per update, such as the losses of all tasks.

    Parameters
    ----------
    group, name : str
        Where it lies: `losses`, `eval_loss`.
    sample : {"visit", "update"}
        What there is one row for.
    dims : sequence of str
        Names of further dims; the group's labels give their sizes.
    dtype, units : str
        Type and units of the values.
    phase : str, optional
        When the values are taken; at the snapshot of a visit, and before an update, if None.
    """

    group: str
    name: str
    sample: SampleDim = "visit"
    dims: tuple[str, ...] = ()
    dtype: str = "float64"
    units: str = "1"
    long_name: str = ""
    phase: Phase | None = None

    @property
    def attributes(self) -> dict[str, str]:
        """What a reader should know of the values."""
        return {
            "units": self.units,
            "long_name": self.long_name or self.name.replace("_", " "),
            "phase": self.phase or ("snapshot" if self.sample == "visit" else "before update"),
        }


def field_records(fields: Sequence[Field]) -> list[FieldRecord]:
    """Give the index of a row: every field with its offset."""
    records: list[FieldRecord] = []
    offset = 0
    for item in fields:
        record: FieldRecord = {
            "name": item.name,
            "shape": list(item.shape),
            "offset": offset,
            "dtype": item.dtype,
        }
        records.append({**record, "axes": list(item.axes)} if item.axes else record)
        offset += item.size
    return records
