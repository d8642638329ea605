"""Reductions are what a slow, obvious computation in float64 gives, also after a run was cut off."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recorders import ActivationRecorder, BaseRecorder, GradientRecorder, TaskGradientRecorder, WeightRecorder
from recorders.gradient_norms import gradient_norm
from recorders.reductions import STATISTICS, Reductions
from recorders.shards import combined
from recorders.statistics import distances
from tracekit import Recording, flat, open_trace
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.training import parse_configuration, prepare, restore, train
from tracekit.training.checkpoints import Checkpoints

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
LEVELS, BINS = (0.1, 0.5, 1.0), (8, -2.0, 2.0)
ALL = {"kind": "reductions", "statistics": STATISTICS, "quantiles": LEVELS, "histogram": BINS}
TOY = {"tasks": {"kind": "toy", "n_tasks": 3, "inputs": 7, "outputs": 5}, "training": {"epochs": 3}}


def slow(values):
    """Every statistic of one tensor, without references, in float64."""
    x = np.asarray(values, np.float64).ravel()
    edges = np.linspace(BINS[1], BINS[2], BINS[0] + 1)
    return {
        "norm": np.sqrt((x * x).sum()),
        "mean": x.mean(),
        "std": x.std(),
        "min": x.min(),
        "max": x.max(),
        "absolute_mean": np.abs(x).mean(),
        "quantiles": np.quantile(x, LEVELS),
        "histogram": np.histogram(np.clip(x, BINS[1], BINS[2]), edges)[0] / x.size,
    }


ZEROS = {name: np.zeros_like(value) for name, value in slow(np.ones(1)).items()}


def filled(tensors, statistics, place=0, form=None):
    rows = Rows("weights", tuple(Field(f"t{n}", tuple(t.shape)) for n, t in enumerate(tensors)), (0, 1))
    form = form or Reductions(statistics, LEVELS, BINS)
    declared = form.declare(rows, SimpleNamespace(carried={}, snapshots=0))
    row = np.empty(declared.row_shape, declared.dtype)
    form.fill(row, tensors, place)
    return {
        item.name: part.reshape(item.shape)
        for item, part in zip(
            declared.fields, np.split(row, np.cumsum([f.size for f in declared.fields])[:-1]), strict=True
        )
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_every_statistic_is_that_of_its_slow_twin(dtype):
    generator = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(300, 70, generator=generator),
        1 + 1e-3 * torch.randn(400, generator=generator),  # a mean far above the deviation
        torch.ones(6),
        torch.randn(3, 1, generator=generator).expand(3, 4),
        torch.tensor([2.5]),
    ]
    tensors = [tensor.to(dtype) for tensor in tensors]
    found = filled(tensors, STATISTICS[:8])
    for number, tensor in enumerate(tensors):
        for name, expected in slow(tensor.double().numpy()).items():
            np.testing.assert_allclose(found[name][number], expected, rtol=2e-5, atol=2e-7, err_msg=name)


@pytest.mark.parametrize(("offset", "turned"), [(0.0, False), (10.0, True)])
def test_as_many_digits_are_right_of_a_large_tensor_as_of_a_small_one(offset, turned):
    """Torch's own norm of so many float32 is off by 1e-4."""
    values = torch.randn(2003, 2001, generator=torch.Generator().manual_seed(0)) + offset
    values = values.T if turned else values
    expected = slow(values.double().numpy())
    names = ["norm", "mean", "std", "absolute_mean"]
    for name, found in filled([values], names).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-6, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(distances([3 * values], [values]), 2 * expected["norm"], rtol=1e-6)
    np.testing.assert_allclose(gradient_norm([values, values]), 2**0.5 * expected["norm"], rtol=1e-6)


def test_more_values_in_a_bin_than_float32_counts_are_counted():
    n = (1 << 24) + 3
    values = torch.full((n + 5,), 0.25)
    values[n:] = 1.5
    found = filled([values], ["histogram"])["histogram"][0]
    assert (found * (n + 5)).round().tolist() == [0, 0, 0, 0, n, 0, 0, 5]


