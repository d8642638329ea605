"""Pictures show the numbers of their Dataset, exactly those, and the Datasets hold the right ones."""

from collections.abc import Sequence

import numpy as np
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analyses import cosine, gram, pca, recovery, recovery_interval, residual_cosine, shift_averaged_loss
from analyses.figures import registry
from tracekit import flat
from tracekit.errors import AnalysisError
from tracekit.protocols import FigureKind
from tracekit.testing import synthetic_losses, synthetic_trace

Traces = dict[str, xr.DataTree]


def scrambled(kind: FigureKind, traces: Traces) -> xr.Dataset:
    """Gives what the figure is drawn from with every float replaced: only this can be in the picture."""
    dataset = kind.build(traces).compute()
    rng = np.random.default_rng(1)
    for name, values in dataset.data_vars.items():
        if values.dtype == np.float64 and values.ndim:
            dataset[name] = values.where(values.isnull(), rng.uniform(0.1, 0.8, values.shape))
    return dataset


def panel(figure: Figure, label: str) -> Axes:
    return next(axes for axes in figure.axes if axes.get_title(loc="left") == label)


def line(axes: Axes, label: str) -> Line2D:
    return next(line for line in axes.lines if line.get_label() == label)


def assert_shown(artist: Line2D, x: Sequence[float], y: Sequence[float]) -> None:
    np.testing.assert_array_equal(artist.get_xdata(), x)
    np.testing.assert_array_equal(artist.get_ydata(), y)


@pytest.mark.parametrize("label", ["cyclic", "shuffled"])
def test_task_loss_shows_its_dataset(traces: Traces, label: str) -> None:
    dataset = scrambled(registry.TASK_LOSS, traces)
    axes = panel(registry.TASK_LOSS.draw(dataset), label)
    one = dataset.sel(run=label)
    for name, shown in (("loss", "loss"), ("loss_before", "before"), ("loss_after", "after")):
        assert_shown(line(axes, shown), one["visit"], one[name])
    upright = [artist.get_xdata()[0] for artist in axes.lines if len(artist.get_xdata()) == 2]
    assert upright == one["visit"].values[one["loss_after"].notnull()].tolist()


@pytest.mark.parametrize("label", ["cyclic", "shuffled"])
def test_task_loss_against_an_obvious_twin(traces: Traces, label: str) -> None:
    dataset = registry.TASK_LOSS.build(traces).sel(run=label).compute()
    losses = traces[label]["losses"].to_dataset().compute()
    assert dataset.attrs["task"] == "task-2"
    trained = losses["trained_task"].values.tolist()
    for visit, loss in enumerate(losses["eval_loss"].sel(task="task-2").values):
        after = loss if trained[visit] == 2 else np.nan
        before = loss if trained[visit + 1 : visit + 2] == [2] else np.nan
        found = [dataset[name].values[visit] for name in ("loss", "loss_before", "loss_after")]
        np.testing.assert_array_equal(found, [loss, before, after])


def test_task_loss_marks_only_snapshots_next_to_the_visit() -> None:
    coarse = synthetic_trace(n_tasks=4, n_epochs=3).isel(visit=slice(0, None, 3))  # task 2 at 3, 7 and 11
    dataset = registry.TASK_LOSS.build({"coarse": coarse}).isel(run=0).compute()
    assert dataset["visit"].values[dataset["loss_after"].notnull()].tolist() == [3]
    # whether 6 comes just before a visit to the task is not known: 7 is not there
    assert dataset["loss_before"].isnull().all()


def test_task_loss_draws_a_coarse_run_through_the_visits_it_has(traces: Traces) -> None:
    coarse = traces["cyclic"].isel(visit=slice(0, None, 3))
    dataset = registry.TASK_LOSS.build({"coarse": coarse, **traces}).compute()
    shown = line(panel(registry.TASK_LOSS.draw(dataset), "coarse"), "loss")
    assert_shown(shown, [0, 3, 6, 9, 12], dataset["loss"].sel(run="coarse", visit=[0, 3, 6, 9, 12]))


def test_task_loss_needs_a_task_in_common(traces: Traces) -> None:
    other = traces["shuffled"].map_over_datasets(
        lambda node: node.assign_coords(task=["a", "b", "c", "d"]) if "task" in node.dims else node
    )
    with pytest.raises(AnalysisError, match=r"no task in common.*'shuffled' has no task 'task-2'"):
        registry.TASK_LOSS.build({"cyclic": traces["cyclic"], "shuffled": other})


