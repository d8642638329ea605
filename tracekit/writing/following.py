"""Writing into a trace that another process of the team has made: what it declares is taken as told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from tracekit.format.layout import CLOCK, TIMELINE, ArrayLayout, open_series
from tracekit.format.marker import Marker, require_marker, taken_over
from tracekit.format.schema import Series
from tracekit.schedule import Plan
from tracekit.store import Store
from tracekit.writing.claims import Claim, claims_of, holders
from tracekit.writing.columns import Column
from tracekit.writing.fencing import FencedStore
from tracekit.writing.starting import PLACE, Beginning, go_on


def follow(store: Store) -> Beginning:
    """Begin to write into a trace that another process of the team has made."""
    columns = [Series(TIMELINE, name, dtype="int64") for name in PLACE] + [Series(TIMELINE, CLOCK)]
    timeline = {series.name: Column(open_series(series, ())) for series in columns}
    claim = _LeadersClaim.of(store)
    fenced, facts = FencedStore(store, claim), {"status": "running"}
    return Beginning(fenced, claim, facts, Marker(0, 0), 0, _Told(), timeline)


def follow_on(store: Store, plan: Plan, *, snapshots: int | None) -> Beginning:
    """Go on with a trace that another process of the team has taken up."""
    marker = require_marker(store)
    if marker.committed == 0:
        return follow(store)
    claim, facts = _LeadersClaim.of(store), {"status": "running"}
    return go_on(FencedStore(store, claim), plan, claim, marker, facts, snapshots=snapshots, leads=False)


@dataclass(frozen=True)
class _LeadersClaim(Claim):
    """The claim that the leader holds for all: one of those that there were when this process came."""

    own = False
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, store: Store) -> Self:
        """Look which claims there are."""
        return cls(store, "", keys=tuple(claims_of(store)))

    def is_held(self) -> bool:
        """Say no: nothing that belongs to the holder is to be done here."""
        return False

    def check(self) -> None:
        """Raise `TraceInUseError` if another writer has taken over from the leader."""
        if not any(self.store.get(key) for key in self.keys):
            raise taken_over(self.store, ", ".join(holders(self.store)))

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
