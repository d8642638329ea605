"""What a run is, as the attributes at the root of its trace say it."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from typing import Any

from tracekit.differences import differences
from tracekit.errors import TraceWriteError
from tracekit.format.documents import read_document
from tracekit.format.layout import FORMAT, FORMAT_VERSION, METADATA, OPEN_FORMAT_VERSION, TIMELINE
from tracekit.format.marker import require_marker
from tracekit.reading.counts import OPEN_ENDED, PLANNED, is_open
from tracekit.reading.extent import read_known
from tracekit.schedule import OpenPlan, Plan
from tracekit.store import Store
from tracekit.writing.declaring import as_recorded, refuse_differences
from tracekit.writing.software import software_versions


def new_facts(plan: Plan, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the attributes of a new trace."""
    return {
        "format": FORMAT,
        "format_version": OPEN_FORMAT_VERSION if isinstance(plan, OpenPlan) else FORMAT_VERSION,
        "run_id": uuid.uuid4().hex,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "status": "running",
        **_plan_facts(plan),
        "software": software_versions(),
        **attributes,
    }


def recorded_facts(store: Store, plan: Plan, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Give the attributes of a trace that is to be resumed, once they have been found to be those of the run.

    Raises
    ------
    TraceWriteError
        If the trace is complete, or differs from the run; every difference is named.
    """
    recorded = dict(read_document(store, METADATA).get("attributes", {}))
    committed = require_marker(store).committed
    if recorded.get("status") == "complete" and committed == recorded.get(PLANNED):
        raise TraceWriteError(
            f"{store.url}: is complete, all {committed} snapshots; there is nothing to resume"
        )
    now = as_recorded({**_plan_facts(plan), **attributes})
    before = {key: recorded.get(key, ...) for key in now}
    found = list(differences(_without_recording(before), _without_recording(now)))
    if not is_open(recorded) and not is_open(now):
        order = read_known(store, f"{TIMELINE}/trained_task")[1:].tolist()
        found += differences(order, plan.order.ravel().tolist(), "task order, visit")
    refuse_differences(store, found)
    return recorded


def _without_recording(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out how the run is recorded, which may change when it goes on."""
    configuration = facts.get("configuration")
    if not isinstance(configuration, Mapping):
        return dict(facts)
    kept = {name: section for name, section in configuration.items() if name != "recording"}
    return {**facts, "configuration": kept}


def _plan_facts(plan: Plan) -> dict[str, Any]:
    if isinstance(plan, OpenPlan):
        return {OPEN_ENDED: True, "n_tasks": plan.n_tasks}
    return {
        "n_tasks": plan.n_tasks,
        "n_epochs": int(plan.order.shape[0]),
        "updates_per_visit": plan.updates_per_visit,
        PLANNED: plan.n_visits + 1,
    }
