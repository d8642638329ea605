"""What holds for every figure, one test per property."""

import warnings
from itertools import pairwise

import matplotlib.pyplot as plt
import pytest
import xarray as xr
from dask.array import PerformanceWarning
from matplotlib.axis import Axis, Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from analyses.figures import registry
from tracekit.errors import AnalysisError
from tracekit.protocols import FigureKind
from tracekit.testing import no_compute, synthetic_trace

LOSS_KINDS = [registry.TASK_LOSS, registry.SHIFT_AVERAGED_LOSS, registry.ONLINE_LOSS, registry.RECOVERY]
SIMILARITIES = [
    registry.SIMILARITY_WEIGHTS,
    registry.SIMILARITY_ACTIVATIONS,
    registry.SIMILARITY_GRADIENTS,
]
NEEDS = {kind.name: "losses" for kind in LOSS_KINDS}
NEEDS |= {kind.name: kind.name.removeprefix("similarity-") for kind in SIMILARITIES}
OF_WEIGHTS = [registry.SIMILARITY_LAYERS, registry.TRAJECTORY, registry.TRAJECTORY_RESIDUALS, registry.NORMS]
NEEDS |= {kind.name: "weights" for kind in OF_WEIGHTS}
NEEDS |= {registry.PAIRWISE_RECOVERY.name: "pairwise_recovery"}
EVERY = [*LOSS_KINDS, *SIMILARITIES, *OF_WEIGHTS, registry.PAIRWISE_RECOVERY]

every_figure = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.name)


def drawn(kind: FigureKind, traces: dict[str, xr.DataTree]) -> Figure:
    return kind.draw(kind.build(traces).compute())


def without(tree: xr.DataTree, kind: str) -> xr.DataTree:
    return tree.filter(lambda node: kind not in node.path.split("/"))


def words(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.findobj(Text)).replace("\n", " ")


def test_names_differ() -> None:
    assert len({kind.name for kind in EVERY}) == len(EVERY) == 12


