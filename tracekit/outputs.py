"""Files made from traces, such as tables and figures: what cannot be written is said in words."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from tracekit.errors import OutputError


def require_ending(path: Path, endings: Collection[str]) -> None:
    """Refuse a file whose name does not say, by its ending, what it is to hold.

    Raises
    ------
    OutputError
        If it ends otherwise.
    """
    if path.suffix not in endings:
        raise OutputError(f"{path}: the name must end in {', '.join(endings)}, found {path.suffix!r}")


def make_folder(path: Path) -> None:
    """Make a folder for files, if it is not there.

    Raises
    ------
    OutputError
        If there is something else, or it may not be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be made a folder: {error.strerror}; choose another place"
        ) from error


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write a file within the block, in a folder that is made if it is not there.

    Raises
    ------
    OutputError
        If the file system refuses.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "results" / "scores.csv"
    >>> with writing(file):
    ...     _ = file.write_text("0.5")
    >>> with writing(file / "inner.csv"):
    ...     pass
    Traceback (most recent call last):
        ...
    tracekit.errors.OutputError: ...scores.csv: cannot be made a folder: File exists; choose another place
    """
    make_folder(path.parent)
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written: {error.strerror or error}; choose another place"
        ) from error
