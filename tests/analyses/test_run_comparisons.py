"""`tracekit analyze group-test` and `run-trend`: numbers of runs by what their configurations say."""

import numpy as np
import pytest
from scipy import stats

from analyses import page, recovery
from analyses.commands.configured import number_of_each
from analyses.commands.group_test import GROUP_TEST
from analyses.commands.run_trend import RUN_TREND
from analyses.kernels.comparisons import hodges_lehmann
from tracekit.errors import AnalysisError, PluginError
from tracekit.testing import synthetic_runs, synthetic_trace

SCORES = [0.1, 0.3, 0.2, 0.5, 0.7, 0.4, 0.6, 0.8]


def run(number, score, *, order="cyclic", size=1, seed=0):
    facts = {"path": f"run-{number}", "configuration": {"seed": seed}}
    signature = {"model_signature": {"weight": f"float32[{size}]"}}
    return synthetic_trace(
        recovery_scores=[score], order_name=order, attributes=facts | signature, n_tasks=5, n_epochs=2
    )


@pytest.fixture(scope="module")
def runs():
    """Two orders, four sizes, each size with two seeds; scores rise with the size, but for some."""
    places = enumerate(zip(SCORES, ["cyclic", "shuffled"] * 4, strict=True))
    return [run(n, score, order=order, size=n // 2 + 1, seed=n % 2) for n, (score, order) in places]


def report(analysis, traces, **options):
    return analysis.report(analysis.build(*traces, **options).compute())


def of_order(order):
    return SCORES[::2] if order == "cyclic" else SCORES[1::2]


def test_groups_are_compared_as_scipy_and_loops_do(runs):
    numbers = report(GROUP_TEST, runs).numbers
    first, second = of_order("cyclic"), of_order("shuffled")
    differences = [one - other for one in first for other in second]
    assert (numbers["first"], numbers["second"]) == (["cyclic"], ["shuffled"])
    assert (numbers["n_first"], numbers["n_second"]) == ([4], [4])
    np.testing.assert_allclose(numbers["hodges_lehmann"], np.median(differences))
    np.testing.assert_allclose(numbers["cliffs_delta"], np.mean(np.sign(differences)))
    np.testing.assert_allclose(numbers["p_value"], stats.mannwhitneyu(first, second).pvalue)


def test_every_pair_of_groups_is_a_test_among_many(runs):
    found = report(GROUP_TEST, runs, by="model_size")
    assert [row[:2] for row in found.rows] == [
        ("1", "2"),
        ("1", "3"),
        ("1", "4"),
        ("2", "3"),
        ("2", "4"),
        ("3", "4"),
    ]
    expected = np.minimum(1.0, 6 * min(found.numbers["p_value"]))
    assert min(found.numbers["p_holm"]) == pytest.approx(expected)
    assert any("Of 2 and 2 runs no p falls below 0.33" in note for note in found.notes)


def test_differences_are_in_the_units_of_the_metric(runs):
    found = report(GROUP_TEST, runs, metric="forgetting")
    assert found.numbers["units"] == "nats per token"
    assert "difference (nats per token)" in found.columns


@pytest.mark.parametrize("blocks", [None, "seed"])
def test_trends_are_those_of_scipy_and_loops(runs, blocks):
    numbers = report(RUN_TREND, runs, blocks=blocks, n_resamples=199).numbers
    sizes = [1, 1, 2, 2, 3, 3, 4, 4]
    tau = stats.kendalltau(sizes, SCORES)
    rising = [SCORES[j] > SCORES[i] for i in range(8) for j in range(8) if sizes[j] > sizes[i]]
    expected = [tau.statistic, sum(rising)]
    if blocks is not None:
        by_seed = stats.page_trend_test([SCORES[::2], SCORES[1::2]])
        expected.append(by_seed.statistic)
        assert numbers["p_value"][2] == pytest.approx(by_seed.pvalue)
    np.testing.assert_allclose(numbers["statistic"], expected)
    assert numbers["p_value"][0] == pytest.approx(tau.pvalue)
    assert numbers["p_value"][1] <= 0.05


def test_means_at_each_value_are_told(runs):
    notes = report(RUN_TREND, runs, n_resamples=9).notes
    assert any("Means: 0.2 at 1 (2 runs), 0.35 at 2 (2 runs)" in note for note in notes)


def test_a_run_without_a_score_is_named(runs):
    unfinished = synthetic_trace(
        n_tasks=5, n_epochs=1, attributes={"path": "short", "model_signature": {"w": "f4[9]"}}
    )
    found = report(RUN_TREND, [*runs, unfinished], n_resamples=9)
    assert "Not defined for short: left out by Kendall's test; the others need all." in found.notes
    assert found.numbers["statistic"][0] == pytest.approx(report(RUN_TREND, runs).numbers["statistic"][0])


@pytest.mark.parametrize("analysis", [GROUP_TEST, RUN_TREND])
def test_scores_above_one_come_with_a_warning_that_says_why(analysis):
    scores = [0.2, 1.3, 0.4, 1.1, 1.2, 1.4, 1.5, 1.6]
    traces = [run(n, score, size=n // 4 + 1, seed=n) for n, score in enumerate(scores)]
    found = report(analysis, traces, by="model_size")
    names = "Warning: recovery of run-1, run-3, run-4, run-5, run-6 and 1 more: a score in it exceeds 1"
    assert [note for note in found.notes if note.startswith(names)] == found.numbers["warnings"] != []
    other = report(analysis, traces, by="model_size", metric="forgetting")
    assert other.numbers["warnings"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "ordr"}, "no setting 'ordr' to compare runs by: did you mean 'order'"),
        ({"by": "status"}, "found complete in all 8 runs; these runs differ in model_size, seed, order"),
        ({"by": "optimizer"}, "run run-0: expected a setting 'optimizer', found none"),
        ({"metric": "recvery"}, "did you mean 'recovery'"),
    ],
)
def test_what_cannot_be_compared_is_said(runs, options, message):
    for analysis in (GROUP_TEST, RUN_TREND):
        with pytest.raises((AnalysisError, PluginError), match=message):
            analysis.build(*runs, **options)


def test_a_trend_needs_numbers_and_whole_blocks(runs):
    with pytest.raises(AnalysisError, match=r"order: expected numbers.*cyclic, shuffled; .*`group-test`"):
        RUN_TREND.build(*runs, by="order")
    with pytest.raises(AnalysisError, match="each of 4 levels with the same model_size, found no such block"):
        RUN_TREND.build(*runs, blocks="model_size")


def test_the_number_of_each_run_is_the_metric_of_tables(runs):
    values = number_of_each(runs, by="order", metric="recovery")
    each = [float(recovery(trace["losses"].to_dataset())["recovery_score"].mean()) for trace in runs]
    np.testing.assert_allclose(values, each)
    assert values["run"].values[0] == "run-0"
    assert values.attrs["units"] == "1"


def test_runs_that_recorded_no_losses_are_an_error():
    traces = synthetic_runs(2)
    for trace in traces:
        del trace["losses"]
    with pytest.raises(AnalysisError, match="no run holds 'losses': there are activations"):
        GROUP_TEST.build(*traces)


def test_hodges_lehmann_leaves_out_what_is_missing():
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 5)), rng.standard_normal((2, 4))
    first[0, 1] = np.nan
    slow = [
        np.median([x - y for x in row if x == x for y in other])
        for row, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(hodges_lehmann(first, second), slow)
    assert np.isnan(hodges_lehmann(np.full(2, np.nan), second[0]))


def test_page_takes_any_dims():
    values = recovery(synthetic_trace(n_epochs=6, n_tasks=5)["losses"].to_dataset())["task_recovery_score"]
    expected = stats.page_trend_test(values.compute().transpose("task", "interval").values)
    found = page(values.rename(task="seed", interval="size"), unit="seed", condition="size").compute()
    assert found["page_l"].item() == expected.statistic
    assert found["n_units"].item() == 5
