"""What becomes of a malformed store, and how long it takes."""

import shutil
import time

from hostile.sound import read_everything

from tracekit.checking.verify import verify
from tracekit.errors import TraceError


def outcome(base, path, edit, original):
    """Make one store, open and read it, verify it; say what became of it, and how long that took."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)
    edit(path)
    started = time.process_time()
    said, faults = what_reading_says(path, original), what_verify_says(path)
    return {"said": said, "faults": faults, "seconds": time.process_time() - started}


def what_reading_says(path, original):
    """Say whether a store gives what the sound one gives, the same numbers in other words, or which error."""
    return tried(lambda: compared(read_everything(path), original), lambda e: f"{type(e).__name__}: {e}")


def what_verify_says(path):
    """Give how many faults are found; -1 where it is not taken for a trace."""
    return tried(lambda: len(verify(path, threads=1).faults), lambda _: -1)


def tried(action, refused):
    """Give what an action gives, or what `refused` makes of a `TraceError`; others end the script."""
    try:
        return action()
    except TraceError as error:
        return refused(error)


def compared(found, original):
    """Say whether what was found is the same as in the sound store, or less."""
    if found == original:
        return "same"
    return "different" if numbers_of(found) <= numbers_of(original) else "BROKEN: numbers are made up"


def numbers_of(found):
    """Give the values that are numbers; a sealed edit may well rename things."""
    return {value[2] for name, value in found.items() if name and not value[2].startswith("[")}
