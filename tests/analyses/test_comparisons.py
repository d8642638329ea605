"""Effect sizes and adjusted p-values against loops, and against statsmodels."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from statsmodels.stats.multitest import multipletests

from analyses.comparisons import adjusted, effect_size
from analyses.kernels import comparisons as kernels
from tracekit.errors import AnalysisError

PROBABILITIES = hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0.0, 1.0))


@given(PROBABILITIES)
@settings(deadline=None, max_examples=50)  # scipy and statsmodels are imported within the first call
def test_adjusted_p_values_are_those_of_statsmodels(p_values):
    for kernel, theirs in ((kernels.holm, "holm"), (kernels.benjamini_hochberg, "fdr_bh")):
        np.testing.assert_allclose(kernel(p_values), multipletests(p_values, method=theirs)[1], atol=1e-12)


def test_the_example_of_benjamini_and_hochberg():
    """Fifteen p-values of doi:10.1111/j.2517-6161.1995.tb02031.x: four are found, and three by Bonferroni."""
    p_values = np.array([0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344])
    p_values = np.append(p_values, [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0])
    assert (kernels.benjamini_hochberg(p_values) <= 0.05).sum() == 4
    assert (kernels.holm(p_values) <= 0.05).sum() == 3


@pytest.mark.parametrize("method", ["holm", "benjamini-hochberg"])
def test_nan_are_no_tests(method):
    p_values = xr.DataArray([0.01, np.nan, 0.04], dims="interval")
    found = adjusted(p_values, method=method)
    np.testing.assert_allclose(found, [0.02, np.nan, 0.04])
    assert np.isnan(adjusted(p_values * np.nan, method=method)).all()


def test_other_dims_are_kept_in_place():
    p_values = xr.DataArray([[0.01, 0.04], [0.02, 0.5]], dims=("interval", "run"))
    np.testing.assert_allclose(adjusted(p_values), [[0.02, 0.08], [0.02, 0.5]])


def test_an_unknown_method_is_named():
    with pytest.raises(AnalysisError, match="expected one of holm, benjamini-hochberg, found 'bonferroni'"):
        adjusted(xr.DataArray([0.1], dims="interval"), method="bonferroni")


def slow_delta(first, second):
    wins = sum(x > y for x in first for y in second) - sum(x < y for x in first for y in second)
    return wins / (len(first) * len(second))


def test_effect_size_is_that_of_loops_and_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 6, (3, 9)).astype(float), rng.integers(1, 7, (3, 7)).astype(float)
    first[1, 2], second[2, 5] = np.nan, np.nan
    labelled = [xr.DataArray(each, dims=("interval", "task")) for each in (first, second)]
    found = effect_size(*labelled)
    for n in range(3):
        one, other = (each[n][~np.isnan(each[n])] for each in (first, second))
        np.testing.assert_allclose(found["cliffs_delta"][n], slow_delta(one, other))
        test = scipy.stats.mannwhitneyu(one, other)
        np.testing.assert_allclose(found["mann_whitney_u"][n], test.statistic)
        np.testing.assert_allclose(found["p_value"][n], test.pvalue)


def test_nan_are_left_out_of_either_sample_and_empty_samples_have_no_effect():
    first = xr.DataArray([1.0, np.nan, 3.0], dims="task", coords={"task": list("abc")})
    second = xr.DataArray([0.0, 2.0], dims="task")
    assert effect_size(first, second)["cliffs_delta"] == slow_delta([1, 3], [0, 2])
    empty = effect_size(first * np.nan, second)
    assert all(np.isnan(values) for values in empty.data_vars.values())


@pytest.mark.parametrize("n_second", [1, 4, 5])
def test_the_shift_is_the_median_over_pairs_in_units_of_the_values(n_second):
    rng = np.random.default_rng(n_second)
    first, second = rng.exponential(size=6), rng.exponential(size=n_second)
    labelled = [xr.DataArray(np.append(each, np.nan), dims="task") for each in (first, second)]
    found = effect_size(*(each.assign_attrs(units="nats") for each in labelled))
    apart = sorted(x - y for x in first for y in second)
    low, high = apart[(len(apart) - 1) // 2], apart[len(apart) // 2]
    np.testing.assert_allclose(found["hodges_lehmann"], (low + high) / 2)
    units = {name: values.attrs["units"] for name, values in found.items()}
    assert {name for name, each in units.items() if each != "1"} == {"hodges_lehmann"}
    assert units["hodges_lehmann"] == "nats"
    np.testing.assert_allclose(found["p_value"], scipy.stats.mannwhitneyu(first, second).pvalue)
