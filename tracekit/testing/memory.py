"""How much memory a process has had."""

import sys
from pathlib import Path


def peak_memory() -> int:
    """Most memory that this process has had resident at one time, in bytes.

    On Linux the high-water mark of the process's own memory (``VmHWM``) is read. ``ru_maxrss`` of `getrusage`
    is not: it begins with what the parent had when it started the process, so that a large parent hides
    whatever a measured child does.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> from tracekit.testing import peak_memory
    >>> taken = bytearray(b"1" * 50_000_000)
    >>> peak_memory() > 50_000_000
    True
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    import resource  # not there on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
