"""The section `recording` of a configuration."""

from __future__ import annotations

from tracekit.training.sections import Count, Section
from tracekit.writing.buffers import QUEUE_BYTES


class RecordingSettings(Section):
    """How what is recorded is written. It changes no value, so a run that goes on may have another one.

    Parameters
    ----------
    queue_bytes : int
        How many bytes may be in memory on their way to the store; the training waits while there are more.
    """

    queue_bytes: Count = QUEUE_BYTES
