"""Many runs as one: found, opened side by side, and lined up along the dim `run`."""

from tracekit.collection.opening import open_traces

__all__ = ["open_traces"]
