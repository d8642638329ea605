"""`tracekit show`: what a trace holds."""

from __future__ import annotations

from typing import Any

import click

from tracekit.cli.parameters import TRACE


@click.command(short_help="Show what a trace holds.")
@click.argument("run", type=TRACE)
@click.option("--json", "as_document", is_flag=True, help="Print one JSON object.")
@click.option("--configuration", is_flag=True, help="Print the configuration too.")
@click.option("--follow", "following", is_flag=True, help="Show how far a run is, until it ends.")
@click.option(
    "--interval",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0.01),
    help="Seconds between looks of --follow.",
)
def show(run: str, as_document: bool, configuration: bool, following: bool, interval: float) -> None:
    """Show what the trace RUN holds: how far it got, and what was recorded. Only metadata is read.

    With --follow, a run that has not begun yet is waited for. It ends with the run: with status 0 if that was
    closed, with 1 if it was killed.

    \b
    Examples:
      tracekit show demo/cyclic.zarr
      tracekit show demo/cyclic.zarr --json
      tracekit show s3://bucket/runs/cyclic.zarr
      tracekit show demo/cyclic.zarr --follow --interval 5
    """
    if following:
        from tracekit.cli.follow import follow

        follow(run, interval, as_document=as_document)
        return
    describe(run, as_document=as_document, configuration=configuration)


def describe(run: str, *, as_document: bool = False, configuration: bool = False) -> None:
    """Print what a trace holds."""
    from tracekit.cli.output import as_json, print_table, text
    from tracekit.reading.opening import open_trace

    trace = open_trace(run)
    facts, kinds = dict(trace.attrs), _kinds(trace)
    if as_document:
        click.echo(as_json({**facts, "kinds": kinds}))
        return
    settings = facts.pop("configuration", {})
    facts.pop("task_fingerprints", None)
    facts.pop("model_signature", None)
    if "gaps" in facts:
        facts["gaps"] = "; ".join(gap_notes(trace))
    facts["status"] = _status(facts["status"], facts["path"])
    facts["software"] = ", ".join(f"{name} {version}" for name, version in facts["software"].items())
    print_table(("fact", "value"), [(str(name).replace("_", " "), text(facts[name])) for name in facts])
    print_table(
        ("kind", "variables", "dims", "values", "in memory"), [tuple(kind.values()) for kind in kinds]
    )
    if configuration:
        import yaml

        click.echo(yaml.safe_dump(settings, sort_keys=False))


def _status(status: str, path: str) -> str:
    """Say how a run stands; one that was killed has left `running` behind."""
    from tracekit.store import open_store
    from tracekit.writing.claims import last_writer

    if status != "running":
        return status
    state, writer = last_writer(open_store(path))
    if state == "dead":
        return f"not closed: {writer} has ended"
    if state == "unknown":
        return f"running, if {writer} still lives, which cannot be seen from here"
    return f"running: {writer}"


def gap_notes(trace: Any) -> list[str]:
    """Say which visits or updates of which kinds could not be written."""
    return [
        f"{kind}: missing at {trace[kind]['flat']['values'].dims[0]} {', '.join(map(str, samples))}, "
        "where it could not be written"
        for kind, samples in trace.attrs.get("gaps", {}).items()
    ]


def _kinds(trace: Any) -> list[dict[str, Any]]:
    """Give a row per kind: how many variables, over how many visits and elements."""
    from tracekit.cli.output import size

    rows = []
    for name, node in trace.children.items():
        dataset = node["flat"].to_dataset() if "flat" in node.children else node.to_dataset()
        rows.append(
            {
                "kind": name,
                "variables": len(node.data_vars),
                "dims": ", ".join(f"{dim} {n}" for dim, n in dataset.sizes.items()),
                "values": sum(variable.size for variable in dataset.data_vars.values()),
                "in_memory": size(sum(variable.nbytes for variable in dataset.data_vars.values())),
            }
        )
    return rows
