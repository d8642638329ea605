"""Files of a folder that may come from anywhere: regular files only, and none outside the folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from tracekit.errors import DamagedTraceError

ABSENT = (FileNotFoundError, NotADirectoryError)
FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # without waiting for a pipe's other end


class Guard:
    """Opens files below a folder. The folder itself may be a symbolic link; links below it must stay inside.

    Parameters
    ----------
    root : Path
        The folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._good: set[str] = set()

    def open(self, key: str) -> int | None:
        """Open a file for reading, or give None where there is none.

        Raises
        ------
        DamagedTraceError
            If it is not a regular file, leads out of the folder, or cannot be read.
        """
        path = f"{self._root}/{key}"
        try:
            self.check_folders(key)
            descriptor = self._open(path)
        except ABSENT:
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            return None  # no object of this key, as on an object store
        raise DamagedTraceError(f"{path}: expected a file, found a pipe or device")

    def names(self, prefix: str) -> list[str]:
        """Give the names in a folder, none where there is no folder.

        Raises
        ------
        DamagedTraceError
            If the folder lies outside, or cannot be read.
        """
        path = f"{self._root}/{prefix}"
        try:
            self.check_folders(f"{prefix}/" if prefix else "")
            with os.scandir(path) as entries:
                return [entry.name for entry in entries]
        except ABSENT:
            return []
        except OSError as error:
            raise unreadable(path, error) from error

    def check_folders(self, key: str) -> None:
        """Check each folder on the way to a key, those known to be good excepted.

        Raises
        ------
        DamagedTraceError
            If one is a symbolic link that leads out.
        """
        folder = key.rpartition("/")[0]
        if not folder or folder in self._good:
            return
        self.check_folders(folder)
        path = f"{self._root}/{folder}"
        if stat.S_ISLNK(os.lstat(path).st_mode):
            self._check_inside(path)
        self._good.add(folder)

    def _open(self, path: str) -> int:
        try:
            return os.open(path, FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
        self._check_inside(path)
        return os.open(path, FLAGS)

    def _check_inside(self, path: str) -> None:
        real, root = os.path.realpath(path), os.path.realpath(self._root)
        if os.path.commonpath([real, root]) != root:
            raise DamagedTraceError(
                f"{path}: a symbolic link that leads out of the trace, to {real}; it is not followed"
            )


def unreadable(path: str, error: OSError) -> DamagedTraceError:
    """Say that the system does not give what is at a path, and why."""
    return DamagedTraceError(f"{path}: cannot be read ({error.strerror or error})")
