"""A trace from anyone may be opened: it gives an error of ours that names the place, within bounds.

The stores are made, opened and read in processes of their own, under a limit of memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile.corpus import corpus
from hostile.variants import VARIANTS

FOLDER = Path(__file__).parents[1]
SECONDS = 20
STEP = 12


def run(folder, *arguments):
    path = os.pathsep.join([str(FOLDER), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", "hostile", folder, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=550,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def check(outcomes):
    for name, found in outcomes.items():
        assert found["said"].startswith(("NotATraceError: /", "DamagedTraceError: /")), (name, found)
        assert isinstance(found["faults"], int), (name, found)
        assert found["faults"] != 0, f"{name}: verify finds no fault"
        assert found["seconds"] < SECONDS, (name, found)


def test_the_corpus_is_large():
    names = list(corpus())
    assert len(names) >= 300
    assert len({name.split(":")[0] for name in names}) == 4


def test_a_sample_of_the_corpus(tmp_path):
    check(run(tmp_path, "corpus", 0, STEP))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1, STEP))
def test_the_whole_corpus(tmp_path, start):
    check(run(tmp_path, "corpus", start, STEP))


def test_random_edits(tmp_path):
    counts = run(tmp_path, "random", 60)
    assert counts["errors"] > 20
    assert counts["slowest"] < SECONDS


@pytest.mark.slow
def test_many_random_edits(tmp_path):
    counts = run(tmp_path, "random", 3000)
    assert counts["errors"] > 1000
    assert counts["slowest"] < SECONDS


def check_variant(outcomes):
    """What is read is a number of the sound trace, at most under another name; most is an error."""
    told = [found["said"] for found in outcomes.values()]
    for name, found in outcomes.items():
        assert found["said"].startswith(("NotATraceError: /", "DamagedTraceError: /", "same", "different")), (
            name,
            found,
        )
        assert isinstance(found["faults"], int), (name, found)
        assert found["seconds"] < SECONDS, (name, found)
    assert sum("Error: /" in said for said in told) > 0.8 * len(told)


def test_a_sample_of_other_traces(tmp_path):
    check_variant(run(tmp_path, "corpus", 5, 40, "open-ended"))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_of_other_traces(tmp_path, variant, start):
    check_variant(run(tmp_path, "corpus", start, 4, variant))


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_random_edits_of_other_traces(tmp_path, variant):
    counts = run(tmp_path, "random", 1000, variant)
    assert counts["errors"] > 300
    assert counts["slowest"] < SECONDS
