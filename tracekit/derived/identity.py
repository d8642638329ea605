"""What a result is the result of: its name, its parameters, the code, and what was read."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import importlib.metadata
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from tracekit.format.checks import checking, entry, mapping
from tracekit.format.codecs import checksum
from tracekit.format.documents import read_document
from tracekit.format.layout import METADATA
from tracekit.format.marker import unchanged
from tracekit.store import Store, open_store

DIGEST_CHARACTERS = 16
DISTRIBUTION, PACKAGES = "tracekit-ml", ("analyses", "recorders", "tracekit")


@dataclass(frozen=True)
class Identity:
    """Everything on which a result depends.

    Parameters
    ----------
    name : str
        Name of the analysis or figure.
    parameters : mapping
        Its options, as JSON has them.
    code : str
        Package, version and digest of the source of all of the package: a change anywhere in it may change
        the numbers.
    sources : sequence of mapping
        For each trace: `path`, absolute; `run_id`; `generation`, which changes when visits are dropped;
        `committed`, how many snapshots there were; and `kinds`, a checksum of the index of each kind. What is
        committed never changes within a generation, so this tells data apart without reading it. Bytes that
        decay on a disk are found by `tracekit verify`, not here.
    """

    name: str
    parameters: Mapping[str, Any]
    code: str
    sources: tuple[Mapping[str, Any], ...]

    @property
    def key(self) -> str:
        """A name that no other result has: one of other parameters, code or data has another."""
        return f"{self.family}-{_digest([self.code, *map(_without_path, self.sources)])}"

    @property
    def family(self) -> str:
        """What all results of the same name, parameters and runs have in common, however old."""
        runs = [source["run_id"] for source in self.sources]
        return f"{self.name}-{_digest([self.parameters, runs])}"

    def differences(self, other: Identity) -> list[str]:
        """Say what of the code and the data has changed since `other`."""
        changes = [] if self.code == other.code else [f"code: {other.code}, now {self.code}"]
        for now, then in zip(self.sources, other.sources, strict=True):
            changes += [f"{what}: {then.get(what)}, now {now[what]}" for what in _changed(now, then)]
        return changes


def identity(
    name: str, parameters: Mapping[str, Any], build: Callable[..., Any], traces: Sequence[xr.DataTree]
) -> Identity:
    """Give the identity of what `build` would make of traces now."""
    plain = json.loads(json.dumps(dict(parameters), sort_keys=True))
    return Identity(name, plain, code_of(build), tuple(source(trace) for trace in traces))


def code_of(build: Callable[..., Any]) -> str:
    """Give the version of the code that a function belongs to; empty if it has no files."""
    return code_version(_home(build))


def source(trace: xr.DataTree) -> dict[str, Any]:
    """Give what tells the data of an opened trace from any other."""
    return source_of({str(name): value for name, value in trace.attrs.items()}, trace.children)


def source_of(facts: Mapping[str, Any], kinds: Collection[str]) -> dict[str, Any]:
    """Give what tells the data of a trace from any other, by its attributes and the kinds that it holds.

    Raises
    ------
    TraceRolledBackError
        If visits were dropped since it was opened.
    """
    store = open_store(facts["path"])
    with unchanged(store, facts["generation"]):  # values in memory would be those of visits since dropped
        return {
            "path": _from_anywhere(facts["path"]),
            "run_id": facts["run_id"],
            "generation": facts["generation"],
            "committed": int(facts["snapshots_committed"]),
            "kinds": {name: _index_checksum(store, name) for name in sorted(kinds)},
        }


def read_identity(store: Store, group: str) -> Identity:
    """Read of what a kept result is the result.

    Raises
    ------
    TraceError
        If it is not there, or not as it was written.
    """
    attributes = read_document(store, f"{group}/{METADATA}")["attributes"]
    with checking(f"{store.url}/{group}/{METADATA}"):
        return parse_identity(attributes)


def parse_identity(attributes: Mapping[str, Any]) -> Identity:
    """Give the identity from the attributes of a kept result; a `MalformedError` if it is none."""
    record = mapping(entry(attributes, "identity", "attributes"), "identity")
    fields = {name: entry(record, name, "identity") for name in ("name", "parameters", "code", "sources")}
    sources = tuple(mapping(found, "source") for found in fields.pop("sources"))
    return Identity(**fields, sources=sources)


@functools.cache
def code_version(name: str) -> str:
    """Give name, version and digest of the source of a package or module; empty if it has no files.

    Examples
    --------
    >>> code_version("analyses").split()[0]
    'analyses'
    """
    files = _source_files(name)
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return f"{name} {_version(name)} {digest.hexdigest()[:DIGEST_CHARACTERS]}"


def _source_files(name: str) -> list[Path]:
    file = getattr(importlib.import_module(name), "__file__", None)
    if file is None or not Path(file).is_file():
        return []
    return sorted(Path(file).parent.rglob("*.py")) if Path(file).name == "__init__.py" else [Path(file)]


def _version(name: str) -> str:
    """Give the version of a package; to search all distributions for it takes longer than analyses do."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(DISTRIBUTION if name in PACKAGES else name)
    return "unversioned"


def _home(build: Callable[..., Any]) -> str:
    """Give the package whose code makes the numbers, or the module where it is in none."""
    while isinstance(build, functools.partial):
        build = build.func
    module = str(build.__module__)
    package = module.partition(".")[0]
    return package if _source_files(package) else module


def _from_anywhere(path: str) -> str:
    """Give a path that means the same in another working directory."""
    return path if "://" in path else str(Path(path).absolute())


def _index_checksum(store: Store, kind: str) -> str:
    data = store.get(f"{kind}/{METADATA}")
    return "" if data is None else checksum(data).hex()


def _changed(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    return [what for what in ("run_id", "generation", "committed", "kinds") if now[what] != then.get(what)]


def _without_path(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "path"}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGEST_CHARACTERS]
