"""From opening a trace to asking for a number, nothing is computed; and then memory stays bounded."""

import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from tracekit import open_trace, plugins
from tracekit.errors import AnalysisError
from tracekit.store import LocalStore
from tracekit.testing import no_compute
from tracekit.testing.written import write_example_trace

ROOT = Path(__file__).parent.parent


def differing(number):
    """What runs say of themselves that are not of one order and size."""
    signature = {"layer.weight": f"float32[{number + 1}, 3]"}
    return {"order": f"order {number}", "attributes": {"model_signature": signature}}


@pytest.fixture
def reads(monkeypatch):
    """The keys of all data that is read: metadata and coordinates do not count."""
    keys = []
    small = ("/zarr.json", "commit/", "visits/", "/visit/", "/update/", "/update_visit/")

    def watched(read):
        def reading(self, key, *arguments):
            if not any(part in f"/{key}" for part in small):
                keys.append(key)
            return read(self, key, *arguments)

        return reading

    for name in ("get", "open"):
        monkeypatch.setattr(LocalStore, name, watched(getattr(LocalStore, name)))
    return keys


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_opening_and_building_an_analysis_computes_nothing(tmp_path, reads, name):
    analysis = plugins.load("tracekit.analyses", name)
    n_traces = analysis.n_traces[1] or 2
    paths = [
        write_example_trace(tmp_path / f"{n}.zarr", n_epochs=4, n_probes=5, **differing(n))
        for n in range(n_traces)
    ]
    with no_compute():
        lazy = analysis.build(*map(open_trace, paths))
    assert not reads
    assert analysis.report(lazy.compute()).numbers
    assert reads


@pytest.mark.parametrize("name", plugins.names("tracekit.figures"))
def test_building_a_figure_computes_nothing(tmp_path, reads, name):
    figure = plugins.load("tracekit.figures", name)
    traces = {}
    for size in (1, 2):  # a setting that differs, for figures over many runs
        facts = {"model_signature": {"layer.weight": f"float32[{size}, 3]"}}
        path = write_example_trace(tmp_path / f"{size}.zarr", n_epochs=4, n_probes=5, attributes=facts)
        traces[f"run {size}"] = open_trace(path)
    missing = name.removeprefix("similarity-") in ("gradients", "tasks")
    with no_compute(), pytest.raises(AnalysisError, match="recorded") if missing else nullcontext():
        figure.build(traces)
    assert not reads


@pytest.mark.slow
def test_the_gram_matrix_of_a_two_gigabyte_trace_takes_less_than_one():
    """126 visits × 4 million float32, written and read back through everything there is."""
    program = [sys.executable, ROOT / "benchmarks" / "analyses.py", "--only", "gram", "--repeats", "1"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=1800, check=True)
    peaks = re.findall(r"^  (tracekit|the last added) .* (\d+) MiB", done.stdout, re.MULTILINE)
    assert len(peaks) == 2
    assert all(int(peak) < 1024 for _, peak in peaks)
    errors = re.findall(r"largest relative error.*: (\S+)", done.stdout)
    assert len(errors) == 3
    assert all(float(error) < 1e-9 for error in errors), "against float64 throughout"
