"""Which versions of what made a trace."""

from __future__ import annotations

import importlib.metadata
import platform

DISTRIBUTIONS = (
    "tracekit-ml",
    "numpy",
    "zarr",
    "numcodecs",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
)


def software_versions() -> dict[str, str]:
    """Give the installed versions of all that can shape a recorded number, by distribution.

    Examples
    --------
    >>> sorted(software_versions())[-1]
    'zarr'
    """
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