def test_loss_axes_carry_the_units_of_the_trace(traces: Traces) -> None:
    figure = registry.TASK_LOSS.draw(registry.TASK_LOSS.build(traces).compute())
    assert panel(figure, "cyclic").get_ylabel() == "loss [nats per token]"
    bare = traces["cyclic"].map_over_datasets(lambda node: node.drop_attrs())
    bare.attrs = traces["cyclic"].attrs
    figure = registry.TASK_LOSS.draw(registry.TASK_LOSS.build({"cyclic": bare}).compute())
    assert panel(figure, "cyclic").get_ylabel() == "loss [units not recorded]"


def test_shift_averaged_loss_shows_its_dataset(traces: Traces) -> None:
    dataset = scrambled(registry.SHIFT_AVERAGED_LOSS, traces)
    axes = panel(registry.SHIFT_AVERAGED_LOSS.draw(dataset), "shuffled")
    for occurrence in (1, 2, 3):
        expected = dataset["shift_averaged_loss"].sel(run="shuffled", occurrence=occurrence)
        assert_shown(line(axes, f"visit {occurrence}"), np.arange(-4, 5), expected)


def test_shift_averaged_loss_holds_the_analysis(traces: Traces) -> None:
    found = registry.SHIFT_AVERAGED_LOSS.build(traces).sel(run="shuffled")["shift_averaged_loss"]
    expected = shift_averaged_loss(traces["shuffled"]["losses"].to_dataset())["shift_averaged_loss"]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("label", ["cyclic", "shuffled"])
def test_online_loss_shows_its_dataset(traces: Traces, label: str) -> None:
    dataset = scrambled(registry.ONLINE_LOSS, traces)
    axes = registry.ONLINE_LOSS.draw(dataset).axes[0]
    one = dataset.sel(run=label)
    means = line(axes, label)
    assert_shown(means, one["middle"], one["online_loss_per_epoch"])
    visits = next(
        each for each in axes.lines if each.get_color() == means.get_color() and len(each.get_xdata()) == 12
    )
    assert_shown(visits, one["visit"], one["online_loss"])


def test_online_loss_against_an_obvious_twin(traces: Traces) -> None:
    dataset = registry.ONLINE_LOSS.build(traces).sel(run="shuffled").compute()
    losses = traces["shuffled"]["losses"].to_dataset().compute()
    expected = [
        losses["eval_loss"].values[visit - 1, task]
        for visit, task in enumerate(losses["trained_task"].values)
        if visit
    ]
    np.testing.assert_array_equal(dataset["online_loss"], expected)
    np.testing.assert_allclose(dataset["online_loss_per_epoch"], np.reshape(expected, (3, 4)).mean(axis=1))
    assert dataset["middle"].values.tolist() == [2.5, 6.5, 10.5]
    assert dataset["online_loss"].attrs["units"] == "nats per token"


def test_recovery_shows_its_dataset(traces: Traces) -> None:
    dataset = scrambled(registry.RECOVERY, {**traces, "third": traces["cyclic"]})
    axes = registry.RECOVERY.draw(dataset).axes[0]
    bars = [artist for artist in axes.collections if isinstance(artist, LineCollection)]
    for place, label in enumerate(["cyclic", "shuffled", "third"]):
        one = dataset.sel(run=label)
        assert_shown(line(axes, label), [1, 2], one["recovery_score"])
        expected = [[[n, low], [n, high]] for n, low, high in zip(*limits(one), strict=True)]
        np.testing.assert_array_equal(bars[place].get_segments(), expected)


def limits(one: xr.Dataset) -> tuple[list[float], ...]:
    return tuple(one[name].values.tolist() for name in ("interval", "interval_low", "interval_high"))


def test_recovery_holds_the_analysis_and_says_how_it_was_made(traces: Traces) -> None:
    dataset = registry.RECOVERY.build(traces).compute()
    expected = recovery_interval(recovery(traces["shuffled"]["losses"].to_dataset())).compute()
    for name in ("recovery_score", "interval_low", "interval_high"):
        np.testing.assert_array_equal(dataset[name].sel(run="shuffled"), expected[name])
    figure = registry.RECOVERY.draw(dataset)
    assert figure.axes[0].get_title(loc="left") == "95% confidence intervals over tasks, n = 4"
    assert f"{expected.attrs['method']} bootstrap, 9999 resamples" in figure.get_supxlabel().replace(
        "\n", " "
    )


