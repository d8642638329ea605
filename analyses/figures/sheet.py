"""A figure as a sheet of panels under a heading, with a legend above and footnotes below them.

Room is made for each, so that panels keep their size however long the words are.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from analyses.figures import style

HEADING_CHARACTERS, TITLE_CHARACTERS, LEGEND_CHARACTERS, NOTE_CHARACTERS = 11, 10, 14, 18
"""Characters that fit an inch."""

TITLE_LINE, HEADING_LINE, LEGEND_LINE, NOTE_LINE = 0.17, 0.26, 0.19, 0.16
"""Heights in inches."""

LEGEND_HANDLE = 8
"""Room for the sign beside a word of a legend, in characters."""


@dataclass(frozen=True)
class Layout:
    """Size of a panel in inches, panels in a row at most, and room beside them for a colour bar."""

    width: float
    height: float
    columns: int = 3
    beside: float = 0.0
    share: bool = False
    """Whether panels share the axis of values and, in one column, that of time: runs differ in length."""


@dataclass(frozen=True)
class Sheet:
    """A figure and its panels, by title.

    `inner` holds the panels: a legend goes around it, and headings and footnotes keep their room outside it.
    """

    figure: Figure
    inner: SubFigure
    panels: dict[str, Axes] = field(default_factory=dict)

    @property
    def first(self) -> Axes:
        """The first panel."""
        return next(iter(self.panels.values()))

    @property
    def last(self) -> Axes:
        """The last panel."""
        return next(reversed(self.panels.values()))

    def legend(self, entries: Sequence[Artist]) -> None:
        """Write one legend above all panels: in a row, or below each other if long."""
        room = self.figure.get_figwidth() * LEGEND_CHARACTERS
        labels = [wrapped(str(entry.get_label()), room - LEGEND_HANDLE) for entry in entries]
        in_a_row = sum(len(label) + LEGEND_HANDLE for label in labels) <= room
        n_lines = 1 if in_a_row else sum(map(n_lines_of, labels))
        self.inner.legend(entries, labels, loc="outside upper left", ncols=len(labels) if in_a_row else 1)
        self._grow(LEGEND_LINE * n_lines + 0.1)

    def describe(self, heading: str, notes: Iterable[str]) -> None:
        """Write a heading above, and notes below, everything else."""
        width = self.figure.get_figwidth()
        above = wrapped(heading, width * HEADING_CHARACTERS)
        below = wrapped(" ".join(filter(None, notes)), width * NOTE_CHARACTERS)
        self.figure.suptitle(above, x=0.01, ha="left")
        self.figure.supxlabel(below, x=0.01, ha="left", fontsize=7.5, color=style.MUTED, linespacing=1.3)
        self._grow(HEADING_LINE * n_lines_of(above) + NOTE_LINE * n_lines_of(below))

    def _grow(self, inches: float) -> None:
        self.figure.set_figheight(self.figure.get_figheight() + inches)


def sheet(titles: Iterable[str], layout: Layout) -> Sheet:
    """Give a sheet with one empty panel for each title."""
    lines = {title: wrapped(title, layout.width * TITLE_CHARACTERS) for title in titles}
    rows = math.ceil(len(lines) / layout.columns)
    columns = math.ceil(len(lines) / rows)
    height = layout.height + TITLE_LINE * max(map(n_lines_of, lines.values()))
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.07)
    figure = Figure(figsize=(columns * layout.width + layout.beside, rows * height), layout=engine)
    inner = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    stacked = layout.share and layout.columns == 1
    grid = inner.subplots(rows, columns, squeeze=False, sharex=stacked, sharey=layout.share).ravel()
    for unused in grid[len(lines) :]:
        unused.remove()
    panels = dict(zip(lines, grid, strict=False))
    for title, panel in panels.items():
        panel.set_title(lines[title])
    return Sheet(figure, inner, panels)


def wrapped(text: str, width: float) -> str:
    """Break a text into lines of at most `width` characters; long names are cut at any place."""
    return textwrap.fill(text, max(int(width), 12), break_on_hyphens=False)


def n_lines_of(text: str) -> int:
    """Count the lines of a text, at least one."""
    return text.count("\n") + 1
