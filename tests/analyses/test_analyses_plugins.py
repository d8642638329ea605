"""The analyses as plug-ins: their numbers, tables and notes, in good runs and in odd ones."""

import inspect
import json

import numpy as np
import pytest
import xarray as xr
from statsmodels.stats.multitest import multipletests

from analyses.commands.continual import CONTINUAL
from analyses.commands.correction import CORRECTED_RECOVERY
from analyses.commands.mantel import MANTEL
from analyses.commands.norms import NORMS
from analyses.commands.order import ORDER_TEST
from analyses.commands.pairwise import PAIRWISE_RECOVERY
from analyses.commands.period import PERIOD
from analyses.commands.representation import REPRESENTATION
from analyses.commands.seeds import SEEDS
from analyses.commands.significance import RECOVERY_TEST, TREND
from analyses.registry import ONLINE_LOSS, RECOVERY, SHIFT_AVERAGED_LOSS, SIMILARITY, TRAJECTORY
from tracekit import plugins
from tracekit.errors import AnalysisError, TracekitError
from tracekit.testing import synthetic_runs, synthetic_trace

ALL = [
    RECOVERY,
    SHIFT_AVERAGED_LOSS,
    ONLINE_LOSS,
    SIMILARITY,
    TRAJECTORY,
    ORDER_TEST,
    CONTINUAL,
    CORRECTED_RECOVERY,
    NORMS,
    PERIOD,
    RECOVERY_TEST,
    TREND,
    SEEDS,
    PAIRWISE_RECOVERY,
    MANTEL,
]
SHUFFLED = [[0, 1, 2, 3], [3, 1, 2, 0], [2, 1, 0, 3]]


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(n_tasks=4, n_epochs=3)


def report(analysis, *traces, **options):
    return analysis.report(analysis.build(*traces, **options).compute())


def test_recovery_tells_scores_and_how_sure_they_are(trace):
    numbers = report(RECOVERY, trace).numbers
    np.testing.assert_allclose(numbers["recovery_score"], [0.25, 0.5])
    assert numbers["n_tasks"] == 4
    assert len(numbers["interval_low"]) == len(numbers["interval_high"]) == 2
    settings = {name: numbers[name] for name in ("method", "confidence", "order", "loss")}
    assert settings == {"method": "percentile", "confidence": 0.95, "order": "cyclic", "loss": "eval_loss"}


def test_order_test_tells_p_values_by_interval_and_pooled(trace):
    found = report(
        ORDER_TEST, trace, synthetic_trace(order=SHUFFLED, order_name="shuffled"), alternative="greater"
    )
    assert len(found.numbers["p_value"]) == 2
    assert 0 < found.numbers["pooled_p_value"] <= 1
    assert (found.numbers["order"], found.numbers["order_other"]) == ("cyclic", "shuffled")
    assert [row[0] for row in found.rows] == [1, 2, "all"]


def test_shift_averaged_and_online_loss_tell_their_losses(trace):
    shifted = report(SHIFT_AVERAGED_LOSS, trace).numbers
    assert shifted["offset"] == list(range(-4, 5))
    assert np.shape(shifted["shift_averaged_loss"]) == (3, 9)
    online = report(ONLINE_LOSS, trace).numbers
    np.testing.assert_allclose(online["online_loss_per_epoch"], [2.0, 1.75, 1.5])
    assert online["units"] == "nats per token"


@pytest.mark.parametrize("kind", ["weights", "gradients", "activations"])
@pytest.mark.parametrize("metric", ["cosine", "centered-cosine", "residual-cosine", "distance"])
def test_similarity_of_any_kind_by_any_metric_sees_the_cycle(trace, kind, metric):
    found = report(SIMILARITY, trace, kind=kind, metric=metric)
    contrast = found.numbers["contrast"]
    assert contrast < 0 if metric == "distance" else contrast > 0
    assert found.rows[-1][0] == 8


def test_select_takes_some_of_the_parameters(trace):
    found = SIMILARITY.build(trace, select="*bias", metric="distance").compute()
    expected = 2 * np.abs(np.sin(np.pi / 4))  # element 5 of the circle alone is in the bias
    np.testing.assert_allclose(found["similarity"].sel(visit=0, visit_other=1), expected / np.sqrt(2))
    assert TRAJECTORY.build(trace, select="*.weight", n_components=2).sizes["component"] == 2


