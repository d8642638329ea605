"""Cadences fire where a slow, obvious reading of the plan says that they do."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracekit.cadence_forms import parse_when
from tracekit.cadences import Around, At, Calling, Epochs, Every, Exactly, LogSpaced, cadence_over
from tracekit.errors import ConfigurationError
from tracekit.schedule import Plan


def shuffled(n_tasks, n_epochs, seed=0):
    generator = np.random.default_rng(seed)
    order = np.stack([generator.permutation(n_tasks) for _ in range(n_epochs)])
    return Plan(order, n_tasks=n_tasks, updates_per_visit=2)


@dataclass(frozen=True, eq=False)
class OpenEnded(Plan):
    """A plan whose length nobody knows."""

    @property
    def last_visit(self):
        return None


PLAN = shuffled(n_tasks=5, n_epochs=4)


def fired(form, plan=PLAN):
    return list(plan.chosen(cadence_over(parse_when(form), plan)))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (1, list(range(21))),
        (6, [0, 6, 12, 18, 20]),
        ({"every": 6, "ends": False}, [0, 6, 12, 18]),
        ({"visits": [3, 7]}, [0, 3, 7, 20]),
        ({"visits": [3, 7], "ends": False}, [3, 7]),
        ({"epochs": [1]}, [0, 6, 7, 8, 9, 10, 20]),
        ([{"visits": [3]}, {"epochs": [3]}], [0, 3, 16, 17, 18, 19, 20]),
        ({"any": [{"visits": [3]}, 10]}, [0, 3, 10, 20]),
        ({"all": [{"epochs": [1, 2]}, 4]}, [0, 8, 12, 20]),
        (lambda visit: visit == 13, [0, 13, 20]),
        (Every(9) | At([4]), [0, 4, 9, 18, 20]),
        (Exactly(Every(2) & Epochs([0])), [2, 4]),
    ],
)
def test_what_each_form_means(form, expected):
    assert fired(form) == expected


@given(
    n_tasks=st.integers(1, 6), n_epochs=st.integers(1, 5), width=st.integers(0, 3), seed=st.integers(0, 99)
)
def test_around_revisits_under_any_order(n_tasks, n_epochs, width, seed):
    plan = shuffled(n_tasks, n_epochs, seed)
    tasks = [0, n_tasks - 1]
    trained = [-1, *plan.order.ravel().tolist()]
    revisits = [v for v in range(1, len(trained)) if trained[v] in tasks and trained[v] in trained[1:v]]
    expected = [v for v in range(len(trained)) if any(abs(v - r) <= width for r in revisits)]
    assert fired(Exactly(Around(tasks, width)), plan) == expected


@given(n_visits=st.integers(1, 300), last=st.integers(1, 300))
def test_log_spacing_gives_as_many_visits_as_asked_for(n_visits, last):
    plan = Plan(np.zeros((1, last), np.int64), n_tasks=1, updates_per_visit=1)
    if n_visits > last:
        with pytest.raises(ConfigurationError, match=f"at most the {last} visits"):
            fired(LogSpaced(n_visits), plan)
        return
    visits = fired(Exactly(LogSpaced(n_visits)), plan)
    assert len(visits) == n_visits
    assert visits[-1] == last
    assert visits[0] >= 1


def test_log_spacing_is_even_in_the_logarithm_where_rounding_allows():
    plan = Plan(np.zeros((1, 100_000), np.int64), n_tasks=1, updates_per_visit=1)
    steps = np.diff(np.log([v for v in fired(LogSpaced(10), plan) if v > 1]))
    np.testing.assert_allclose(steps, np.log(100_000) / 10, rtol=0.2)


def test_a_run_of_unknown_length_is_asked_visit_by_visit():
    plan = OpenEnded(PLAN.order, n_tasks=5, updates_per_visit=2)
    for when in (Every(6), At([3, 400]), Epochs([1]), Calling(lambda visit: visit == 7)):
        cadence = cadence_over(when, plan)
        expected = when.over(PLAN if not isinstance(when, At) else plan)
        assert [cadence(v) for v in range(21)] == [v == 0 or expected(v) for v in range(21)]


@pytest.mark.parametrize("form", [{"log_spaced": 3}, {"around": {"tasks": [0]}}, [4, {"log_spaced": 3}]])
def test_what_needs_the_end_refuses_a_run_without_one(form):
    with pytest.raises(ConfigurationError, match="this one is open-ended; choose every"):
        cadence_over(parse_when(form), OpenEnded(PLAN.order, n_tasks=5, updates_per_visit=2))


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (0, "expected 1 visit or more, found 0"),
        (True, "expected a whole number, found True"),
        ("often", "expected a number, a list or a mapping, found 'often'"),
        ("lambda visit: True", "from Python give a callable as it is"),
        (lambda: True, r"expected a callable of \(visit\), found <lambda>\(\)"),
        ({"evry": 3}, "no cadence 'evry': did you mean 'every'"),
        ({"every": 2, "epochs": [1]}, "expected one of .* found every, epochs"),
        ({"ends": False}, "expected one of .* found none"),
        ({"every": 2, "ends": "no"}, "ends is true or false, found 'no'"),
        ({"visits": 3}, "visits: expected a list of numbers, found 3"),
        ({"visits": [21]}, "visits: expected numbers from 0 to 20, found 21"),
        ({"around": {"tasks": [5]}}, "expected tasks from 0 to 4, found 5"),
        ({"around": {"tasks": [0], "width": -1}}, "width of 0 visits or more, found -1"),
        ({"around": [0]}, "expected keys tasks and width"),
        ({"any": []}, "expected one cadence or more"),
        ([], "expected one cadence or more"),
        ([10, 20], r"write {visits: \[10, 20\]} for these visits, \[{every: 10}, {every: 20}\]"),
    ],
)
def test_what_makes_no_sense_is_named(form, message):
    with pytest.raises(ConfigurationError, match=message):
        fired(form)
