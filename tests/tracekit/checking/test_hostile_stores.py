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
