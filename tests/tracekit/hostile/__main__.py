"""Make malformed stores, and say what becomes of each, under limits of memory and time.

    python -m hostile FOLDER corpus START STEP     every STEP-th of the named ones from START on
    python -m hostile FOLDER random COUNT          as many made by hypothesis
    python -m hostile FOLDER corpus START STEP VARIANT     the same of another sound trace
    python -m hostile FOLDER random COUNT VARIANT

Each store is a small sound trace with one thing changed. Prints one JSON object: outcomes by name.
"""

import json
import resource
import sys
from pathlib import Path

from hostile.corpus import corpus, corpus_of
from hostile.outcomes import outcome
from hostile.random_edits import random_edits
from hostile.sound import read_everything, write_base
from hostile.variants import VARIANTS, write_variant

from tracekit.checking.verify import verify

MEMORY_BYTES = 1 << 30


def limit_memory():
    """Allow as much memory as is used now, and 1 GiB more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main(folder, mode, *arguments):
    """Do what the arguments say."""
    variant = next((name for name in arguments if name in VARIANTS), None)
    base = Path(folder) / "base.zarr"
    if not base.exists():
        write_base(base) if variant is None else write_variant(variant, base)
    original = read_everything(base)
    assert verify(base).faults == ()
    limit_memory()
    numbers = [int(text) for text in arguments if text != variant]
    edits = corpus_of(base) if variant else corpus()
    print(json.dumps(MODES[mode](Path(folder), base, original, edits, *numbers)))


def named(folder, base, original, edits, start, step):
    """Give the outcomes of some of the corpus."""
    path = folder / f"hostile-{start}.zarr"
    found = {}
    for name, edit in list(edits.items())[start::step]:
        print(name, file=sys.stderr)  # the last one before a traceback is the store that made it
        found[name] = outcome(base, path, edit, original)
    return found


def at_random(folder, base, original, edits, count):
    """Give what became of random edits."""
    return random_edits(base, folder / "random.zarr", count, original)


MODES = {"corpus": named, "random": at_random}

if __name__ == "__main__":
    main(*sys.argv[1:])
