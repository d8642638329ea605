"""Of a real run, a sketch tells what the tensors tell, within the error that it states."""

import numpy as np
import pytest

from analyses import cosine, distance, gram, pca, residual_cosine, step_length
from recorders import WeightRecorder
from recorders.sketches import Sketch
from tracekit import Recording, flat, open_trace
from tracekit.training import parse_configuration, prepare, train

K = 4096
SMALL = {
    "model": {"layers": 2, "width": 64, "heads": 4},
    "tasks": {"n_documents": 5, "max_tokens": 32, "tokenizer": {"vocabulary": 400}},
    "training": {"epochs": 4, "updates_per_visit": 3},
}


def recorded(folder, settings, sketch):
    path = folder / "run.zarr"
    train(
        prepare(parse_configuration(settings)),
        [Recording(path, [WeightRecorder(keep=["full", sketch])], durability="rename")],
    )
    return open_trace(path)


@pytest.fixture(scope="module", params=["model", "tensor"])
def trace(request, tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("sketched"), SMALL, Sketch(components=K, per=request.param))


def residual_cosines(values, n_tasks):
    """Cosines between all pairs of different visits whose residuals are defined."""
    found = residual_cosine(values, window=n_tasks).values
    pairs = found[np.triu_indices(len(found), 1)]
    return pairs[np.isfinite(pairs)]


def test_residual_cosines_from_a_sketch(trace):
    full, sketched = (residual_cosines(flat(trace, kind), 5) for kind in ("weights", "weights_sketch"))
    assert len(full) == len(sketched) > 100
    assert np.ptp(full) > 0.5, "cosines of very different size"
    assert np.quantile(abs(sketched - full), 0.99) < 3 / np.sqrt(K)


def test_distances_and_steps_from_a_sketch(trace):
    full, sketched = (gram(flat(trace, kind)) for kind in ("weights", "weights_sketch"))
    apart = ~np.eye(len(full), dtype=bool)
    for measure in (distance, step_length):
        expected, found = (np.asarray(measure(matrix)) for matrix in (full, sketched))
        used = apart if expected.ndim == 2 else slice(1, None)
        # the square of a length has a relative standard error of sqrt(2 / k), the length one half of it
        np.testing.assert_allclose(found[used], expected[used], rtol=4 / np.sqrt(2 * K))


def test_principal_components_from_a_sketch(trace):
    full, sketched = (pca(gram(flat(trace, kind)), n_components=2) for kind in ("weights", "weights_sketch"))
    name = "explained_variance_ratio"
    np.testing.assert_allclose(sketched[name], full[name], atol=3 / np.sqrt(K))
    for component in (1, 2):
        expected, found = (path["scores"].sel(component=component).values for path in (full, sketched))
        alike = abs(expected @ found) / np.linalg.norm(expected) / np.linalg.norm(found)
        assert alike > 1 - 9 / np.sqrt(K)


def test_gram_matrices_of_single_tensors_add_up(tmp_path):
    trace = recorded(tmp_path, SMALL, Sketch(components=256, per="tensor"))
    names = [item["name"] for item in flat(trace, "weights").attrs["fields"]]
    whole = gram(flat(trace, "weights_sketch"))
    parts = sum(gram(flat(trace, "weights_sketch", select=name)) for name in names)
    np.testing.assert_allclose(whole, parts, rtol=1e-9, atol=1e-9 * float(abs(whole).max()))
    small = [name for name in names if trace["weights"][name][0].size <= 256]
    exact = gram(flat(trace, "weights", select=small))
    np.testing.assert_allclose(
        gram(flat(trace, "weights_sketch", select=small)), exact, rtol=1e-9, atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("k", [1024, 4096, 16_384])
def test_a_thousand_pairs_of_real_residuals_stay_within_three_standard_errors(tmp_path, k):
    """The cosine error is at most 3/√k at the 99th percentile, over pairs of residuals of a trained model."""
    settings = {
        "model": {"layers": 4, "width": 128, "heads": 4},
        "tasks": {"n_documents": 8, "max_tokens": 64},
        "training": {"epochs": 7, "updates_per_visit": 5, "optimizer": {"kind": "adam"}},
    }
    trace = recorded(tmp_path, settings, Sketch(components=k))
    assert flat(trace, "weights").sizes["element"] > 1e6
    full, sketched = (residual_cosines(flat(trace, kind), 8) for kind in ("weights", "weights_sketch"))
    chosen = np.random.default_rng(0).choice(len(full), 1000, replace=False)
    errors = abs(sketched - full)[chosen]
    print(f"k {k}: error at the 99th percentile {np.quantile(errors, 0.99) * np.sqrt(k):.2f}/√k")
    assert np.quantile(errors, 0.99) <= 3 / np.sqrt(k)
    raw, estimated = (cosine(gram(flat(trace, kind))).values for kind in ("weights", "weights_sketch"))
    assert np.nanquantile(abs(raw - estimated), 0.99) <= 3 / np.sqrt(k)
