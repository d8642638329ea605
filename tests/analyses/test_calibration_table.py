"""The simulations of `make calibrate` run, and the table that they wrote is within bounds."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ROWS = dict(
    re.findall(r"^\| (.+?) \| (\d\.\d+) \|", (ROOT / "docs" / "calibration.md").read_text(), re.MULTILINE)
)
KNOWN_OUTSIDE = {
    "order_test of losses as they are, paired, 16 tasks, memory 0.8, shared noise",
    "seeds_interval, 3 seeds that do not differ but by their tasks",
}


@pytest.fixture(scope="module")
def calibration():
    folder = ROOT / "benchmarks" / "calibration"
    spec = importlib.util.spec_from_file_location("calibration", folder / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        spec.loader.exec_module(module)
    return module


def test_make_calibrate_starts():
    """A script's own folder comes first on the path: none of its files may be called as a package is."""
    recipe = re.search(
        r"^calibrate:.*\n\t\$\(BIN\)/python (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    done = subprocess.run(
        [sys.executable, *recipe[1].split(), "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "--simulations" in done.stdout


def test_the_table_has_every_row(calibration):
    assert set(ROWS) == {*calibration.REJECTIONS, *calibration.COVERAGES}


def test_rates_are_within_bounds_but_for_those_known_to_be_outside(calibration):
    for name, rate in ROWS.items():
        low, high = calibration.REJECTION if name in calibration.REJECTIONS else calibration.COVERAGE
        assert low <= float(rate) <= high or name in KNOWN_OUTSIDE, name


def test_every_test_simulates(calibration):
    for name, row in calibration.REJECTIONS.items():
        assert 0 <= calibration.rate(row, 4) <= 0.75, name


def test_simulated_curves_are_as_correlated_as_they_are_said_to_be(calibration):
    simulations = sys.modules[calibration.page.__module__]
    curves = simulations.autoregression(np.random.default_rng(0), (400, 100), 0.8)
    np.testing.assert_allclose(curves.var(), 1.0, atol=0.05)
    np.testing.assert_allclose(np.mean(curves[:, 1:] * curves[:, :-1]), 0.8, atol=0.05)


@pytest.mark.slow
def test_intervals_over_seeds_cover(calibration):
    for n_seeds in (5, 8):
        for ratio in (1.0, 3.0):
            assert 0.93 <= calibration.rate(calibration.seeds_interval(n_seeds, ratio), 2000) <= 0.97
