"""What is recorded is the gradient of the optimizer's step: accumulated, unscaled, clipped."""

import numpy as np
import pytest
import torch

from recorders import GradientNormRecorder, GradientRecorder, record
from tracekit import flat, open_trace

N_STEPS, N_PARTS, WIDTH = 4, 3, 5
DATA = torch.randn(N_STEPS, N_PARTS, 2, WIDTH, generator=torch.Generator().manual_seed(1))


def make_model(dtype=torch.float32):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(WIDTH, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).to(dtype)


def loss_of(model, part):
    return model(part).square().mean() / N_PARTS


def scaled_loop(path, *, clip, fused=False):
    """Accumulate, scale and clip, with the weights of every step kept."""
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **({"fused": True} if fused else {}))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=2)
    weights = []
    recorders = [GradientRecorder(updates="all"), GradientNormRecorder()]
    with record(model, optimizer, path, recorders=recorders) as trace:
        for parts in DATA:
            weights.append([p.detach().clone().double() for p in model.parameters()])
            optimizer.zero_grad()
            for part in parts:
                scaler.scale(loss_of(model, part)).backward()
            if clip is not None:
                scaler.unscale_(optimizer)
                trace.clipped(torch.nn.utils.clip_grad_norm_(model.parameters(), clip))
            scaler.step(optimizer)
            scaler.update()
            trace.visit()
    return open_trace(path), weights


def twin(weights, parts, clip):
    """Give the gradient of all parts together at some weights, and its norm before clipping."""
    model = make_model(torch.float64)
    with torch.no_grad():
        for parameter, values in zip(model.parameters(), weights, strict=True):
            parameter.copy_(values)
    sum(loss_of(model, part.double()) for part in parts).backward()
    gradient = np.concatenate([p.grad.numpy().ravel() for p in model.parameters()])
    norm = np.linalg.norm(gradient)
    return gradient * min(1.0, (clip or np.inf) / norm), norm


@pytest.mark.parametrize(("clip", "fused"), [(None, False), (0.05, False), (None, True)])
def test_accumulated_scaled_and_clipped(tmp_path, clip, fused):
    trace, weights = scaled_loop(tmp_path / "run.zarr", clip=clip, fused=fused)
    found = flat(trace, "gradients").values
    norms = trace["gradient_norms"]
    assert found.shape[0] == N_STEPS
    for step, parts in enumerate(DATA):
        expected, norm = twin(weights[step], parts, clip)
        np.testing.assert_allclose(found[step], expected, rtol=2e-5, atol=1e-8)
        np.testing.assert_allclose(norms["gradient_norm"][step], np.linalg.norm(expected), rtol=1e-5)
        if clip is not None:
            assert norm > clip
            np.testing.assert_allclose(norms["unclipped_gradient_norm"][step], norm, rtol=1e-5)
    if clip is None:
        assert np.isnan(norms["unclipped_gradient_norm"]).all(), "the loop did not tell"


def test_a_step_that_overflows_is_none(tmp_path):
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    with record(
        model, optimizer, tmp_path / "run.zarr", recorders=[GradientRecorder(updates="all")]
    ) as trace:
        for parts in DATA:
            optimizer.zero_grad()
            scaler.scale(1e3 * loss_of(model, parts[0])).backward()
            scaler.step(optimizer)
            scaler.update(2.0)
        trace.visit()
    found = flat(open_trace(tmp_path / "run.zarr"), "gradients")
    assert found.sizes["update"] == N_STEPS - 1
    assert np.isfinite(found).all()
