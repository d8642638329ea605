"""Random damage to traces without a known end, of several writers, of half precision, of statistics."""

import numpy as np
import pytest
from hostile.sound import read_everything
from hostile.variants import VARIANTS, write_variant

from tracekit.checking.verify import verify
from tracekit.errors import TraceError
from tracekit.format import layout


@pytest.fixture(params=VARIANTS)
def path(request, tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "CHUNK_BYTES", 32)
    monkeypatch.setattr(layout, "SHARD_BYTES", 64)
    write_variant(request.param, tmp_path / "run.zarr")
    return tmp_path / "run.zarr"


def damaged(data, generator):
    """Give bytes one of which is flipped, or fewer of them, or None for none at all."""
    kind, place = generator.integers(10), generator.integers(len(data))
    if kind == 0:
        return None
    if kind == 1:
        return data[:place]
    return data[:place] + bytes([data[place] ^ 1 << generator.integers(8)]) + data[place + 1 :]


def said(path):
    """Give what reading gives, None if that is an error; and the keys that verify names, None if an error."""
    try:
        found = read_everything(path)
    except TraceError:
        found = None
    try:
        return found, {fault.key for fault in verify(path, threads=1).faults}
    except TraceError:
        return found, None


def damage_often(path, count, seed):
    """Damage one file at a time; it is named by verify, and what is read is what was written."""
    original, generator = read_everything(path), np.random.default_rng(seed)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    n_unread = 0
    for _ in range(count):
        file = files[generator.integers(len(files))]
        sound = file.read_bytes()
        broken = damaged(sound, generator)
        file.unlink() if broken is None else file.write_bytes(broken)
        found, named = said(path)
        key = str(file.relative_to(path))
        assert found is None or found == original, f"{key}: numbers changed in silence"
        if file.name != "zarr.json":
            assert key in (named or ()), f"{key}: {named}"
            n_unread += found is not None
        elif found is None:  # a blank in JSON may become another
            assert named is None or named, f"{key}: verify finds nothing"
        file.write_bytes(sound)
    assert verify(path).faults == ()
    return n_unread


def test_damage_is_never_a_wrong_number_in_other_traces(path):
    assert damage_often(path, 25, seed=0) < 10


@pytest.mark.slow
def test_nor_is_it_a_thousand_times(path):
    assert damage_often(path, 1000, seed=1) < 300
