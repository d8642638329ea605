"""The one place for how figures look: theme, colours, line styles, colour maps.

Colours are told apart by every common kind of colour vision (the palette is seaborn's `colorblind`), and
never carry a difference alone: a run also has its own line style and marker.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.colors import ListedColormap

INK = "#262626"
MUTED = "#6b6b6b"
FAINT = "#c4c4c4"
UNDEFINED = "#e4e4e4"

SEQUENTIAL = "viridis"
DIVERGING = "vlag"
CYCLIC = "twilight"

THEME: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.xmargin": 0.02,
    "axes.titleweight": "bold",
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: figures look the same everywhere
    "font.size": 9,
    "hatch.linewidth": 0.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "lines.linewidth": 1.5,
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 8,
    "xtick.major.size": 3,
    "xtick.major.width": 0.8,
    "ytick.color": INK,
    "ytick.labelsize": 8,
    "ytick.major.size": 3,
    "ytick.major.width": 0.8,
}


@dataclass(frozen=True)
class RunStyle:
    """How one run is drawn wherever it appears."""

    colour: str
    line: str
    marker: str


FIXED = {
    "cyclic": RunStyle("#0173b2", "-", "o"),
    "shuffled": RunStyle("#de8f05", "--", "s"),
}
"""Runs that are always drawn alike, by label."""

OTHERS = (
    RunStyle("#029e73", "-.", "^"),
    RunStyle("#cc78bc", ":", "D"),
    RunStyle("#ca9161", "-", "v"),
    RunStyle("#56b4e9", "--", "P"),
    RunStyle("#949494", "-.", "X"),
)
"""Runs under any other label, in order; repeated where there are more."""


@contextmanager
def theme() -> Iterator[None]:
    """Draw in the project's style; the caller's settings come back afterwards."""
    with mpl.rc_context({**sns.axes_style("ticks"), **THEME}):
        yield


def run_styles(labels: Iterable[str]) -> dict[str, RunStyle]:
    """Give every run its style, by label.

    Examples
    --------
    >>> styles = run_styles(["cyclic", "mine"])
    >>> styles["cyclic"].line, styles["mine"].line
    ('-', '-.')
    """
    others = cycle(OTHERS)
    return {label: FIXED[label] if label in FIXED else next(others) for label in labels}


def steps(n_steps: int) -> ListedColormap:
    """Give `n_steps` ordered colours, dark to light, each dark enough to be read on white."""
    return ListedColormap(mpl.colormaps[SEQUENTIAL](np.linspace(0.0, 0.88, max(n_steps, 1))))
