"""Building any analysis computes nothing, with several chunks along every dim, and memory gives the same."""

import dask
import numpy as np
import pytest
import xarray as xr

import analyses
from tracekit import flat, plugins
from tracekit.testing import no_compute, synthetic_runs, synthetic_trace

SHUFFLED = [[0, 1, 2, 3, 4], [3, 0, 2, 1, 4], [2, 4, 0, 3, 1], [0, 4, 1, 2, 3]]


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(n_tasks=5, n_epochs=4)


def values(tree):
    return flat(tree, "weights")


def losses(tree):
    return tree["losses"].to_dataset()


def scores(tree):
    return analyses.recovery(losses(tree))


def pairwise(tree):
    """A matrix over tasks made of losses, at every visit but 0."""
    loss = losses(tree)["eval_loss"].rename(task="evaluated").drop_vars("evaluated")
    return loss.expand_dims(trained=5).isel(visit=slice(1, None))


def examples(tree):
    return analyses.example_gram(flat(tree, "activations"))


def dissimilar(tree):
    return analyses.rdm(flat(tree, "activations"), metric="euclidean")


def seeds(tree):
    return xr.concat([scores(tree)] * 3, "run", coords="minimal", compat="override")


def residuals(tree):
    return analyses.residual_cosine(values(tree), window=5)


def over_runs(tree):
    """Scores of three runs, and the size of each."""
    sizes = xr.DataArray([1.0, 2.0, 3.0], dims="run")
    return seeds(tree)["recovery_score"] * sizes, sizes


def rotated(tree):
    return analyses.recovery_test(losses(tree), n_resamples=20)


PUBLIC = {
    "adjusted": lambda tree: analyses.adjusted(rotated(tree)["p_value"]),
    "effect_size": lambda tree: analyses.effect_size(*[scores(tree)["task_recovery_score"]] * 2),
    "jonckheere": lambda tree: analyses.jonckheere(*over_runs(tree), n_resamples=20),
    "kendall": lambda tree: analyses.kendall(*over_runs(tree)),
    "level_means": lambda tree: analyses.level_means(*over_runs(tree)),
    "mantel": lambda tree: analyses.mantel(residuals(tree), residuals(tree)),
    "noise_ceiling": lambda tree: analyses.noise_ceiling(seeds(tree)["peak"]),
    "page": lambda tree: analyses.page(scores(tree)["peak"], unit="task", condition="interval"),
    "page_test": lambda tree: analyses.page_test(scores(tree)),
    "recovery_test": rotated,
    "seeds_interval": lambda tree: analyses.seeds_interval(seeds(tree), n_resamples=20),
    "average_forgetting": lambda tree: analyses.average_forgetting(losses(tree)),
    "backward_transfer": lambda tree: analyses.backward_transfer(losses(tree)),
    "corrected_recovery": lambda tree: analyses.corrected_recovery(
        losses(tree), analyses.general_learning(losses(tree))
    ),
    "less_shared": lambda tree: analyses.less_shared(losses(tree)),
    "forward_transfer": lambda tree: analyses.forward_transfer(losses(tree)),
    "general_learning": lambda tree: analyses.general_learning(losses(tree)),
    "pairwise_summary": lambda tree: analyses.pairwise_summary(pairwise(tree), losses(tree)["trained_task"]),
    "cosine": lambda tree: analyses.cosine(analyses.gram(values(tree))),
    "cyclicity": lambda tree: analyses.cyclicity(analyses.gram(values(tree)), period=5),
    "displacement": lambda tree: analyses.displacement(analyses.gram(values(tree))),
    "distance": lambda tree: analyses.distance(analyses.gram(values(tree))),
    "gram": lambda tree: analyses.gram(tree["activations"].to_dataset()),
    "gram_of": lambda tree: analyses.gram_of(tree, "weights", by="parameter"),
    "online_loss": lambda tree: analyses.online_loss(losses(tree)),
    "order_test": lambda tree: analyses.order_test(scores(tree), scores(tree), n_resamples=20),
    "pca": lambda tree: analyses.pca(analyses.gram(values(tree))),
    "per_visit": lambda tree: analyses.per_visit(values(tree)),
    "recovery": scores,
    "cka": lambda tree: analyses.cka(examples(tree), n_permutations=9),
    "effective_rank": lambda tree: analyses.effective_rank(analyses.gram(values(tree))),
    "example_gram": lambda tree: examples(tree),
    "path_length": lambda tree: analyses.path_length(analyses.gram(values(tree))),
    "period": lambda tree: analyses.period(analyses.cosine(analyses.gram(values(tree)))),
    "procrustes": lambda tree: analyses.procrustes(examples(tree)),
    "rdm": lambda tree: analyses.rdm(flat(tree, "activations"), metric="correlation"),
    "rsa": lambda tree: analyses.rsa(dissimilar(tree), n_permutations=9),
    "tortuosity": lambda tree: analyses.tortuosity(analyses.gram(values(tree).isel(visit=slice(4)))),
    "recovery_interval": lambda tree: analyses.recovery_interval(scores(tree), n_resamples=20),
    "residual_cosine": lambda tree: analyses.residual_cosine(values(tree), window=5),
    "residual_gram": lambda tree: analyses.residual_gram(values(tree), window=5),
    "shift_averaged_loss": lambda tree: analyses.shift_averaged_loss(losses(tree)),
    "statistics": lambda tree: analyses.statistics(tree, "activations").fillna(0),
    "step_length": lambda tree: analyses.step_length(analyses.gram(values(tree))),
    "turning_angle": lambda tree: analyses.turning_angle(analyses.gram(values(tree))),
}


def test_every_public_analysis_is_tried_here():
    assert sorted(PUBLIC) == sorted(analyses.__all__)


def test_the_trace_has_several_chunks_along_every_dim(trace):
    for kind in ("weights", "gradients", "activations"):
        assert min(flat(trace, kind).data.numblocks) > 1
    assert min(losses(trace)["eval_loss"].data.numblocks) > 1


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_building_computes_nothing_and_gives_what_memory_gives(name, trace):
    with no_compute():
        lazy = PUBLIC[name](trace)
    assert dask.is_dask_collection(lazy)
    in_memory = PUBLIC[name](trace.compute())
    assert not dask.is_dask_collection(in_memory)
    xr.testing.assert_allclose(lazy.compute(), in_memory, atol=1e-9)


@pytest.mark.parametrize("name", plugins.names("tracekit.analyses"))
def test_plug_ins_build_without_computing(name):
    analysis = plugins.load("tracekit.analyses", name)
    cyclic = synthetic_runs(2, n_tasks=5, n_epochs=4, noise=0.1)
    shuffled = synthetic_runs(2, order=SHUFFLED, noise=0.1)
    runs = cyclic if name == "seeds" else [cyclic[0], shuffled[1]]
    with no_compute():
        built = analysis.build(*runs[: analysis.n_traces[1]])
    assert all(values.chunks is not None for values in built.data_vars.values() if values.dtype == np.float64)
    computed = built.compute()
    assert all(np.isfinite(values).any() for values in computed.data_vars.values())