def test_counting_is_allowed_where_all_else_is_to_repeat_itself(monkeypatch):
    seen, histc = [], torch.histc

    def counting(*arguments):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return histc(*arguments)

    monkeypatch.setattr(torch, "histc", counting)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        filled([torch.randn(9)], ["histogram"])
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
    assert seen == [False]


@pytest.mark.parametrize("cuts", [(0, 0, 400), (0, 1, 399, 400), (0, 130, 400, 400)])
def test_parts_of_a_tensor_combine_to_its_statistics(cuts):
    x = 1 + 1e-3 * np.random.default_rng(0).standard_normal(400)  # a mean far above the deviation
    pieces = [x[a:b] for a, b in pairwise(cuts)]
    own = [{**(slow(piece) if len(piece) else ZEROS), "count": len(piece)} for piece in pieces]
    parts = {name: np.stack([np.asarray(each[name])[np.newaxis] for each in own]) for name in own[0]}
    expected = slow(x)
    for name in (*STATISTICS[:6], "histogram"):
        np.testing.assert_allclose(combined(name, parts)[0], expected[name], rtol=1e-12, err_msg=name)


def test_a_tensor_that_is_not_there_counts_as_zeros():
    form = Reductions(["norm", "max"])
    rows = Rows("gradients", (Field("a", (2,)), Field("b", (3,))), (0,))
    declared = form.declare(rows, SimpleNamespace(carried={}, snapshots=0))
    row = np.empty(declared.row_shape)
    form.fill(row, [torch.tensor([3.0, 4.0]), None], 0)
    assert row.tolist() == [5, 0, 4, 0]


@pytest.mark.parametrize("device", DEVICES)
def test_references_of_a_checkpoint_go_to_where_the_tensors_are(device):
    rows = Rows("weights", (Field("a", (2,)),), (0, 1))
    run = SimpleNamespace(carried={"weights/distance_from_start/0/0": torch.zeros(2)}, snapshots=1)
    form = Reductions(["distance_from_start"])
    row = np.empty(form.declare(rows, run).row_shape)
    form.fill(row, [torch.tensor([3.0, 4.0], device=device)], 0)
    assert row.tolist() == [5]
    assert {tensor.device.type for tensor in run.carried.values()} == {device}


@pytest.mark.parametrize("device", DEVICES)
def test_statistics_on_every_device(device):
    generator = torch.Generator().manual_seed(0)  # a value within rounding of a bin's edge may be in either
    tensors = [torch.randn(70, 3, generator=generator), 1 + 1e-3 * torch.randn(400, generator=generator)]
    for name, values in filled([tensor.to(device) for tensor in tensors], STATISTICS[:8]).items():
        for tensor, found in zip(tensors, values, strict=True):
            np.testing.assert_allclose(found, slow(tensor.double().numpy())[name], rtol=2e-5, atol=2e-7)


