"""Documents changed at random."""

import json
import shutil
import time

from hostile.corpus import documents_of
from hostile.editing import sealed, set_at
from hostile.outcomes import numbers_of
from hostile.sound import read_everything
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracekit.errors import TraceError

PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([2**40, "visit"])
)
ANYTHING = st.recursive(
    PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8
)


def ways(value, path=()):
    """Give the path of every entry of a document."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from ways(inner, (*path, key))
        else:
            yield (*path, key)


def random_edits(base, path, count, original):
    """Let hypothesis change entries of documents; no value may come out that was not put in."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(base, path)
    documents = documents_of(base)
    texts_of = {key: (base / key / "zarr.json").read_text() for key in documents}
    known = numbers_of(original)
    counts = {"errors": 0, "read": 0, "slowest": 0.0}

    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(documents), st.data())
    def no_harm(key, data):
        document = json.loads(texts_of[key])
        set_at(document, data.draw(st.sampled_from(list(ways(document)))), data.draw(ANYTHING))
        (path / key / "zarr.json").write_bytes(sealed(document))
        started = time.process_time()
        try:
            assert numbers_of(read_everything(path)) <= known, "values made up"
            counts["read"] += 1
        except TraceError:
            counts["errors"] += 1
        finally:
            counts["slowest"] = max(counts["slowest"], time.process_time() - started)
            (path / key / "zarr.json").write_text(texts_of[key])

    no_harm()
    return counts
