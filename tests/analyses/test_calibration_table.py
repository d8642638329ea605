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
    assert list(ROWS) == [*calibration.REJECTIONS, *calibration.COVERAGES, *calibration.BEYOND]


def test_all_rates_are_within_bounds_but_those_beyond_what_a_test_is_for(calibration):
    for rows, (low, high) in (
        (calibration.REJECTIONS, calibration.REJECTION),
        (calibration.COVERAGES, calibration.COVERAGE),
    ):
        for name in rows:
            assert low <= float(ROWS[name]) <= high, name


def test_every_test_simulates(calibration):
    for name, row in {**calibration.REJECTIONS, **calibration.BEYOND}.items():
        assert 0 <= calibration.rate(row, 4)[0] <= 1, name


@pytest.mark.parametrize(
    ("every", "n_runs"),
    [(20, 100), (10, 500), (2, 100)],  # 0.05, 0.1 and 0.5 of 100 runs: a bound at 0.12, error 0.03
)
def test_a_rate_near_a_bound_is_simulated_more_often(calibration, every, n_runs):
    found, n = calibration.rate(lambda rng, seed: seed % every == 0, 100, (0.0, 0.12))
    assert (found, n) == (1 / every, n_runs)


def test_simulated_curves_are_as_correlated_as_they_are_said_to_be(calibration):
    simulations = sys.modules[calibration.page.__module__]
    curves = simulations.autoregression(np.random.default_rng(0), (400, 100), 0.8)
    np.testing.assert_allclose(curves.var(), 1.0, atol=0.05)
    np.testing.assert_allclose(np.mean(curves[:, 1:] * curves[:, :-1]), 0.8, atol=0.05)


@pytest.mark.slow
def test_intervals_over_seeds_cover(calibration):
    for n_seeds in (5, 8):
        for ratio in (1.0, 3.0):
            assert 0.93 <= calibration.rate(calibration.seeds_interval(n_seeds, ratio), 2000)[0] <= 0.97
