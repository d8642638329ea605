"""Means of runs at each level of a setting against loops and scipy, and the figure of them."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import LineCollection
from scipy import stats

from analyses import level_means
from analyses.figures.registry import BY_SETTING
from tracekit.errors import AnalysisError, PluginError
from tracekit.testing import no_compute, synthetic_trace

UPDATES = [1, 1, 1, 30, 30, 5, 5, 5]
SCORES = [0.1, 0.3, 0.2, 0.5, 0.7, 0.4, 0.6, 0.8]


def slow(values, setting, confidence):
    rows = []
    for level in sorted(set(setting)):
        known = [v for v, s in zip(values, setting, strict=True) if s == level and not np.isnan(v)]
        low, high = np.nan, np.nan
        if len(known) > 1:
            low, high = stats.t.interval(
                confidence, len(known) - 1, loc=np.mean(known), scale=stats.sem(known)
            )
        rows.append([np.mean(known) if known else np.nan, low, high, len(known)])
    return np.array(rows)


@pytest.mark.parametrize("confidence", [0.5, 0.95])
@pytest.mark.parametrize("setting", [UPDATES, [str(each) for each in UPDATES]], ids=["numbers", "texts"])
def test_means_and_intervals_are_those_of_a_loop(confidence, setting):
    values = np.array([*SCORES[:3], np.nan, 0.7, np.nan, np.nan, np.nan])
    found = level_means(
        xr.DataArray(values, dims="run", attrs={"units": "nats"}).chunk(),
        xr.DataArray(setting, dims="run"),
        confidence=confidence,
    )
    assert found.chunks
    assert [each.attrs["units"] for each in found.values()] == ["nats"] * 3 + ["1"]
    columns = [found[name] for name in ("level_mean", "interval_low", "interval_high", "n_runs")]
    np.testing.assert_allclose(np.transpose(columns), slow(values, setting, confidence))
    assert found["level"].values.tolist() == sorted(set(setting))


def test_intervals_hold_the_mean_as_often_as_they_say():
    values = np.random.default_rng(0).standard_normal((4000, 5)) + 3
    found = level_means(xr.DataArray(values, dims=("repeat", "run")), xr.DataArray([7] * 5, dims="run"))
    held = (found["interval_low"] < 3) & (found["interval_high"] > 3)
    assert abs(held.mean().item() - 0.95) < 5 * (0.95 * 0.05 / 4000) ** 0.5


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95])
def test_a_confidence_that_is_none(confidence):
    with pytest.raises(AnalysisError, match="between 0 and 1, found"):
        level_means(xr.DataArray([1.0], dims="run"), xr.DataArray([1], dims="run"), confidence=confidence)


def run(number, updates, score, order="cyclic"):
    configuration = {"seed": number, "training": {"updates_per_visit": updates, "order": order}}
    facts = {"path": f"run-{number}", "configuration": configuration}
    facts |= {"model_signature": {"weight": "float32[3]"}}
    return synthetic_trace(recovery_scores=[score], order_name=order, attributes=facts, n_tasks=5, n_epochs=2)


@pytest.fixture(scope="module")
def traces():
    """Runs of three numbers of updates in cyclic order, and two of one number in another."""
    rows = [(*row, "cyclic") for row in zip(UPDATES, SCORES, strict=True)]
    rows += [(5, 0.0, "shuffled"), (5, 0.1, "shuffled")]
    return {f"run-{n}": run(n, *row) for n, row in enumerate(rows)}


def built(traces, **options):
    return BY_SETTING.build(traces, **{"by": "training.updates_per_visit", **options})


def test_the_figure_holds_the_means_of_each_order(traces):
    with no_compute():
        dataset = built(traces)
    found = dataset.compute()
    assert found["run"].values.tolist() == ["cyclic", "shuffled"]
    one = found.sel(run="cyclic")
    columns = [one[name] for name in ("level_mean", "interval_low", "interval_high", "n_runs")]
    np.testing.assert_allclose(np.transpose(columns), slow(SCORES, UPDATES, 0.95))
    assert found["level_mean"].sel(run="shuffled").values.round(6).tolist()[1] == 0.05
    assert found["level_mean"].sel(run="shuffled").isnull().values.tolist() == [True, False, True]


def test_the_figure_shows_what_it_holds(traces):
    dataset = built(traces).compute()
    figure = BY_SETTING.draw(dataset)
    axes = figure.axes[0]
    (line,) = [each for each in axes.lines if each.get_label() == "cyclic"]
    one = dataset.sel(run="cyclic")
    np.testing.assert_array_equal(line.get_xdata(), [1, 5, 30])
    np.testing.assert_array_equal(line.get_ydata(), one["level_mean"])
    bars = next(each for each in axes.collections if isinstance(each, LineCollection)).get_segments()
    np.testing.assert_allclose(
        [[low[1], high[1]] for low, high in bars], np.transpose([one["interval_low"], one["interval_high"]])
    )
    points = axes.lines[0]
    np.testing.assert_array_equal(points.get_xdata(), UPDATES)
    np.testing.assert_allclose(points.get_ydata(), SCORES)
    assert axes.get_xscale() == "log"
    assert axes.get_xlabel() == "training.updates_per_visit"
    assert "10 in all" in figure.get_supxlabel().replace("\n", " ")


def test_scores_above_one_come_with_a_warning(traces):
    high = {**traces, "high": run(99, 5, 1.3)}
    notes = BY_SETTING.draw(built(high).compute()).get_supxlabel().replace("\n", " ")
    assert "Warning: recovery of high: a score in it exceeds 1" in notes
    assert "Warning" not in BY_SETTING.draw(built(traces).compute()).get_supxlabel()


def test_settings_that_are_texts_stand_beside_each_other(traces):
    dataset = built(traces, by="order", metric="forgetting").compute()
    axes = BY_SETTING.draw(dataset).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cyclic", "shuffled"]
    assert axes.get_ylabel() == "forgetting [nats per token]"


def test_what_cannot_be_drawn_says_why(traces):
    with pytest.raises(AnalysisError, match=r"model_size: expected two values.*updates_per_visit"):
        BY_SETTING.build(traces)
    with pytest.raises(AnalysisError, match="no setting 'updates'"):
        built(traces, by="updates")
    with pytest.raises(PluginError, match="recovry"):
        built(traces, metric="recovry")
    undefined = {name: trace.isel(visit=slice(3)) for name, trace in traces.items()}
    words = [text.get_text() for text in BY_SETTING.draw(built(undefined).compute()).axes[0].texts]
    assert any(text.startswith("not defined") for text in words)
