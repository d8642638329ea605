"""The names of a tensor's axes: those it was given, or their place and size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracekit.format.checks import MalformedError, key_name, sequence, unique
from tracekit.format.schema import FieldRecord


def axis_dims(record: FieldRecord, labels: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Name the dims of a tensor so that tensors of equal shape share them.

    An axis that the field names is called so where its places have labels, and otherwise `<name>_<size>`,
    since tensors may have it in different sizes; an axis without a name is `axis<place>_<size>`.

    Examples
    --------
    >>> record = {"name": "mlp", "shape": [2, 3, 4], "offset": 0, "dtype": "float32", "axes": ["call"]}
    >>> axis_dims(record, {})
    ('call_2', 'axis1_3', 'axis2_4')
    """
    named = record.get("axes", [])
    return tuple(
        named[axis]
        if axis < len(named) and named[axis] in labels
        else f"{named[axis] if axis < len(named) else f'axis{axis}'}_{size}"
        for axis, size in enumerate(record["shape"])
    )


def check_axes(record: FieldRecord, labels: Mapping[str, Sequence[str]], taken: Sequence[str]) -> None:
    """Check that a field's axes have names of their own, and as many places as they have labels.

    `taken` are names that are dims or variables already.

    Raises
    ------
    MalformedError
        If they do not.
    """
    what = f"axes of field {record['name']!r}"
    axes = unique([key_name(axis, what) for axis in sequence(record.get("axes", []), what)], what)
    if len(axes) > len(record["shape"]):
        raise MalformedError(f"{what}: {len(axes)} names for {len(record['shape'])} axes")
    for axis, size in zip(axes, record["shape"], strict=False):
        if axis in labels and len(labels[axis]) != size:
            raise MalformedError(f"{what}: {size} places of {axis!r}, and {len(labels[axis])} labels")
    clash = set(axis_dims(record, labels)) & set(taken)
    if clash:
        raise MalformedError(f"{what}: {sorted(clash)[0]!r} is the name of another thing")
