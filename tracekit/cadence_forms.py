"""Cadences as configurations write them: numbers, lists and mappings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from tracekit.cadences import AllOf, AnyOf, Around, At, Calling, Epochs, Every, Exactly, LogSpaced, When
from tracekit.callables import require_takes
from tracekit.errors import ConfigurationError
from tracekit.plugins import suggestion
from tracekit.schedule import Cadence

WhenForm: TypeAlias = "When | Cadence | int | Mapping[str, Any] | Sequence[Any]"


def parse_when(form: WhenForm) -> When:
    """Give the cadence that a number, a list, a mapping or a callable stands for.

    Parameters
    ----------
    form
        One of

        - `4` or `{every: 4}`: once in 4 visits
        - `{visits: [0, 3, 50]}`: the visits that are named
        - `{log_spaced: 20}`: 20 visits, each about the same factor after the one before
        - `{epochs: [0, 5]}`: all visits of these epochs
        - `{around: {tasks: [0, 7], width: 2}}`: visits that bring these tasks back, and 2 before and after
        - a list of these (not of numbers alone), or `{any: […]}`: what any of them means
        - `{all: […]}`: what all of them mean
        - from Python, a callable that says of a visit number whether it is meant, or a `When`

        A mapping may have `ends: false` beside its key: then the first and last snapshot, which otherwise
        are part of every cadence, are left out unless they are meant.

    Raises
    ------
    ConfigurationError
        If it is none of them.

    Examples
    --------
    >>> parse_when({"every": 4})
    Every(n_visits=4)
    >>> parse_when([10, {"epochs": [0]}])
    AnyOf(parts=(Every(n_visits=10), Epochs(epochs=(0,))))
    """
    if isinstance(form, When):
        return form
    if isinstance(form, int):
        return Every(_whole(form, "every"))
    if isinstance(form, Mapping):
        return _parse_mapping(form)
    if isinstance(form, Sequence) and not isinstance(form, str):
        return AnyOf(_parse_list(form))
    if callable(form):
        require_takes(form, ("visit",), what="when")
        return Calling(form)
    raise ConfigurationError(
        f"when: expected a number, a list or a mapping, found {form!r}; write {{every: 4}}, say, or "
        "from Python give a callable as it is"
    )


def _parse_mapping(form: Mapping[str, Any]) -> When:
    keys = [key for key in form if key != "ends"]
    if len(keys) != 1:
        raise ConfigurationError(
            f"when: expected one of {', '.join(PARSERS)} (join several in a list), found "
            f"{', '.join(map(str, keys)) or 'none'}"
        )
    (key,) = keys
    if key not in PARSERS:
        raise ConfigurationError(f"when: no cadence {key!r}{suggestion(str(key), list(PARSERS))}")
    when = PARSERS[key](form[key])
    ends = form.get("ends", True)
    if not isinstance(ends, bool):
        raise ConfigurationError(f"when: ends is true or false, found {ends!r}")
    return when if ends else Exactly(when)


def _parse_around(value: Any) -> When:
    if not isinstance(value, Mapping) or "tasks" not in value or not set(value) <= {"tasks", "width"}:
        raise ConfigurationError(
            f"when: around: expected keys tasks and width, as in {{tasks: [0], width: 2}}, found {value!r}"
        )
    return Around(_wholes(value["tasks"], "around"), _whole(value.get("width", 0), "around"))


def _parse_list(form: Sequence[Any]) -> tuple[When, ...]:
    """Parse the parts of a list. Whoever writes numbers alone most likely means visits, not steps."""
    if form and all(isinstance(part, int) for part in form):
        numbers = ", ".join(map(str, form))
        steps = ", ".join(f"{{every: {number}}}" for number in form)
        raise ConfigurationError(
            f"when: a list of numbers alone may mean two things, found {list(form)}; write "
            f"{{visits: [{numbers}]}} for these visits, [{steps}] for every so many"
        )
    return _parse_parts(form, "a list")


def _parse_parts(value: Any, what: str) -> tuple[When, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise ConfigurationError(f"when: {what}: expected one cadence or more, found {value!r}")
    return tuple(parse_when(part) for part in value)


def _wholes(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ConfigurationError(f"when: {what}: expected a list of numbers, found {value!r}")
    return tuple(_whole(item, what) for item in value)


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError(f"when: {what}: expected a whole number, found {value!r}")
    return value


PARSERS: dict[str, Callable[[Any], When]] = {
    "every": lambda value: Every(_whole(value, "every")),
    "visits": lambda value: At(_wholes(value, "visits")),
    "log_spaced": lambda value: LogSpaced(_whole(value, "log_spaced")),
    "epochs": lambda value: Epochs(_wholes(value, "epochs")),
    "around": _parse_around,
    "any": lambda value: AnyOf(_parse_parts(value, "any")),
    "all": lambda value: AllOf(_parse_parts(value, "all")),
}
