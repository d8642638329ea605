"""Traces of training: written visit by visit, opened lazily.

`open_trace` opens one; `TraceWriter` writes one; what is recorded comes from the `recorders` package, and the
numbers and figures from the `analyses` package. Torch is needed by `tracekit.training` and `recorders` alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracekit.collection import open_traces
    from tracekit.errors import TracekitError
    from tracekit.format.schema import Field, Rows, Series
    from tracekit.reading.opening import open_trace
    from tracekit.reading.tensors import flat, kinds, load
    from tracekit.schedule import Plan, Update, Visit
    from tracekit.writing.recording import Recording
    from tracekit.writing.truncation import rollback
    from tracekit.writing.writer import TraceWriter

__all__ = [
    "Field",
    "Plan",
    "Recording",
    "Rows",
    "Series",
    "TraceWriter",
    "TracekitError",
    "Update",
    "Visit",
    "flat",
    "kinds",
    "load",
    "open_trace",
    "open_traces",
    "rollback",
]

_HOMES = {
    "collection": ("open_traces",),
    "errors": ("TracekitError",),
    "format.schema": ("Field", "Rows", "Series"),
    "reading.opening": ("open_trace",),
    "reading.tensors": ("flat", "kinds", "load"),
    "schedule": ("Plan", "Update", "Visit"),
    "writing.recording": ("Recording",),
    "writing.truncation": ("rollback",),
    "writing.writer": ("TraceWriter",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when first used: xarray takes a second that `tracekit --help` has not got."""
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"tracekit.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'tracekit' has no attribute {name!r}")
