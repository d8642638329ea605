"""The figure of gradients of tasks, by number and by what it says."""

import numpy as np
import pytest

from analyses.figures.registry import SIMILARITY_TASKS
from tracekit.errors import AnalysisError
from tracekit.testing import synthetic_trace

BUILD, DRAW = SIMILARITY_TASKS.build, SIMILARITY_TASKS.draw


def with_gradients(values, **facts):
    """Give a trace with these gradients, dims (visit, task, element), in place of its own."""
    trace = synthetic_trace(n_tasks=values.shape[1], n_epochs=2, **facts)
    flat = trace["task_gradients/flat"].to_dataset()
    trace["task_gradients/flat"] = trace["task_gradients/flat"].assign(
        values=flat["values"].copy(data=values)
    )
    return trace


def cosines(rows):
    """Cosines one pair at a time."""
    n = len(rows)
    return [
        [rows[i] @ rows[j] / np.sqrt((rows[i] @ rows[i]) * (rows[j] @ rows[j])) for j in range(n)]
        for i in range(n)
    ]


@pytest.fixture
def gradients():
    return np.random.default_rng(0).standard_normal((11, 5, 8))


def test_it_is_the_cosine_between_gradients_at_the_last_or_any_snapshot(gradients):
    trace = with_gradients(gradients)
    last, third = BUILD({"a": trace}).compute(), BUILD({"a": trace}, visit=3).compute()
    np.testing.assert_allclose(last["cosine"][0], cosines(gradients[10]), atol=1e-12)
    np.testing.assert_allclose(third["cosine"][0], cosines(gradients[3]), atol=1e-12)
    assert [each["snapshot"].item() for each in (last, third)] == [10, 3]
    off_diagonal = np.array(cosines(gradients[3]))[~np.eye(5, dtype=bool)]
    np.testing.assert_allclose(third["limit"], abs(off_diagonal).max())


def test_runs_may_have_different_tasks_and_each_panel_its_own(gradients):
    traces = {"five": with_gradients(gradients), "two": with_gradients(gradients[:5, :2])}
    dataset = BUILD(traces).compute()
    np.testing.assert_allclose(dataset["cosine"][1, :2, :2], cosines(gradients[4, :2]), atol=1e-12)
    panels = DRAW(dataset).axes[:2]
    assert [panel.get_title(loc="left") for panel in panels] == ["five, visit 10", "two, visit 4"]
    assert [panel.get_xlim()[1] for panel in panels] == [4.5, 1.5]


def test_a_gradient_without_direction_is_hatched_and_has_no_part_in_the_colours(gradients):
    gradients[:, 2] = 0
    dataset = BUILD({"a": with_gradients(gradients)}).compute()
    missing = np.isnan(dataset["cosine"][0].values)
    assert np.delete(missing[2], 2).all()
    assert np.delete(missing[:, 2], 2).all()
    assert missing.sum() == 8  # of itself, it is what it is
    assert [text.get_text() for legend in DRAW(dataset).subfigs[0].legends for text in legend.texts] == [
        "not defined"
    ]


def test_a_run_without_them_is_left_out_and_a_visit_without_them_refused(gradients):
    trace, without = with_gradients(gradients), synthetic_trace()
    del without["task_gradients"]
    assert BUILD({"a": trace, "b": without}).attrs["left_out"] == ["b"]
    with pytest.raises(AnalysisError, match="this figure needs recorded task_gradients"):
        BUILD({"b": without})
    with pytest.raises(AnalysisError, match=r"run 'a': visit: expected one .* such as 10, found 11"):
        BUILD({"a": trace}, visit=11)
