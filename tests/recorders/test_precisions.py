"""A row has the fewest bits that hold its tensors, unless fewer are asked for."""

import numpy as np
import pytest
import torch

from recorders import GradientRecorder, WeightRecorder
from recorders.copying import copy_row
from recorders.tensors import row_dtype
from tracekit import Recording, flat, open_trace
from tracekit.format.precision import array_dtype, from_bfloat16
from tracekit.training import parse_configuration, prepare, train

HALF, BRAIN, SINGLE, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        ([BRAIN], "bfloat16"),
        ([BRAIN, BRAIN], "bfloat16"),
        ([HALF], "float16"),
        ([HALF, BRAIN], "float32"),
        ([SINGLE, BRAIN], "float32"),
        ([DOUBLE, HALF], "float64"),
        ([torch.float8_e4m3fn], "float32"),
        ([], "float32"),
    ],
)
def test_a_row_holds_all_of_its_tensors_without_loss(dtypes, expected):
    tensors = [torch.randn(5).to(dtype) for dtype in dtypes]
    assert row_dtype(tensors) == expected
    row = np.empty(5 * len(dtypes), array_dtype(expected))
    copy_row(row, tensors, [5] * len(dtypes))
    values = from_bfloat16(row) if expected == "bfloat16" else row
    for tensor, part in zip(tensors, values.reshape(-1, 5), strict=True):
        assert torch.equal(tensor.double(), torch.from_numpy(part).double())


def test_only_floating_point_numbers_are_recorded():
    with pytest.raises(TypeError, match=r"floating point numbers are recorded, found torch\.int64"):
        row_dtype([torch.zeros(1, dtype=torch.int64)])


def recorded(path, precision="float32", **options):
    settings = {
        "model": {"width": 8, "layers": 1, "heads": 2, "precision": precision},
        "tasks": {"n_documents": 2, "max_tokens": 8, "tokenizer": {"vocabulary": 260}},
        "training": {"epochs": 1, "updates_per_visit": 1, "threads": 1},
    }
    run = prepare(parse_configuration(settings))
    train(run, [Recording(path, [WeightRecorder(**options), GradientRecorder(**options)])])
    return run, open_trace(path)


def test_a_bfloat16_model_is_kept_in_16_bits_without_loss(tmp_path):
    run, trace = recorded(tmp_path / "run.zarr", precision="bfloat16")
    last = trace["weights"].isel(visit=-1)
    for name, parameter in run.model.named_parameters():
        np.testing.assert_array_equal(last[name].values, parameter.detach().float().numpy())
        assert last[name].dtype == np.float32
        assert last[name].attrs["recorded_dtype"] == "bfloat16"
    n_elements = trace["weights/flat"].sizes["element"]
    assert (tmp_path / "run.zarr/weights/values/c/0/0").stat().st_size < 2.1 * n_elements
    assert np.isfinite(flat(trace, "gradients")).all()


@pytest.mark.parametrize(("keep", "dtype", "bits"), [("bfloat16", BRAIN, 16), ("float16", HALF, 16)])
def test_fewer_bits_on_request(tmp_path, keep, dtype, bits):
    run, trace = recorded(tmp_path / "run.zarr", keep=keep)
    last = trace["weights"].isel(visit=-1)
    for name, parameter in run.model.named_parameters():
        np.testing.assert_array_equal(last[name].values, parameter.detach().to(dtype).float().numpy())
    n_elements = trace["weights/flat"].sizes["element"]
    assert (tmp_path / "run.zarr/weights/values/c/0/0").stat().st_size < bits / 8 * 1.05 * n_elements


def test_no_more_bits_than_there_are(tmp_path):
    _, trace = recorded(tmp_path / "run.zarr", precision="bfloat16", keep="float32")
    n_elements = trace["weights/flat"].sizes["element"]
    assert (tmp_path / "run.zarr/weights/values/c/0/0").stat().st_size < 2.1 * n_elements
