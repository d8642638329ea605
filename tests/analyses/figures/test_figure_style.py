from itertools import combinations

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest
from matplotlib.colors import to_rgb

from analyses.figures import style

Floats = npt.NDArray[np.float64]

# Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, full severity, on linear RGB
VISION = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "full": np.eye(3).tolist(),
}


def seen(colour: object, vision: str) -> Floats:
    """Gives a colour in CIE L*a*b* as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(VISION[vision]) @ linear, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    ratio = to_xyz @ linear / to_xyz.sum(axis=1)
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
def test_cyclic_and_shuffled_are_told_apart_by_every_eye(vision: str) -> None:
    cyclic, shuffled = (seen(style.FIXED[name].colour, vision) for name in ("cyclic", "shuffled"))
    assert np.linalg.norm(cyclic - shuffled) > 40


@pytest.mark.parametrize("vision", VISION)
def test_ends_of_the_diverging_colours_are_told_apart(vision: str) -> None:
    colours = mpl.colormaps[style.DIVERGING]
    assert np.linalg.norm(seen(colours(0.0), vision) - seen(colours(1.0), vision)) > 40


@pytest.mark.parametrize("vision", VISION)
def test_steps_grow_lighter_and_stay_darker_than_paper(vision: str) -> None:
    lightness = [seen(style.steps(10)(step), vision)[0] for step in range(10)]
    assert all(np.diff(lightness) > 2)
    assert lightness[-1] < 90


def test_no_two_styles_are_alike_in_anything_but_line() -> None:
    styles = [*style.FIXED.values(), *style.OTHERS]
    for one, other in combinations(styles, 2):
        assert one.colour != other.colour
        assert one.marker != other.marker


def test_orders_keep_their_style_in_any_company() -> None:
    assert style.run_styles(["a", "shuffled", "b", "cyclic"]) == {
        "a": style.OTHERS[0],
        "shuffled": style.FIXED["shuffled"],
        "b": style.OTHERS[1],
        "cyclic": style.FIXED["cyclic"],
    }


def test_styles_begin_again_where_runs_are_many() -> None:
    labels = [f"run {number}" for number in range(len(style.OTHERS) + 1)]
    styles = style.run_styles(labels)
    assert styles[labels[-1]] == style.OTHERS[0]


def test_the_theme_ends_with_its_block() -> None:
    before = dict(mpl.rcParams)
    with style.theme():
        assert not mpl.rcParams["axes.spines.top"]
    assert dict(mpl.rcParams) == before
