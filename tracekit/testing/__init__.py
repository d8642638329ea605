"""Helpers for the tests of recorders, analyses and figures, published for those who write their own."""

from tracekit.testing.conformance import ConformanceError, check_analysis
from tracekit.testing.laziness import ComputedError, no_compute
from tracekit.testing.losses import cyclic_order, synthetic_losses
from tracekit.testing.memory import peak_memory
from tracekit.testing.traces import synthetic_runs, synthetic_trace

__all__ = [
    "ComputedError",
    "ConformanceError",
    "check_analysis",
    "cyclic_order",
    "no_compute",
    "peak_memory",
    "synthetic_losses",
    "synthetic_runs",
    "synthetic_trace",
]