def test_p_values_of_intervals_are_adjusted_for_their_number(trace):
    shuffled = synthetic_trace(order=SHUFFLED, order_name="shuffled")
    for analysis, traces in ((ORDER_TEST, (trace, shuffled)), (RECOVERY_TEST, (trace,))):
        numbers = report(analysis, *traces).numbers
        _, holm, *_ = multipletests(numbers["p_value"], method="holm")
        np.testing.assert_allclose(numbers["p_holm"], holm)
        _, benjamini_hochberg, *_ = multipletests(numbers["p_value"], method="fdr_bh")
        np.testing.assert_allclose(numbers["p_benjamini_hochberg"], benjamini_hochberg)


def test_p_values_of_the_same_visits_of_two_runs_are_adjusted(trace):
    found = report(REPRESENTATION, trace, trace, n_permutations=9)
    _, holm, *_ = multipletests(found.numbers["p_value"], method="holm")
    np.testing.assert_allclose(found.numbers["p_holm"], holm)
    assert any("choose --n-permutations 259 or more" in note for note in found.notes)
    assert "p_value" not in report(REPRESENTATION, trace, n_permutations=9).numbers
    assert "p_holm" not in report(REPRESENTATION, trace, trace, measure="procrustes").numbers


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_whatever_gives_a_p_value_says_its_null_hypothesis(name):
    analysis = plugins.load("tracekit.analyses", name)
    built = analysis.build(*synthetic_runs(analysis.n_traces[0]))
    assert ("p_value" in built) == ("Null hypothesis" in analysis.details)


def test_trajectory_tells_the_path(trace):
    numbers = report(TRAJECTORY, trace).numbers
    np.testing.assert_allclose(sum(numbers["explained_variance_ratio"]), 1.0)
    np.testing.assert_allclose(numbers["path_length"], 12 * np.sqrt(2))
    np.testing.assert_allclose(numbers["final_displacement"], 0.0, atol=1e-6)


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
@pytest.mark.parametrize(
    "sizes", [{"n_tasks": 1, "n_epochs": 3}, {"n_tasks": 3, "n_epochs": 1}, {"n_tasks": 1, "n_epochs": 1}]
)
def test_one_task_and_one_epoch_are_told_not_crashed_on(analysis, sizes):
    traces = [synthetic_trace(**sizes)] * analysis.n_traces[0]
    found = report(analysis, *traces)
    json.dumps(found.numbers)
    assert all(len(row) == len(found.columns) for row in found.rows)


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
@pytest.mark.parametrize("kind", ["weights", "gradients"])
def test_a_run_that_has_only_begun_is_told_not_crashed_on(trace, analysis, kind):
    nodes = {path: node.to_dataset() for path, node in trace.subtree_with_keys}
    begun = xr.DataTree.from_dict(
        {
            path: node.isel(visit=node["visit"] < 1) if "visit" in node.dims else node
            for path, node in nodes.items()
        }
    )
    options = {"kind": kind} if "kind" in analysis.options else {}
    found = report(analysis, *[begun] * analysis.n_traces[0], **options)
    json.dumps(found.numbers)


def test_notes_say_why_a_score_is_not_defined(trace):
    assert any(
        "no task has been trained twice" in note
        for note in report(RECOVERY, synthetic_trace(n_epochs=1)).notes
    )
    assert any("nothing was forgotten" in note for note in report(RECOVERY, synthetic_trace(n_tasks=1)).notes)
    broken = trace.copy(deep=True)
    losses = broken["losses"].to_dataset().compute()
    losses["eval_loss"][3, 1] = np.nan
    broken["losses"] = xr.DataTree(losses)
    found = report(RECOVERY, broken)
    assert (
        "Interval 1: a loss is NaN or infinite (first: task-1, visits 2 – 5), so the recovery score is not "
        "defined."
    ) in found.notes
    np.testing.assert_allclose(found.numbers["recovery_score"], [np.nan, 0.5])


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
def test_what_was_not_recorded_is_named(trace, analysis):
    empty = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=trace.attrs), "/other/flat": trace["weights/flat"].to_dataset()}
    )
    missing = "weights" if "kind" in analysis.options else "losses"
    if analysis is PAIRWISE_RECOVERY:
        missing = "pairwise_recovery"
    with pytest.raises(AnalysisError, match=rf"memory: expected '?{missing}'?, found other; record"):
        analysis.build(*[empty] * analysis.n_traces[0])


def test_names_that_match_nothing_are_an_error(trace):
    with pytest.raises(TracekitError, match=r"no name in .* matches"):
        SIMILARITY.build(trace, select="*nothing*")


@pytest.mark.parametrize("analysis", ALL, ids=lambda analysis: analysis.name)
def test_every_option_is_annotated_has_a_default_and_is_explained(analysis):
    parameters = inspect.signature(analysis.build).parameters.values()
    options = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    assert {option.name for option in options} == set(analysis.options)
    assert all(
        option.default is not option.empty and option.annotation is not option.empty for option in options
    )