@pytest.mark.parametrize(("score", "warned"), [(1.2, True), (0.8, False)])
def test_recovery_warns_of_scores_above_one(score: float, warned: bool) -> None:
    traces = {"known": synthetic_trace(recovery_scores=[score, 0.5])}
    figure = registry.RECOVERY.draw(registry.RECOVERY.build(traces).compute())
    at_one = [artist for artist in figure.axes[0].lines if list(artist.get_ydata()) == [1, 1]]
    assert ("corrected-recovery" in figure.get_supxlabel().replace("\n", "")) == bool(at_one) == warned


def test_recovery_counts_the_fewest_and_the_most_tasks() -> None:
    traces = {name: synthetic_trace(n_tasks=n, n_epochs=2) for name, n in (("a", 3), ("b", 5))}
    figure = registry.RECOVERY.draw(registry.RECOVERY.build(traces).compute())
    assert figure.axes[0].get_title(loc="left").endswith("n = 3–5")


def test_recovery_says_which_run_has_none() -> None:
    traces = {"one epoch": synthetic_trace(n_epochs=1), "two epochs": synthetic_trace(n_epochs=2)}
    figure = registry.RECOVERY.draw(registry.RECOVERY.build(traces).compute())
    assert figure.axes[0].get_legend_handles_labels()[1] == ["one epoch (not defined)", "two epochs"]


def test_an_error_of_an_analysis_names_the_run(traces: Traces) -> None:
    coarse = traces["cyclic"].isel(visit=slice(0, None, 2))
    with pytest.raises(AnalysisError, match="run 'coarse': eval_loss: expected a value at every visit"):
        registry.RECOVERY.build({"coarse": coarse})


SIMILARITIES = [
    registry.SIMILARITY_WEIGHTS,
    registry.SIMILARITY_ACTIVATIONS,
    registry.SIMILARITY_GRADIENTS,
]


@pytest.mark.parametrize("kind", SIMILARITIES, ids=lambda kind: kind.name)
def test_heatmap_shows_its_dataset(kind: FigureKind, traces: Traces) -> None:
    dataset = scrambled(kind, traces)
    axes = panel(kind.draw(dataset), "cyclic")
    (cells,) = (artist for artist in axes.collections if isinstance(artist, QuadMesh))
    expected = dataset["similarity"].sel(run="cyclic")
    np.testing.assert_array_equal(cells.get_array().filled(np.nan), expected)
    edges = np.append(dataset["visit"] - 0.5, dataset["visit"][-1] + 0.5)
    np.testing.assert_array_equal(cells.get_coordinates()[0, :, 0], edges)


def test_heatmaps_hold_the_analyses(traces: Traces) -> None:
    tree = traces["cyclic"]
    expected = {
        "weights": residual_cosine(flat(tree, "weights"), window=4),
        "activations": cosine(gram(flat(tree, "activations"))),
        "gradients": cosine(gram(flat(tree, "gradients"), center=False)),
    }
    for kind in SIMILARITIES:
        dataset = kind.build(traces)
        np.testing.assert_array_equal(
            dataset["similarity"].sel(run="cyclic"), expected[dataset.attrs["kind"]]
        )


def test_heatmap_of_the_circle_has_its_period() -> None:
    dataset = registry.SIMILARITY_WEIGHTS.build({"circle": synthetic_trace(n_tasks=8, n_epochs=4)}).compute()
    visit = dataset["visit"].values[4:-4]
    expected = np.cos(2 * np.pi * (visit[:, np.newaxis] - visit) / 8)
    found = dataset["similarity"].sel(run="circle", visit=visit, visit_other=visit)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_colours_are_shared_and_end_where_the_dataset_says(traces: Traces) -> None:
    dataset = registry.SIMILARITY_GRADIENTS.build(traces).compute().assign(limit=0.25)
    figure = registry.SIMILARITY_GRADIENTS.draw(dataset)
    cells = [artist for artist in figure.findobj(QuadMesh) if artist.axes.get_title(loc="left")]
    assert [artist.get_clim() for artist in cells] == [(-0.25, 0.25)] * 2
    bar = next(axes for axes in figure.axes if axes.get_ylabel() == "cosine of gradients")
    assert bar.get_ylim() == (-0.25, 0.25)
    assert "The diagonal, 1, lies beyond" in figure.get_supxlabel().replace("\n", " ")


