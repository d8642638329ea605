"""Make malformed stores, and say what becomes of each, under limits of memory and time.

    python -m hostile FOLDER corpus START STEP     every STEP-th of the named ones from START on
    python -m hostile FOLDER random COUNT          as many made by hypothesis

Each store is a small sound trace with one thing changed. Prints one JSON object: outcomes by name.
"""

import json
import resource
import sys
from pathlib import Path

from hostile.corpus import corpus
from hostile.outcomes import outcome
from hostile.random_edits import random_edits
from hostile.sound import read_everything, write_base

from tracekit.checking.verify import verify

MEMORY_BYTES = 1 << 30


def limit_memory():
    """Allow as much memory as is used now, and 1 GiB more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(folder, mode, *numbers):
    """Do what the arguments say."""
    base = Path(folder) / "base.zarr"
    if not base.exists():
        write_base(base)
    original = read_everything(base)
    assert verify(base).faults == ()
    limit_memory()
    print(json.dumps(MODES[mode](Path(folder), base, original, *map(int, numbers))))


def named(folder, base, original, start, step):
    """Give the outcomes of some of the corpus."""
    path = folder / f"hostile-{start}.zarr"
    chosen = list(corpus().items())[start::step]
    return {name: outcome(base, path, edit, original) for name, edit in chosen}


def at_random(folder, base, original, count):
    """Give what became of random edits."""
    return random_edits(base, folder / "random.zarr", count, original)


MODES = {"corpus": named, "random": at_random}

if __name__ == "__main__":
    main(*sys.argv[1:])
