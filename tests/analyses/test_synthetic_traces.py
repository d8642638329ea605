"""The published synthetic traces: as an opened trace is, and with the answers they promise."""

import numpy as np
import pytest

from tracekit.testing import cyclic_order, no_compute, synthetic_losses, synthetic_trace


def test_every_row_names_its_visit_and_coordinates_are_in_memory():
    trace = synthetic_trace(n_tasks=3, n_epochs=2)
    with no_compute():
        for kind in ("losses", "weights", "weights/flat", "activations"):
            np.testing.assert_array_equal(trace[kind]["visit"], range(7))
            np.testing.assert_array_equal(trace[kind]["trained_task"], [-1, 0, 1, 2, 0, 1, 2])
            np.testing.assert_array_equal(trace[kind]["epoch"], [-1, 0, 0, 0, 1, 1, 1])
            np.testing.assert_array_equal(trace[kind]["position"], [-1, 0, 1, 2, 0, 1, 2])
        np.testing.assert_array_equal(trace["gradients/flat"]["visit"], range(1, 7))


def test_named_tensors_are_slices_of_the_flat_rows():
    trace = synthetic_trace()
    rows = trace["activations/flat"]["values"]
    weight, bias = (trace["activations"][name] for name in ("block.weight", "block.bias"))
    np.testing.assert_array_equal(weight.values.reshape(13, 4, 4), rows[..., :4])
    np.testing.assert_array_equal(bias, rows[..., 4:])
    assert [field["offset"] for field in rows.attrs["fields"]] == [0, 4]


def test_train_loss_is_the_loss_met_before_each_visit():
    losses = synthetic_losses(n_tasks=3, n_epochs=3, recovery_scores=[0.5])
    np.testing.assert_allclose(losses["train_loss"], [2, 2, 2, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5])
    np.testing.assert_array_equal(losses["update_visit"], range(1, 10))


def test_a_run_needs_visits():
    with pytest.raises(ValueError, match="at least one task and one visit"):
        synthetic_losses(order=cyclic_order(3, 0))
