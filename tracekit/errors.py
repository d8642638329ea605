"""Every error this project raises on purpose.

::

    TracekitError
    ├── TraceError           something is wrong with a trace on disk
    │   ├── TraceNotFoundError   there is nothing at the path
    │   ├── NotATraceError       there is something, and it is not a trace
    │   ├── TraceExistsError     a new trace would overwrite another one
    │   ├── DamagedTraceError    a checksum fails, or a committed file is missing
    │   ├── StoreError           where the trace lies cannot be reached, or refuses
    │   ├── TraceRolledBackError committed visits were dropped since the trace was opened
    │   └── TraceWriteError      data does not fit what was declared, or cannot be written
    │       └── TraceInUseError      another process writes the trace
    ├── ConfigurationError   an experiment's settings make no sense
    ├── TrainingError        a run cannot go on
    ├── SchedulerError       no dask scheduler answers where one was to compute
    ├── AnalysisError        an analysis cannot be made from the data it was given
    ├── OutputError          a file for results cannot be written
    └── PluginError          a plug-in is unknown, or broken

and one warning, `TraceWarning`, for a run that goes on although not all of it could be recorded.
A message says where, what was expected, what was found and what to do.
"""


class TracekitError(Exception):
    """Base of every error that tracekit raises on purpose."""


class TraceError(TracekitError):
    """Something is wrong with a trace on disk."""


class TraceNotFoundError(TraceError, FileNotFoundError):
    """There is nothing at the path."""


class NotATraceError(TraceError):
    """There is something at the path, and it is not a trace that this version reads."""


class TraceExistsError(TraceError, FileExistsError):
    """A new trace would overwrite another one."""


class DamagedTraceError(TraceError):
    """A checksum fails, or a file that a committed visit needs is missing."""


class StoreError(TraceError, OSError):
    """Where the trace lies cannot be reached, or refuses, or is named by a URL that makes no sense."""


class TraceRolledBackError(TraceError):
    """Committed visits were dropped, or the trace replaced, since it was opened."""


class TraceWriteError(TraceError):
    """Data does not fit what was declared for it, or the store refuses it."""


class TraceInUseError(TraceWriteError):
    """Another process writes the trace, or has taken it over."""


class TraceWarning(UserWarning):
    """Something was not recorded, and the run goes on."""


class ConfigurationError(TracekitError, ValueError):
    """An experiment's settings make no sense."""


class TrainingError(TracekitError):
    """A run cannot go on, since its loss is no longer a number. Visits already completed are kept."""


class SchedulerError(TracekitError, OSError):
    """No dask scheduler answers where one was to compute."""


class AnalysisError(TracekitError, ValueError):
    """An analysis cannot be made from the data it was given."""


class OutputError(TracekitError, OSError):
    """A file for results, such as a table or a figure, cannot be written."""


class PluginError(TracekitError):
    """A plug-in is unknown, or cannot be loaded."""