@pytest.mark.parametrize(
    ("similarity", "limit"), [(1.0, 1.0), (0.95, 1.0), (0.4, 0.4), (-0.3, 0.3), (1e-9, 0.05), (0.0, 1.0)]
)
def test_colours_end_at_the_largest_value_off_the_diagonal(similarity: float, limit: float) -> None:
    trace = synthetic_trace(n_tasks=2, n_epochs=1)
    rows = np.zeros((2, 8))
    rows[:, 0], rows[:, 1] = [1.0, similarity], [0.0, np.sqrt(1 - similarity**2)]
    values = trace["gradients/flat"].to_dataset()
    trace["gradients/flat"] = values.assign(values=(("visit", "element"), rows))
    found = registry.SIMILARITY_GRADIENTS.build({"two": trace})["limit"].item()
    assert found == pytest.approx(limit)


def test_heatmap_cells_of_uneven_visits_meet_half_way(traces: Traces) -> None:
    uneven = traces["cyclic"]["activations"].isel(visit=[0, 1, 4, 12])
    tree = traces["cyclic"].copy()
    tree["activations"] = uneven
    figure = registry.SIMILARITY_ACTIVATIONS.draw(
        registry.SIMILARITY_ACTIVATIONS.build({"a": tree}).compute()
    )
    (cells,) = (x for x in panel(figure, "a").collections if isinstance(x, QuadMesh))
    np.testing.assert_array_equal(cells.get_coordinates()[0, :, 0], [-0.5, 0.5, 2.5, 8, 16])


def test_heatmap_marks_the_epochs(traces: Traces) -> None:
    figure = registry.SIMILARITY_GRADIENTS.draw(registry.SIMILARITY_GRADIENTS.build(traces).compute())
    axes = panel(figure, "cyclic")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]
    np.testing.assert_array_equal(axes.get_xticks(), [2.5, 6.5, 10.5])
    upright = next(artist for artist in axes.collections if isinstance(artist, LineCollection))
    assert [segment[0][0] for segment in upright.get_segments()] == [4.5, 8.5]


def test_heatmap_says_where_it_is_not_defined(traces: Traces) -> None:
    weights, gradients = (
        kind.draw(kind.build(traces).compute())
        for kind in (registry.SIMILARITY_WEIGHTS, registry.SIMILARITY_GRADIENTS)
    )
    assert [text.get_text() for text in legend_texts(weights)] == ["not defined"]
    assert legend_texts(gradients) == []


def legend_texts(figure: Figure) -> list[object]:
    return [text for inner in figure.subfigs for legend in inner.legends for text in legend.get_texts()]


@pytest.mark.parametrize("label", ["cyclic", "shuffled"])
def test_trajectory_shows_its_dataset(traces: Traces, label: str) -> None:
    dataset = scrambled(registry.TRAJECTORY, traces)
    one = dataset.sel(run=label)
    axes = panel(registry.TRAJECTORY.draw(dataset), label)
    first, second = one["scores"].values.T
    assert_shown(line(axes, "path"), first, second)
    assert_shown(line(axes, "start"), first[:1], second[:1])
    assert_shown(line(axes, "end"), first[-1:], second[-1:])
    (points,) = (artist for artist in axes.collections if isinstance(artist, PathCollection))
    np.testing.assert_array_equal(points.get_array().filled(np.nan), one["phase"])
    shares = one["explained_variance_ratio"].values
    assert axes.get_xlabel() == f"PC 1 ({shares[0]:.0%} of variance)"
    assert axes.get_ylabel() == f"PC 2 ({shares[1]:.0%} of variance)"


def test_trajectory_holds_the_analysis(traces: Traces) -> None:
    dataset = registry.TRAJECTORY.build(traces).sel(run="shuffled").compute()
    expected = pca(gram(flat(traces["shuffled"], "weights")), n_components=2)
    np.testing.assert_array_equal(dataset["scores"], expected["scores"])
    np.testing.assert_array_equal(dataset["phase"], [np.nan, *[0, 0.25, 0.5, 0.75] * 3])


