"""Writing into a trace that another process of the team has made: what it declares is taken as told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tracekit.format.layout import CLOCK, TIMELINE, ArrayLayout, open_series
from tracekit.format.marker import Marker, require_marker
from tracekit.format.schema import Series
from tracekit.schedule import Plan
from tracekit.store import Store
from tracekit.writing.claims import Claim
from tracekit.writing.columns import Column
from tracekit.writing.starting import PLACE, Beginning, go_on


def follow(store: Store) -> Beginning:
    """Begin to write into a trace that another process of the team has made."""
    columns = [Series(TIMELINE, name, dtype="int64") for name in PLACE] + [Series(TIMELINE, CLOCK)]
    timeline = {series.name: Column(open_series(series, ())) for series in columns}
    return Beginning(store, _NoClaim(store, ""), {"status": "running"}, Marker(0, 0), 0, _Told(), timeline)


def follow_on(store: Store, plan: Plan, *, snapshots: int | None) -> Beginning:
    """Go on with a trace that another process of the team has taken up."""
    marker = require_marker(store)
    if marker.committed == 0:
        return follow(store)
    claim, facts = _NoClaim(store, ""), {"status": "running"}
    return go_on(store, plan, claim, marker, facts, snapshots=snapshots, leads=False)


class _NoClaim(Claim):
    """Stands for the claim that the leader holds for all."""

    def is_held(self) -> bool:
        """Say no: nothing that belongs to the holder is to be done here."""
        return False

    def check(self) -> None:
        """Do nothing: the leader checks."""

    def release(self) -> None:
        """Do nothing: the leader releases it."""


class _Told:
    """Takes declarations that the leader makes true."""

    def group(self, name: str, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Give the attributes."""
        return dict(attributes)

    def array(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> ArrayLayout:
        """Give the layout."""
        return layout

    def known(self, layout: ArrayLayout, values: npt.NDArray[np.int64]) -> None:
        """Do nothing."""

    def column(self, layout: ArrayLayout, attributes: Mapping[str, Any]) -> Column:
        """Give a series that stays in memory."""
        return Column(layout)

    def check(self) -> None:
        """Do nothing."""

    def may_have(self, group: str) -> bool:
        """Say so of every group."""
        return True

    def undeclared(self) -> list[str]:
        """Give nothing."""
        return []

    def copies(self) -> list[tuple[str, bytes]]:
        """Give nothing: the leader puts them."""
        return []
