"""What the groups of a trace must be for its arrays to mean something: names, labels, fields and visits.

Every function raises `MalformedError` with the name of what is wrong.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from tracekit.format.checks import (
    MalformedError,
    entry,
    integer,
    key_name,
    mapping,
    name,
    sequence,
    sizes,
    text,
    unique,
)
from tracekit.format.layout import (
    COMMIT_KEY,
    DERIVED,
    GAPS,
    METADATA,
    OPEN_FORMAT_VERSION,
    TIMELINE,
    ArrayLayout,
)
from tracekit.format.schema import FieldRecord
from tracekit.format.tensor_axes import check_axes

TIMELINE_COORDS = ("epoch", "position", "trained_task", "wall_time_seconds")
UPDATES = "updates"  # a column of the timeline of open-ended traces
SAMPLE_COORDS = ("visit", "update", "update_visit")
UPDATE_COORDS = ("update_index", *(f"update_{name}" for name in TIMELINE_COORDS))
NOT_KINDS = (METADATA, TIMELINE, COMMIT_KEY, DERIVED)
RESERVED = frozenset((*SAMPLE_COORDS, *TIMELINE_COORDS, *UPDATE_COORDS, "element"))
PLAN_FACTS = ("n_epochs", "updates_per_visit", "snapshots_planned")
STATUSES = ("running", "complete", "interrupted", "failed")
_AXIS = re.compile(r"axis\d+_\d+")
Labels = Mapping[str, Sequence[str]]


def check_facts(attributes: Mapping[str, Any]) -> None:
    """Check what the attributes of a trace say of the run, as far as readers use it."""
    if entry(attributes, "status", "attributes") not in STATUSES:
        raise MalformedError(f"status: expected one of {', '.join(STATUSES)}")
    open_ended = attributes.get("open_ended", False)
    if not isinstance(open_ended, bool):
        raise MalformedError(f"open_ended: expected true or false, found {reprlib.repr(open_ended)}")
    if open_ended != (attributes.get("format_version") == OPEN_FORMAT_VERSION):
        raise MalformedError(f"open_ended is {open_ended} in format version {attributes['format_version']}")
    planned = [key for key in PLAN_FACTS if not open_ended or key in attributes]
    for key in ("n_tasks", *planned):
        integer(entry(attributes, key, "attributes"), key)
    for key in ("run_id", "created"):
        text(entry(attributes, key, "attributes"), key)
    software = mapping(entry(attributes, "software", "attributes"), "software")
    for package, version in software.items():
        text(version, f"version of {package!r}")
    for key in ("configuration", "task_fingerprints"):
        mapping(attributes.get(key, {}), key)
    text(attributes.get("order", ""), "order")


def check_labels(value: Any) -> dict[str, list[str]]:
    """Give the labels of dims, by dim."""
    labels: dict[str, list[str]] = {}
    for dim, found in mapping(value, "labels").items():
        check_free(name(dim, "dim with labels"))
        texts = [text(label, f"label of {dim!r}") for label in sequence(found, f"labels of {dim!r}")]
        labels[dim] = unique(texts, f"labels of {dim!r}")
    return labels


def check_free(found: str, taken: Labels | None = None) -> None:
    """Check that a name does not mean something else in the same group."""
    if found in RESERVED or found in (taken or {}) or _AXIS.fullmatch(found):
        raise MalformedError(f"{found!r} is the name of a coordinate or dim, and cannot be another thing's")


def check_fields(value: Any, labels: Labels) -> list[FieldRecord]:
    """Give the index of a row: fields that lie one after another, without holes and without overlap."""
    records = [dict(mapping(record, "field")) for record in sequence(value, "fields")]
    names = unique([name(record.get("name"), "name of a field") for record in records], "names of fields")
    offset = 0
    for record in records:
        what = f"field {record['name']!r}"
        check_free(record["name"], labels)
        if record["name"] == "flat":
            raise MalformedError(f"{what}: 'flat' is the name of the flat rows")
        shape = sizes(record.get("shape"), f"shape of {what}", least=1)
        if integer(record.get("offset"), f"offset of {what}") != offset:
            raise MalformedError(f"offset of {what}: expected {offset}, found {record['offset']}")
        text(record.get("dtype"), f"dtype of {what}")
        check_axes(cast(FieldRecord, record), labels, [*RESERVED, *names])
        offset += math.prod(shape)
    return cast(list[FieldRecord], records)


def check_declared(group: str, attributes: Mapping[str, Any], series: Sequence[str] = ()) -> None:
    """Check what a writer is about to declare, by the rules of the reader."""
    if key_name(group, "name of a group") in NOT_KINDS:
        raise MalformedError(f"{group!r} cannot be the name of a group: a trace has one of its own")
    labels = check_labels(attributes["labels"])
    for item in series:
        check_free(key_name(item, "name of a series"), labels)
    if "fields" in attributes:
        check_fields(attributes["fields"], labels)
        text(attributes.get("units", ""), "units")


def check_rows(layout: ArrayLayout, labels: Labels, fields: Sequence[FieldRecord], n_samples: int) -> None:
    """Check that flat rows have one row a sample, a label for each place in the middle, and all fields."""
    _check_dims(layout, labels, n_samples, last=("element",))
    if (
        layout.dims[0] not in ("visit", "update")
        or layout.chunk[0] != 1
        or layout.object_shape[0] != 1
        or layout.shard is None
    ):
        raise MalformedError("rows lie in shards, each of one visit or update")
    for record in fields:
        check_axes(record, labels, layout.dims)
    n_elements = sum(math.prod(record["shape"]) for record in fields)
    if layout.shape[-1] != n_elements:
        raise MalformedError(f"a row has {layout.shape[-1]} elements, and its fields have {n_elements}")


def check_series(layout: ArrayLayout, labels: Labels, n_samples: int) -> None:
    """Check that a series has one sample a visit or update, and a label for each place of every other dim."""
    _check_dims(layout, labels, n_samples, last=())
    check_column(layout)


def check_column(layout: ArrayLayout) -> None:
    """Check that each chunk of a series holds whole samples."""
    if layout.shard is not None or layout.chunk[1:] != layout.shape[1:]:
        raise MalformedError("a series lies in chunks of whole samples, without shards")
    if layout.bits_of:
        raise MalformedError(f"a series of {layout.bits_of} is not read")


def check_numbers(layout: ArrayLayout, sample: str) -> None:
    """Check that a coordinate is a column of whole numbers over samples."""
    check_column(layout)
    if layout.dims != (sample,) or layout.dtype != np.dtype("<i8"):
        raise MalformedError(f"expected int64 over ({sample},), found {layout.dtype} over {layout.dims}")


def check_visits(values: npt.NDArray[np.int64], planned: int, what: str, *, least: int, step: int) -> None:
    """Check visits or numbers of samples that go up by `step` or more, from `least`, below `planned`."""
    if len(values) and not (values[0] >= least and values[-1] < planned and (np.diff(values) >= step).all()):
        raise MalformedError(f"{what}: expected numbers that go up, from {least} to below {planned}")


def check_gaps(attributes: Mapping[str, Any], planned: npt.NDArray[np.int64] | None) -> None:
    """Check that what could not be written are visits or updates that were planned, if any were."""
    gaps = [integer(number, GAPS) for number in sequence(attributes.get(GAPS, []), GAPS)]
    if planned is not None and not set(gaps) <= set(planned.tolist()):
        raise MalformedError(f"{GAPS}: names samples at which nothing was to be recorded")


def _check_dims(layout: ArrayLayout, labels: Labels, n_samples: int, *, last: tuple[str, ...]) -> None:
    expected = {dim: len(found) for dim, found in labels.items()}
    n_middle = len(layout.dims) - len(last)
    if n_middle < 1 or layout.dims[n_middle:] != last:
        raise MalformedError(f"dims {layout.dims} do not end in {last}")
    if layout.shape[0] != n_samples:
        raise MalformedError(f"{layout.shape[0]} samples, and its coordinate has {n_samples}")
    for dim, size in zip(layout.dims[1:n_middle], layout.shape[1:n_middle], strict=True):
        if expected.get(dim) != size:
            raise MalformedError(f"dim {dim!r} has {size} places, and {expected.get(dim, 'no')} labels")
