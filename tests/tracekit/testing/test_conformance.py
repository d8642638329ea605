"""The check of plug-ins: built-in and third-party analyses pass, each broken rule is found and named."""

import dataclasses
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from analyses import distance, gram, residual_cosine, step_length
from tracekit import flat, plugins
from tracekit.protocols import Analysis, Report
from tracekit.testing import ConformanceError, check_analysis, synthetic_trace

PACKAGE = Path(__file__).parents[3] / "examples" / "analysis_package"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE))
    import loss_spread

    yield loss_spread.LOSS_SPREAD
    del sys.modules["loss_spread"]


def test_the_example_package_passes_and_gives_its_known_answer(example):
    check_analysis(example)
    trace = synthetic_trace(n_tasks=4, n_epochs=4, recovery_scores=[0.25])
    assert float(example.build(trace, quantile=1.0)["spread"].sel(visit=12)) == 1.0
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["tracekit.analyses"] == {example.name: "loss_spread:LOSS_SPREAD"}


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_every_analysis_of_ours_passes(name):
    check_analysis(plugins.load("tracekit.analyses", name), large_elements=0)


def mean(trace, *, task: int = 0):
    return told(trace["losses"].to_dataset()[["eval_loss"]].isel(task=task, drop=True), "loss of a task")


def told(dataset, words):
    return dataset.assign(eval_loss=dataset["eval_loss"].assign_attrs(long_name=words))


def table(dataset):
    return Report({"mean": float(dataset["eval_loss"].mean())}, ("mean",), ((1.0,),))


GOOD = Analysis("mean", "a mean", mean, table, {"task": "Which task."})


def loads(trace, *, task: int = 0):
    return mean(trace, task=task).compute()


def without_units(trace, *, task: int = 0):
    return mean(trace, task=task).drop_attrs()


def without_words(trace, *, task: int = 0):
    return told(mean(trace, task=task), " ")


def without_dims(trace, *, task: int = 0):
    values = mean(trace, task=task)["eval_loss"]
    return xr.DataArray(values.data, attrs=values.attrs).to_dataset(name="eval_loss")


def with_objects(trace, *, task: int = 0):
    return mean(trace, task=task).assign_attrs(what=object)


def reads_all(trace, *, task: int = 0):
    values = flat(trace, "weights").astype("f8")
    whole = values.chunk(visit=-1, element=-1)
    norm = (whole**2).sum().assign_attrs(units="1", long_name="squared norm")
    return mean(trace, task=task).assign(norm=norm)


def differs(trace, *, task: int = 0):
    values = mean(trace, task=task)
    return values if values.chunks else values.map(lambda each: (each + 1).assign_attrs(each.attrs))


def unexplained(trace, *, other=1, task: int = 0):
    return mean(trace, task=task)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build": loads}, "build computes"),
        ({"build": without_units}, "'eval_loss' does not say its units"),
        ({"build": without_words}, "'eval_loss' does not say in words what it is"),
        ({"build": without_dims}, "dim 'dim_0' has no name"),
        ({"build": with_objects}, "cannot be written as JSON"),
        ({"build": reads_all}, "work block by block"),
        ({"build": differs}, "give different numbers"),
        ({"build": unexplained}, "'other' has no annotation; option 'other' is not explained"),
        ({"options": {"task": "x", "tusk": "y"}}, "explains 'tusk'"),
        ({"report": lambda d: Report({}, ("a", "b"), ((1,),))}, "as many values as there are columns"),
        ({"report": lambda d: Report({"a": np.ones(2)}, (), ())}, "holds what JSON has not"),
    ],
)
def test_each_broken_rule_is_found(change, message):
    with pytest.raises(ConformanceError, match=message):
        check_analysis(dataclasses.replace(GOOD, **change))


def test_a_good_one_passes():
    check_analysis(GOOD)


def test_a_planted_period_and_helix_have_the_answers_that_are_promised():
    trace = synthetic_trace(n_tasks=4, n_epochs=5, period=5, pitch=0.5)
    products = gram(flat(trace, "weights"))
    steps = step_length(products).compute()
    np.testing.assert_allclose(steps[1:], np.sqrt(4 * np.sin(np.pi / 5) ** 2 + 0.25))
    np.testing.assert_allclose(distance(products).sel(visit=2, visit_other=12), 5.0)
    circle = synthetic_trace(n_tasks=4, n_epochs=5, period=5)
    cosines = residual_cosine(flat(circle, "weights"), window=5)
    np.testing.assert_allclose(cosines.sel(visit=4, visit_other=6), np.cos(4 * np.pi / 5))
