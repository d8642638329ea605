"""PCA, steps, displacement and turns, each against its definition on raw rows."""

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from analyses.grams import gram
from analyses.trajectories import (
    displacement,
    effective_rank,
    path_length,
    pca,
    step_length,
    tortuosity,
    turning_angle,
)
from tracekit.errors import AnalysisError


def path(n_visits=8, n_elements=20):
    rows = np.random.default_rng(5).standard_normal((n_visits, n_elements)).cumsum(axis=0) + 30
    coords = {"visit": np.arange(n_visits), "position": ("visit", np.arange(n_visits) % 4)}
    return rows, xr.DataArray(rows, dims=("visit", "element"), coords=coords).chunk(visit=3, element=7)


def slow_pca(rows):
    left, singular, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    scores = left * singular
    for component in scores.T:
        if component[np.argmax(np.abs(component))] < 0:
            component *= -1
    return scores, singular**2 / np.sum(singular**2), np.sum(singular**2) ** 2 / np.sum(singular**4)


@pytest.mark.parametrize("center", [True, False])
def test_pca_is_that_of_a_singular_value_decomposition(center):
    rows, labelled = path()
    found = pca(gram(labelled, center=center), n_components=4)
    scores, share, participation = slow_pca(rows)
    np.testing.assert_allclose(found["scores"], scores[:, :4], atol=1e-8)
    np.testing.assert_allclose(found["explained_variance_ratio"], share[:4], atol=1e-10)
    np.testing.assert_allclose(found["participation_ratio"], participation)
    assert found["scores"].dims == ("visit", "component")
    assert found["position"].dims == ("visit",)


def test_rotating_the_space_leaves_scores():
    rows, labelled = path()
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((20, 20)))
    turned = labelled.copy(data=rows @ rotation)
    np.testing.assert_allclose(pca(gram(turned))["scores"], pca(gram(labelled))["scores"], atol=1e-8)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_shares_ranks_and_turns_are_the_same_at_any_size(factor):
    _, labelled = path()
    small, large = gram(factor * labelled), gram(labelled)
    for name in ("explained_variance_ratio", "participation_ratio"):
        np.testing.assert_allclose(pca(small)[name], pca(large)[name])
    for measure in (effective_rank, tortuosity, turning_angle):
        np.testing.assert_allclose(measure(small), measure(large), rtol=1e-6)


def test_all_scores_keep_distances():
    rows, labelled = path()
    scores = pca(gram(labelled), n_components=8)["scores"].values
    apart = np.linalg.norm(rows[:, np.newaxis] - rows, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(scores[:, np.newaxis] - scores, axis=-1), apart, atol=1e-7)


def test_a_nan_visit_has_nan_scores_and_leaves_the_others():
    rows, labelled = path()
    rows[3, 0] = np.nan
    found = pca(gram(labelled.copy(data=rows)))
    others = [0, 1, 2, 4, 5, 6, 7]
    scores, share, _ = slow_pca(rows[others])
    assert np.isnan(found["scores"][3]).all()
    np.testing.assert_allclose(found["scores"][others], scores[:, :3], atol=1e-8)
    np.testing.assert_allclose(found["explained_variance_ratio"], share[:3], atol=1e-10)


def test_what_does_not_move_has_no_shares_and_few_visits_few_components():
    still = pca(gram(xr.DataArray(np.ones((4, 3)), dims=("visit", "element"))))
    assert np.isnan(still["explained_variance_ratio"]).all()
    assert np.isnan(still["participation_ratio"])
    two = pca(gram(path(2)[1]), n_components=3)
    np.testing.assert_array_equal(np.isnan(two["scores"]).all("visit"), [False, False, True])
    with pytest.raises(AnalysisError, match="expected 1 or more, found 0"):
        pca(gram(path()[1]), n_components=0)


def test_no_visits_at_all_give_empty_scores():
    nothing = xr.DataArray(np.empty((0, 3)), dims=("visit", "element"))
    assert pca(gram(nothing))["scores"].shape == (0, 3)


def test_steps_displacement_and_turns_are_those_of_the_rows():
    rows, labelled = path()
    steps = np.diff(rows, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    matrix = gram(labelled)
    np.testing.assert_allclose(step_length(matrix), [np.nan, *lengths])
    np.testing.assert_allclose(displacement(matrix), np.linalg.norm(rows - rows[0], axis=1), atol=1e-9)
    angles = [
        np.arccos(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) for one, other in pairwise(steps)
    ]
    np.testing.assert_allclose(turning_angle(matrix), [np.nan, *angles, np.nan])


def test_a_step_of_no_length_has_no_turn():
    rows = xr.DataArray([[0.0], [1.0], [1.0], [2.0], [1.0]], dims=("visit", "element"))
    np.testing.assert_allclose(turning_angle(gram(rows)), [np.nan, np.nan, np.nan, np.pi, np.nan])


@pytest.mark.parametrize("measure", [step_length, displacement, turning_angle])
@pytest.mark.parametrize("n_visits", [0, 1, 2])
def test_short_paths(measure, n_visits):
    assert measure(gram(path(n_visits)[1])).shape == (n_visits,)


def test_length_tortuosity_and_rank_are_those_of_the_rows():
    rows = np.cumsum(np.random.default_rng(0).standard_normal((9, 5)), axis=0)
    matrix = gram(xr.DataArray(rows, dims=("visit", "element")).chunk(visit=2, element=2))
    length = sum(np.linalg.norm(later - earlier) for earlier, later in pairwise(rows))
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    share = singular / singular.sum()
    np.testing.assert_allclose(path_length(matrix), length)
    np.testing.assert_allclose(tortuosity(matrix), length / np.linalg.norm(rows[-1] - rows[0]))
    np.testing.assert_allclose(effective_rank(matrix), np.prod(share**-share), rtol=1e-6)


def test_paths_that_go_nowhere_or_hold_nan():
    still = gram(xr.DataArray(np.ones((4, 3)), dims=("visit", "element")))
    assert path_length(still) == 0
    assert np.isnan(tortuosity(still))
    assert np.isnan(effective_rank(still))
    rows = np.arange(12.0).reshape(4, 3)
    rows[1, 1] = np.nan
    broken = gram(xr.DataArray(rows, dims=("visit", "element")))
    assert np.isnan(path_length(broken))
    np.testing.assert_allclose(effective_rank(broken), 1.0, atol=1e-6)