@every_figure
def test_build_computes_nothing(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    with no_compute():
        dataset = kind.build(traces)
    assert dataset.chunks


@every_figure
def test_build_names_the_runs(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    dataset = kind.build(traces)
    assert dataset["run"].values.tolist() == ["cyclic", "shuffled"]
    assert dataset["n_tasks"].values.tolist() == [4, 4]


@every_figure
def test_draw_leaves_the_dataset_as_it_was(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    dataset = kind.build(traces).compute()
    before = dataset.copy(deep=True)
    kind.draw(dataset)
    xr.testing.assert_identical(dataset, before)


@every_figure
def test_nothing_stays_open_in_pyplot(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    settings = dict(plt.rcParams)
    assert isinstance(drawn(kind, traces), Figure)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == settings


@every_figure
def test_every_run_and_every_axis_is_named(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    figure = drawn(kind, traces)
    assert "cyclic" in words(figure)
    assert "shuffled" in words(figure)
    labels = {axes.get_xlabel() for axes in figure.axes} | {axes.get_ylabel() for axes in figure.axes}
    assert len(labels - {""}) >= 2


@every_figure
@pytest.mark.parametrize(("n_tasks", "n_epochs"), [(1, 1), (1, 5), (6, 1), (2, 30), (25, 10)])
def test_any_size_is_drawn_and_readable(
    kind: FigureKind, n_tasks: int, n_epochs: int, make_traces: object
) -> None:
    figure = drawn(kind, make_traces(n_tasks, n_epochs))
    assert_readable(figure)


@every_figure
def test_one_run_is_enough(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    assert_readable(drawn(kind, {"cyclic": traces["cyclic"]}))


@every_figure
def test_long_names_are_wrapped(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    name = "runs/gpt-neox-160m_cyclic_adam_batch1_seed17_width2048_documents25_updates10"
    figure = drawn(kind, {name: traces["cyclic"], name + "b": traces["shuffled"], "third": traces["cyclic"]})
    assert name + "b" in words(figure).replace(" ", "")
    assert_readable(figure)


@every_figure
def test_a_run_before_its_first_visit_does_not_fail(kind: FigureKind) -> None:
    fresh = synthetic_trace(n_tasks=4, n_epochs=2).isel(visit=slice(1))
    assert_readable(drawn(kind, {"fresh": fresh}))


@every_figure
def test_runs_of_different_size_go_together(kind: FigureKind) -> None:
    traces = {
        "small": synthetic_trace(n_tasks=3, n_epochs=2),
        "large": synthetic_trace(n_tasks=5, n_epochs=4),
    }
    with no_compute():
        dataset = kind.build(traces)
    assert dataset["n_tasks"].values.tolist() == [3, 5]
    assert_readable(kind.draw(dataset.compute()))


@every_figure
def test_a_run_that_lacks_the_kind_is_named_below(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    needed = NEEDS[kind.name]
    figure = drawn(kind, {**traces, "bare": without(traces["cyclic"], needed)})
    assert f"Not shown, as {needed} were not recorded: 'bare'." in words(figure)


@every_figure
def test_no_run_with_the_kind_is_an_error(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    needed = NEEDS[kind.name]
    with pytest.raises(AnalysisError, match=f"needs recorded {needed}.*'bare' has .*train with the {needed}"):
        kind.build({"bare": without(traces["cyclic"], needed)})


@every_figure
def test_no_committed_visit_is_an_error(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    with pytest.raises(AnalysisError, match="at least one committed visit"):
        kind.build({"empty": traces["cyclic"].isel(visit=slice(0))})


@every_figure
def test_no_trace_is_an_error(kind: FigureKind) -> None:
    with pytest.raises(AnalysisError, match="at least one trace"):
        kind.build({})


@every_figure
def test_nan_values_are_drawn_as_gaps(kind: FigureKind, traces: dict[str, xr.DataTree]) -> None:
    broken = traces["cyclic"].map_over_datasets(
        lambda node: node.where(node["visit"] < 6) if "visit" in node.coords else node
    )
    assert_readable(drawn(kind, {"diverged": broken}))


def assert_readable(figure: Figure) -> None:
    """Check that tick labels do not overlap, and that all words lie on the paper."""
    FigureCanvasAgg(figure).draw()
    every_axis = figure.findobj(Axis)
    for axis in every_axis:
        assert_apart(shown_labels(axis), horizontal=axis.axis_name == "x")
    of_ticks = {label for axis in every_axis for tick in axis.get_major_ticks() for label in labels(tick)}
    on_ticks = [label for axis in every_axis for label in shown_labels(axis)]
    for text in [*on_ticks, *(text for text in figure.findobj(Text) if text not in of_ticks)]:
        if text.get_visible() and text.get_text():
            assert_on_paper(text, figure)


def labels(tick: Tick) -> tuple[Text, Text]:
    return tick.label1, tick.label2


def shown_labels(axis: Axis) -> list[Text]:
    low, high = sorted(axis.get_view_interval())
    inside = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [label for tick in inside for label in labels(tick) if label.get_visible() and label.get_text()]


def assert_apart(texts: list[Text], *, horizontal: bool) -> None:
    boxes = [text.get_window_extent() for text in texts]
    spans = sorted((box.x0, box.x1) if horizontal else (box.y0, box.y1) for box in boxes)
    assert all(after[0] >= before[1] for before, after in pairwise(spans)), [str(text) for text in texts]


def assert_on_paper(text: Text, figure: Figure) -> None:
    box, paper = text.get_window_extent(), figure.bbox.padded(1)
    assert paper.x0 <= box.x0, text
    assert box.x1 <= paper.x1, text
    assert paper.y0 <= box.y0, text
    assert box.y1 <= paper.y1, text


@pytest.mark.parametrize("kind", [registry.NORMS, registry.SHIFT_AVERAGED_LOSS], ids=lambda kind: kind.name)
def test_a_short_run_fills_its_panel_beside_a_long_one(kind: FigureKind) -> None:
    traces = {"short": synthetic_trace(n_tasks=3), "long": synthetic_trace(n_tasks=15)}
    figure = drawn(kind, traces)
    short, long = (panel.get_xlim()[1] for panel in figure.subfigs[0].axes[:2])
    assert short < long / 3


@every_figure
def test_padding_short_runs_warns_of_nothing(kind: FigureKind) -> None:
    traces = {"short": synthetic_trace(n_tasks=3), "long": synthetic_trace(n_tasks=15)}
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerformanceWarning)
        kind.build(traces)