def test_trajectory_of_residuals_is_of_weights_less_their_mean_over_a_cycle(traces: Traces) -> None:
    dataset = registry.TRAJECTORY_RESIDUALS.build(traces).sel(run="cyclic").compute()
    weights = flat(traces["cyclic"], "weights").values.astype(np.float64)
    whole = range(2, 12)  # the windows t - 2 ... t + 1 of four tasks that lie within visits 0 to 12
    residuals = np.array([weights[t] - weights[t - 2 : t + 2].mean(axis=0) for t in whole])
    centered = residuals - residuals.mean(axis=0)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    scores = dataset["scores"].values
    assert np.isnan(np.delete(scores, whole, axis=0)).all()
    np.testing.assert_allclose(np.abs(scores[whole]), np.abs(left * singular)[:, :2], atol=1e-6)


def test_what_runs_lack_is_missing_not_zero() -> None:
    traces = {name: synthetic_trace(n_epochs=n) for name, n in (("short", 2), ("long", 3))}
    for kind in (registry.TRAJECTORY, registry.SIMILARITY_ACTIVATIONS, registry.TASK_LOSS):
        dataset = kind.build(traces).sel(run="short").compute()
        assert dataset["recorded"].values.tolist() == [True] * 9 + [False] * 4
        beyond = dataset.sel(visit=slice(9, None))
        floats = [
            values
            for values in beyond.data_vars.values()
            if "visit" in values.dims and values.dtype.kind == "f"
        ]
        assert floats
        assert all(values.isnull().all() for values in floats)


def test_losses_of_a_known_recovery_are_drawn_at_it() -> None:
    trace = synthetic_trace(n_tasks=6, n_epochs=3)
    trace["losses"] = synthetic_losses(n_tasks=6, n_epochs=3, recovery_scores=[0.25, 0.5])
    figure = registry.RECOVERY.draw(registry.RECOVERY.build({"known": trace}).compute())
    np.testing.assert_allclose(line(figure.axes[0], "known").get_ydata(), [0.25, 0.5])


@pytest.mark.parametrize("label", ["cyclic", "shuffled"])
def test_similarity_by_layer_shows_its_dataset(make_traces, label: str) -> None:
    dataset = scrambled(registry.SIMILARITY_LAYERS, in_layers(make_traces(4, 5)))
    dataset["place"] = dataset["place"].copy(data=[[0.0, 1.0], [0.0, 1.0]])
    axes = panel(registry.SIMILARITY_LAYERS.draw(dataset), label)
    lines = [artist for artist in axes.lines if len(artist.get_xdata()) > 2]
    assert len(lines) == 2
    for artist, layer in zip(lines, dataset["layer"].values, strict=True):
        one = dataset["similarity"].sel(run=label, layer=layer, lag=slice(0, 12)).dropna("lag")
        assert_shown(artist, one["lag"] / 4, one)


def in_layers(traces: Traces) -> Traces:
    """The same runs, with the two parameters in layers of their own."""
    named = {}
    for label, tree in traces.items():
        nodes = {path: node.to_dataset(inherit=False) for path, node in tree.subtree_with_keys}
        fields = [dict(field) for field in nodes["weights/flat"]["values"].attrs["fields"]]
        for number, field in enumerate(fields):
            field["name"] = f"layers.{number}.weight"
        nodes["weights/flat"]["values"].attrs["fields"] = fields
        named[label] = xr.DataTree.from_dict(nodes)
    return named


def test_similarity_by_layer_against_its_parts(make_traces) -> None:
    traces = in_layers(make_traces(5, 5))
    dataset = registry.SIMILARITY_LAYERS.build(traces).sel(run="cyclic").compute()
    assert dataset["layer"].values.tolist() == ["layers.0", "layers.1"]
    for number in range(2):
        columns = flat(traces["cyclic"], "weights")[:, 4 * number : 4 * number + 4]
        matrix = residual_cosine(columns, window=5).values
        expected = [np.nanmean(np.diagonal(matrix, lag)) for lag in range(1, 8)]
        found = dataset["similarity"].isel(layer=number).sel(lag=slice(1, 7))
        np.testing.assert_allclose(found, expected, atol=1e-9)
