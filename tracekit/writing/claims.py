"""Who writes a trace: a claim that every other writer can read, and can tell to be dead.

A claim is a small JSON object of its own name, below the marker's array. To take one, a writer puts its own
and then looks at all there are: if another one lives, it withdraws. Of two that come at once, at least the
later sees the earlier; no lock is needed, on any store whose listing shows what was put. A claim is dead if
its process is gone, if the process of that number started at another time, or if the machine was started
anew since. What another machine does cannot be seen from here: such a claim is refused until told otherwise.
"""

from __future__ import annotations

import datetime
import json
import os
import random
import socket
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Literal

from tracekit.errors import TraceInUseError, TraceWarning
from tracekit.format.layout import COMMIT_KEY
from tracekit.format.marker import taken_over
from tracekit.store import Store
from tracekit.writing.processes import boot_id, is_alive, namespace, process_start

CLAIMS_KEY = f"{COMMIT_KEY}/claims"
ATTEMPTS = 8
WITHDRAWN_SECONDS = 0.05

State = Literal["alive", "unknown", "dead"]
STATES: tuple[State, ...] = ("alive", "unknown", "dead")


@dataclass(frozen=True)
class Holder:
    """The process that a claim speaks of."""

    host: str
    process: int
    process_start: str
    boot: str
    namespace: str
    since: str

    @classmethod
    def this_process(cls) -> Holder:
        """Describe the process that asks."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        process = os.getpid()
        return cls(socket.gethostname(), process, process_start(process), boot_id(), namespace(), now)

    def state(self) -> State:
        """Say whether it lives, as far as that can be seen from here."""
        here = Holder.this_process()
        if self.host != here.host:
            return "unknown"
        if self.boot != here.boot:
            return "dead"
        if self.namespace != here.namespace:
            return "unknown"
        return "alive" if is_alive(self.process, self.process_start) else "dead"


@dataclass(frozen=True)
class Claim:
    """The right to write a trace, held until it is released or taken over.

    Parameters
    ----------
    store, key
        Where it lies.
    by_force : bool
        Whether it was taken from a writer that may still live.
    """

    own: ClassVar[bool] = True
    """Whether this process holds it, and not the leader of its team."""

    store: Store
    key: str
    by_force: bool = False

    def is_held(self) -> bool:
        """Say whether no other writer has taken over."""
        return self.store.get(self.key) is not None

    def check(self) -> None:
        """Raise `TraceInUseError` if another writer has taken over."""
        if not self.is_held():
            raise taken_over(self.store, ", ".join(holders(self.store)))

    def release(self) -> None:
        """Let others write."""
        self.store.remove(self.key)


def take_claim(store: Store, *, force: bool = False) -> Claim:
    """Become the one writer of a trace; claims of dead writers are cleared away.

    Parameters
    ----------
    store : Store
        Where the trace lies, or will.
    force : bool
        Take over whoever holds it. A writer that still lives stops at its next commit.

    Raises
    ------
    TraceInUseError
        If another writer lives, or may live; says who.
    """
    claim = Claim(store, f"{CLAIMS_KEY}/{uuid.uuid4().hex}.json")
    text = json.dumps(asdict(Holder.this_process()), indent=2).encode()
    if force:
        store.put(claim.key, text)
        others = [key for key in claims_of(store) if key != claim.key]
        _clear(store, others)
        if others:
            _warn_where_late_puts_count(store, claim.key, text)
        return replace(claim, by_force=bool(others))
    living: list[str] = []
    for _ in range(ATTEMPTS):
        _refuse(store, _look(store)[0])
        store.put(claim.key, text)
        living, dead = _look(store, but=claim.key)
        if not living:
            # none but these: who has come since then withdraws by itself, and must find its own claim
            _clear(store, dead)
            return claim
        claim.release()  # both came at once; the one that waits less comes first
        time.sleep(random.uniform(0, WITHDRAWN_SECONDS))
    _refuse(store, living)
    raise TraceInUseError(f"{store.url}: several writers came at once; try again")


def _warn_where_late_puts_count(store: Store, key: str, text: bytes) -> None:
    """Try whether the store puts an object that is to be put only if nothing is there."""
    if store.put_unless_changed(key, [text], None) is not None:
        warnings.warn(
            f"{store.url}: this store pays no attention to the conditions of puts, so that one of the writer "
            "that was taken over can replace what this one writes, if it comes late; make sure that it has "
            "stopped, and run `tracekit verify` in the end",
            TraceWarning,
            stacklevel=4,
        )


def _look(store: Store, but: str = "") -> tuple[list[str], list[str]]:
    """Say who holds other claims and is not dead, and give the keys of those of dead holders."""
    living: list[str] = []
    dead: list[str] = []
    for key in claims_of(store):
        text = None if key == but else store.get(key)
        if text is None:
            continue
        who = _holder_of(key, text)
        if who is None:
            dead.append(key)
        else:
            living.append(who)
    return living, dead


def claims_of(store: Store) -> Iterator[str]:
    """Give the keys of all claims to a trace."""
    return (f"{CLAIMS_KEY}/{name}" for name in list(store.children(CLAIMS_KEY)))


def _holder_of(key: str, text: bytes) -> str | None:
    """Say who holds a claim, or None if that is a dead process."""
    try:
        holder = Holder(**json.loads(text))
    except (ValueError, TypeError):
        return f"a claim that cannot be read ({key}); if no other process writes it, {FORCE}"
    state = holder.state()
    return None if state == "dead" else _who(holder, state)


FORCE = "take it over with force_claim=True (--force-claim)"


def last_writer(store: Store) -> tuple[State, str]:
    """Say whether the writer of a trace lives, and name it; dead and nameless where nobody has a claim.

    This tells a run that goes on from one whose process was killed.
    """
    states: dict[State, str] = {"dead": "the one that wrote it"}
    for holder in _holders(store):
        states[holder.state()] = _named(holder)
    return next((state, states[state]) for state in STATES if state in states)


def holders(store: Store) -> Iterator[str]:
    """Name all that have claims, as far as these can be read."""
    return map(_named, _holders(store))


def _holders(store: Store) -> Iterator[Holder]:
    for text in filter(None, map(store.get, claims_of(store))):
        with suppress(ValueError, TypeError):
            yield Holder(**json.loads(text))


def _named(holder: Holder) -> str:
    return f"process {holder.process} on {holder.host}, {_started(holder)}, writing since {holder.since}"


def _who(holder: Holder, state: State) -> str:
    who = _named(holder)
    if holder.process == os.getpid() and state == "alive":
        return f"{who}: this very process. Close the other writer first, or {FORCE}"
    if state == "alive":
        return f"{who}. Wait until it ends, or stop it"
    return f"{who}. Whether it still lives cannot be seen from here; if you know that it does not, {FORCE}"


def _started(holder: Holder) -> str:
    _, _, moment = holder.process_start.partition(" ")
    return f"started {moment}" if moment else "start time unknown"


def _refuse(store: Store, others: list[str]) -> None:
    if others:
        raise TraceInUseError(f"{store.url}: has a writer already, {others[0]}")


def _clear(store: Store, keys: Iterable[str]) -> None:
    for key in keys:
        store.remove(key)
