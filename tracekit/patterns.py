"""Names chosen by patterns: globs, regular expressions, and what is left out."""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Sequence

from tracekit.errors import TracekitError

EXCLUDES = "!"
REGEX = "re:"
Expand = Callable[[str, Sequence[str]], Sequence[str]]


def choose(
    names: Sequence[str],
    patterns: str | Sequence[str],
    *,
    what: str = "name",
    error: type[TracekitError] = TracekitError,
    expand: Expand | None = None,
) -> list[str]:
    """Give the names that any pattern means, in their own order.

    Parameters
    ----------
    names : sequence of str
        The names there are.
    patterns : str or sequence of str
        `"*.bias"` is a glob over the whole name; `"re:layers[.][02]"` is a regular expression found anywhere
        in it; a `!` before either leaves out what it means. Patterns that only leave out choose the rest.
    what : str
        What the names are of, for errors.
    error : type
        The error that is raised.
    expand : callable, optional
        Gives the names that one pattern means, in place of `expand_pattern`.

    Raises
    ------
    TracekitError
        Of the type `error`: if a pattern means nothing, with the names that come near, or all is left out.

    Examples
    --------
    >>> names = ["layers.0.bias", "layers.0.weight", "layers.1.bias", "head.bias"]
    >>> choose(names, ["*.bias", "!head*"])
    ['layers.0.bias', 'layers.1.bias']
    >>> choose(names, "re:[.]0[.]")
    ['layers.0.bias', 'layers.0.weight']
    """
    given = _listed(patterns, error)
    meant = {pattern: _meant(names, pattern, what, error, expand or expand_pattern) for pattern in given}
    taken = [pattern for pattern in given if not pattern.startswith(EXCLUDES)]
    chosen = set(names) if not taken else {name for pattern in taken for name in meant[pattern]}
    for pattern in set(given) - set(taken):
        chosen -= set(meant[pattern])
    if not chosen:
        raise error(f"{', '.join(given)} leaves out every {what}; choose some")
    return [name for name in names if name in chosen]


def _listed(patterns: str | Sequence[str], error: type[TracekitError]) -> tuple[str, ...]:
    given = (patterns,) if isinstance(patterns, str) else patterns
    if not isinstance(given, Sequence) or not all(isinstance(pattern, str) for pattern in given):
        raise error(f"expected a pattern, or a list of patterns, found {patterns!r}")
    return tuple(given)


def expand_pattern(pattern: str, names: Sequence[str]) -> Sequence[str]:
    """Give the names that one pattern, without its `!`, means."""
    if pattern.startswith(REGEX):
        found = re.compile(pattern.removeprefix(REGEX))
        return [name for name in names if found.search(name)]
    return [name for name in names if fnmatch.fnmatchcase(name, pattern)]


def _meant(
    names: Sequence[str], pattern: str, what: str, error: type[TracekitError], expand: Expand
) -> Sequence[str]:
    bare = pattern.removeprefix(EXCLUDES)
    try:
        found = expand(bare, names)
    except re.error as fault:
        raise error(f"{pattern!r} is no regular expression: {fault}") from fault
    if not found:
        near = difflib.get_close_matches(bare, names, n=3, cutoff=0.3) or list(names)[:3]
        known = f"there are {len(names)}, such as {', '.join(near)}" if near else "there are none"
        raise error(f"no {what} matches {bare!r}; {known}")
    return found
