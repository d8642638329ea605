"""Telling one process from another of the same number, without asking more than the system itself says."""

from __future__ import annotations

import datetime
import os
import subprocess
from pathlib import Path

PROC = Path("/proc")
GONE = ("Z", "X")  # ended, and not yet asked about by its parent


def process_start(process: int) -> str:
    """Give when a process started: what the kernel says, and the moment that this means; empty if unknown.

    Examples
    --------
    >>> process_start(os.getpid()) == process_start(os.getpid()) != ""
    True
    """
    fields = _status(process)
    if not fields:
        return _start_by_ps(process)
    ticks = int(fields[19])
    return f"{ticks} {_moment(ticks)}"


def is_alive(process: int, start: str) -> bool:
    """Say whether the process of this number that started at that time still runs.

    Examples
    --------
    >>> is_alive(os.getpid(), process_start(os.getpid())), is_alive(os.getpid(), "1 long ago")
    (True, False)
    """
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it runs, and is another user's
    fields = _status(process)
    if fields and fields[0] in GONE:
        return False
    found = process_start(process)
    return not (start and found) or found.split(" ")[0] == start.split(" ")[0]


def boot_id() -> str:
    """Give what tells one start of the machine from another; empty if unknown."""
    return _text(PROC / "sys/kernel/random/boot_id")


def namespace() -> str:
    """Give the process namespace, in which process numbers have their meaning; empty if unknown."""
    try:
        return str((PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _status(process: int) -> list[str]:
    """Give the fields of `/proc/PID/stat` from the state on; the name before them may hold anything."""
    return _text(PROC / str(process) / "stat").rpartition(")")[2].split()


def _moment(ticks: int) -> str:
    """Turn clock ticks since the machine was started into a moment."""
    boot = next((line.split()[1] for line in _text(PROC / "stat").splitlines() if line[:5] == "btime"), "0")
    seconds = int(boot) + ticks / os.sysconf("SC_CLK_TCK")
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def _start_by_ps(process: int) -> str:
    """Ask `ps`, where there is no `/proc`."""
    try:
        found = subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(process)],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except OSError:
        return ""
    words = found.stdout.split()
    return f"{'-'.join(words)} {' '.join(words)}" if words else ""


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
