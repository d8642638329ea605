"""Sketches are linear, keep inner products with the error that they state, and can be drawn again."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from recorders import TaskGradientRecorder, WeightRecorder
from recorders.count_sketch import TABLE, CountSketch, draw
from recorders.sketches import Sketch
from tracekit import Recording, flat, open_trace
from tracekit.errors import ConfigurationError
from tracekit.format.schema import Field, Rows
from tracekit.training import parse_configuration, prepare, train

SHAPES = ((37, 20), (5,), (64,), (301,))
ROWS = Rows("weights", tuple(Field(f"t{n}", shape) for n, shape in enumerate(SHAPES)), visits=(0,))


def tensors(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def sketched(values, **options):
    form = Sketch(**options)
    declared = form.declare(ROWS, None)
    row = np.empty(declared.row_shape, declared.dtype)
    form.fill(row, values, 0)
    return row


def slow_sketch(values, k, seed):
    """Every element on its own, from what the attributes of a sketch say and the words of the counter."""
    n_table = TABLE * k
    signs = [1 - 2 * int(word & 1) for word in draw(seed, 0, 0, n_table + k).tolist()]
    sketch, block = np.zeros(k), 0
    for tensor in values:
        elements = tensor.double().ravel().tolist()
        for start in range(0, len(elements), k):
            rotation, place, turned = (int(draw(seed, stream, block, 1)[0]) for stream in (1, 2, 3))
            for j, value in enumerate(elements[start : start + k]):
                sign = signs[place % n_table + j] * (1 - 2 * (turned & 1))
                sketch[(j + rotation) % k] += sign * value
            block += 1
    return sketch


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
@pytest.mark.parametrize("k", [1, 7, 64, 500, 4000])
@pytest.mark.parametrize("seed", [0, 3])
def test_it_is_what_its_slow_twin_gives(device, k, seed):
    there = [tensor.to(device) for tensor in tensors()]
    np.testing.assert_allclose(
        sketched(there, components=k, seed=seed), slow_sketch(tensors(), k, seed), rtol=1e-5, atol=1e-4
    )


def test_words_of_the_counter_are_those_published_for_splitmix64():
    """The first numbers of splitmix64 from seed 1234567, as its reference implementation prints them."""
    from recorders.count_sketch import GOLDEN, _mix

    with np.errstate(over="ignore"):
        found = _mix(np.arange(3, dtype=np.uint64) * np.uint64(GOLDEN) + np.uint64(1234567))
    assert found.tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_it_is_linear_and_parts_add_up():
    x, y = tensors(1), tensors(2)
    mixed = [2 * a - 3 * b for a, b in zip(x, y, strict=True)]
    expected = 2 * sketched(x, components=50) - 3 * sketched(y, components=50)
    np.testing.assert_allclose(sketched(mixed, components=50), expected, atol=1e-4)
    parts = [[t if n == m else None for n, t in enumerate(x)] for m in range(len(x))]
    total = sum(sketched(part, components=50) for part in parts)
    np.testing.assert_allclose(sketched(x, components=50), total, atol=1e-5)


@pytest.mark.parametrize("k", [7, 64, 500])
def test_parts_of_a_tensor_wherever_they_are_cut_add_up_to_it(k):
    values, cuts = tensors(), [0, 3, 64, 65, 200, 448, 740]
    projection = CountSketch([tensor.numel() for tensor in values], k, seed=3)
    flat_values = values[0].ravel()
    parts = [projection({0: flat_values[a:b]}, {0: a}) for a, b in pairwise(cuts)]
    whole = slow_sketch(values[:1], k, 3)
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-5, atol=1e-4)


def test_a_sketch_of_each_tensor_keeps_small_ones_whole():
    x, y = tensors(1), tensors(2)
    options = {"components": 100, "per": "tensor"}
    row, other = sketched(x, **options), sketched(y, **options)
    assert [len(part) for part in np.split(row, [100, 105, 169])] == [100, 5, 64, 100]
    np.testing.assert_array_equal(row[100:169], torch.cat([x[1], x[2]]).numpy())
    alone = sketched([None, None, None, x[3]], components=100)
    np.testing.assert_allclose(row[169:], alone, atol=1e-6)
    inner = sum(float((a.double() * b.double()).sum()) for a, b in zip(x, y, strict=True))
    assert abs(row @ other - inner) < 6 * np.sqrt(2 * 740 * 740 / 100)


def test_tensors_of_other_precisions():
    x = [tensor.to(torch.bfloat16) for tensor in tensors()]
    expected = sketched([tensor.float() for tensor in x], components=64)
    np.testing.assert_allclose(sketched(x, components=64), expected, rtol=1e-6)
    np.testing.assert_allclose(
        sketched([tensor.double() for tensor in x], components=64), expected, rtol=1e-5, atol=1e-5
    )


def structured(name, n, generator):
    """Rows that would catch a projection which is only good for noise."""
    if name == "noise":
        return generator.standard_normal((2, n))
    if name == "constant":
        return np.ones((2, n)) + 0.1 * generator.standard_normal((2, n))
    if name == "every 64th":
        rows = np.zeros((2, n))
        rows[:, ::64] = generator.standard_normal((2, len(range(0, n, 64))))
        return rows
    repeated = np.tile(generator.standard_normal(64), n // 64)
    return np.stack([repeated, repeated * np.sign(generator.standard_normal(n))])


@pytest.mark.parametrize("name", ["noise", "constant", "every 64th", "the same block again and again"])
def test_inner_products_are_kept_with_the_stated_variance(name):
    n, k, n_seeds = 64 * 40, 64, 600
    x, y = structured(name, n, np.random.default_rng(0))
    errors = []
    for seed in range(n_seeds):
        projection = CountSketch([n], k, seed)
        pair = [projection({0: torch.from_numpy(row)}).double().numpy() for row in (x, y)]
        errors.append(pair[0] @ pair[1] - x @ y)
    bound = (1 + (2 * k + 3) / (TABLE * k)) * ((x @ x) * (y @ y) + (x @ y) ** 2) / k
    assert abs(np.mean(errors)) < 4 * np.sqrt(bound / n_seeds), "unbiased"
    assert np.var(errors) < bound * (1 + 4 * np.sqrt(2 / n_seeds) * 2), "no more than the bound, and noise"


TOY = {"tasks": {"kind": "toy", "n_tasks": 3, "inputs": 40, "outputs": 30}, "training": {"epochs": 2}}


def test_what_a_trace_holds_says_how_it_was_made(tmp_path):
    keep = ["full", {"kind": "sketch", "components": 256, "seed": 5}]
    recorders = [WeightRecorder(keep=keep), TaskGradientRecorder(keep=keep)]
    train(prepare(parse_configuration(TOY)), [Recording(tmp_path / "run.zarr", recorders)])
    trace = open_trace(tmp_path / "run.zarr")

    assert trace["weights_sketch"]["all"].dims == ("visit", "component_256")
    assert trace["task_gradients_sketch"]["all"].dims == ("visit", "task", "component_256")
    facts = trace["weights_sketch"].attrs["sketch"]
    assert (facts["kind"], facts["components"], facts["seed"], facts["table"]) == (
        "count-sketch",
        256,
        5,
        2048,
    )
    row = flat(trace, "weights").isel(visit=4).values
    sizes = [tensor["size"] for tensor in facts["tensors"]]
    parts = [torch.from_numpy(part) for part in np.split(row, np.cumsum(sizes)[:-1])]
    expected = slow_sketch(parts, facts["components"], facts["seed"])
    np.testing.assert_allclose(flat(trace, "weights_sketch").isel(visit=4), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{"components": 0}, {"seed": -1}, {"seed": 2**61}, {"per": "layer"}])
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ConfigurationError, match="keep: sketch: expected components from 1"):
        Sketch(**options)
