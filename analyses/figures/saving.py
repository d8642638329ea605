"""Figures as files: whole or not at all, and the same bytes for the same figure."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tracekit.errors import ConfigurationError
from tracekit.outputs import make_folder, writing

DOTS_PER_INCH = 200

METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
"""What each format writes beside the picture: nothing that changes from one run to the next."""

REPEATABLE: dict[Any, Any] = {
    "pdf.fonttype": 42,  # fonts as text that can be searched and edited
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "tracekit",  # ids that repeat
}


def save(
    figure: Figure, directory: str | os.PathLike[str], name: str, formats: Sequence[str] = ("png", "pdf")
) -> tuple[Path, ...]:
    """Write a figure as `directory/name.<format>`, once for each format.

    A file appears whole or not at all, and replaces an older one of its name. The same figure gives the same
    bytes again with the same version of matplotlib.

    Parameters
    ----------
    figure : matplotlib Figure
        What to write; it is not changed.
    directory : path
        Where to; made if it does not exist.
    name : str
        Name of the files, without ending.
    formats : sequence of str
        Any of ``"png"`` (200 dots per inch), ``"pdf"`` and ``"svg"``.

    Returns
    -------
    tuple of Path
        The files written, in the order of `formats`.

    Raises
    ------
    ConfigurationError
        If a format is none of these. Nothing is written then.
    OutputError
        If the file system refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     [path.name for path in save(Figure(), directory, "empty", formats=("png", "svg"))]
    ['empty.png', 'empty.svg']
    """
    for format_name in formats:
        _check(format_name)
    folder = Path(directory)
    make_folder(folder)
    return tuple(_write(figure, folder / f"{name}.{format_name}", format_name) for format_name in formats)


def _check(format_name: str) -> None:
    if format_name in METADATA:
        return
    near = get_close_matches(format_name, METADATA, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ConfigurationError(
        f"figures are saved as {', '.join(METADATA)}, not {format_name!r}{hint}; choose among these"
    )


def _write(figure: Figure, path: Path, format_name: str) -> Path:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with writing(path), mpl.rc_context(REPEATABLE):
            figure.savefig(partial, format=format_name, dpi=DOTS_PER_INCH, metadata=METADATA[format_name])
            partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path