def test_values_that_are_no_numbers_show():
    found = filled([torch.tensor([1.0, float("nan")]), torch.tensor([1.0, float("inf")])], STATISTICS[:5])
    assert np.isnan([found[name][0] for name in ("norm", "mean", "std", "min", "max")]).all()
    assert found["norm"][1] == found["max"][1] == np.inf


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A run with every source kept whole and reduced."""
    path = tmp_path_factory.mktemp("reduced") / "run.zarr"
    keep = ["full", ALL]
    recorders = [
        WeightRecorder(keep=keep),
        GradientRecorder(every=2, keep=keep),
        TaskGradientRecorder(keep=keep),
    ]
    train(prepare(parse_configuration(TOY)), [Recording(path, recorders)])
    return open_trace(path)


@pytest.mark.parametrize("kind", ["weights", "gradients", "task_gradients"])
def test_what_is_recorded_is_the_reduction_of_what_is_recorded_in_full(recorded, kind):
    full, reduced = recorded[kind], recorded[f"{kind}_reductions"]
    assert reduced.attrs["of"] == kind
    assert reduced["norm"].dims == (*recorded[f"{kind}/flat"]["values"].dims[:-1], "tensor")
    assert reduced["quantiles"]["quantile"].values.tolist() == ["0.1", "0.5", "1"]
    for name, values in full.data_vars.items():
        rows = values.values.astype(np.float64)
        n_lead = values.ndim - (2 if name == "P" else 1)
        rows = rows.reshape(*rows.shape[:n_lead], -1)
        for place in np.ndindex(rows.shape[:-1]):
            for statistic, expected in slow(rows[place]).items():
                found = reduced[statistic].sel(tensor=name).values[place]
                np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
        steps = np.linalg.norm(np.diff(rows, axis=0), axis=-1)
        found = reduced["update_size"].sel(tensor=name).values
        assert np.isnan(found[0]).all()
        np.testing.assert_allclose(found[1:], steps, rtol=1e-5, atol=1e-9)
        np.testing.assert_allclose(
            reduced["distance_from_start"].sel(tensor=name),
            np.linalg.norm(rows - rows[0], axis=-1),
            rtol=1e-5,
            atol=1e-9,
        )


class Failing(BaseRecorder):
    def __init__(self, visit=5):
        self.visit = visit

    def after_visit(self, visit, evaluation):
        if visit.number == self.visit:
            raise RuntimeError("cut off")


def test_a_run_that_was_cut_off_goes_on_with_the_same_bits(tmp_path):
    def recorders(failing_visit=None):
        return [WeightRecorder(keep=[ALL, "sketch"]), Failing(failing_visit), Checkpoints(every=2)]

    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    train(prepare(parse_configuration(TOY)), [Recording(whole, recorders())])
    with pytest.raises(RuntimeError, match="cut off"):
        train(prepare(parse_configuration(TOY)), [Recording(cut, recorders(failing_visit=5))])
    run = restore(prepare(parse_configuration(TOY)), cut)
    assert run.snapshots == 5
    train(run, [Recording(cut, recorders(), resume=True)])

    for kind in ("weights_reductions", "weights_sketch"):
        expected, found = (flat(open_trace(path), kind).values for path in (whole, cut))
        np.testing.assert_array_equal(found, expected)


def test_without_its_references_a_run_refuses_to_go_on(tmp_path):
    path = tmp_path / "run.zarr"
    plain = [WeightRecorder(keep=Reductions()), Failing(), Checkpoints(every=2)]
    with pytest.raises(RuntimeError, match="cut off"):
        train(prepare(parse_configuration(TOY)), [Recording(path, plain)])
    run = restore(prepare(parse_configuration(TOY)), path)
    with pytest.raises(ConfigurationError, match="weights: update_size cannot go on after visit 4"):
        train(run, [Recording(path, [WeightRecorder(keep=Reductions(["update_size"]))], resume=True)])


def test_activations_are_reduced_too(tmp_path):
    settings = {
        "model": {"width": 16, "layers": 2, "heads": 2},
        "tasks": {"n_documents": 2, "max_tokens": 12, "tokenizer": {"vocabulary": 300}},
        "training": {"epochs": 1, "updates_per_visit": 1},
    }
    recorder = ActivationRecorder("mlp", probes=[0, 1], keep=["full", "reductions"])
    train(prepare(parse_configuration(settings)), [Recording(tmp_path / "run.zarr", [recorder])])
    trace = open_trace(tmp_path / "run.zarr")
    for name, values in trace["activations"].data_vars.items():
        found = trace["activations_reductions"]["norm"].sel(tensor=name)
        expected = np.sqrt((values.astype(np.float64) ** 2).sum(values.dims[2:]))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistics": ["nrom"]}, "no statistic 'nrom': did you mean 'norm'"),
        ({"quantiles": [1.5]}, "expected quantiles from 0 to 1"),
        ({"histogram": [8, 1.0, -1.0]}, "expected a histogram of"),
        ({"histogram": [8, 1.0, 1.0]}, "expected a histogram of"),
        ({"histogram": [0, -1.0, 1.0]}, "expected a histogram of"),
    ],
)
def test_options_that_make_no_sense_are_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        Reductions(**options)
