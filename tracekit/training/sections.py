"""What all sections of a configuration have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

KIND = "kind="
"""Begins the tags of unions, so that a tag in an error's place is never taken for a key."""

IN_FULL = "in_full"
"""Type of errors whose message says what was expected and found by itself."""


class Section(BaseModel):
    """A section of a configuration: frozen, and without keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def section_at(top: type[Section], place: Sequence[int | str]) -> type[Section]:
    """Give the class of the section at the place of an error, which is made of keys, indices and tags."""
    section, members = top, [top]
    for step in place:
        if isinstance(step, int):
            continue
        if step.startswith(KIND):
            kind = step.removeprefix(KIND)
            section = next(member for member in members if member.model_fields["kind"].default == kind)
        else:
            members = list(_sections_in(section.model_fields[step].annotation))
            section = members[0]
    return section


def _sections_in(annotation: object) -> Iterator[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for part in get_args(annotation):
        yield from _sections_in(part)


def by_kind(default: str) -> Discriminator:
    """Choose the member of a union by the key `kind`, or by `default` where there is none."""

    def tag(data: object) -> str:
        kind = data.get("kind", default) if isinstance(data, Mapping) else getattr(data, "kind", default)
        return f"{KIND}{kind}"

    return Discriminator(tag)


def list_or(other: str) -> Discriminator:
    """Choose the member `list` of a union for lists, and the member `other` for everything else."""
    return Discriminator(lambda data: f"{KIND}{'list' if isinstance(data, (list, tuple)) else other}")


def mapping_or(other: str) -> Discriminator:
    """Choose the member `mapping` of a union for mappings, and the member `other` for everything else."""
    return Discriminator(lambda data: f"{KIND}{'mapping' if isinstance(data, Mapping) else other}")


def _refuse_bool(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "Input should be a number")
    return value


Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, strict=True)]
Number = Annotated[float, BeforeValidator(_refuse_bool)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(ge=0, lt=1)]
Text = Annotated[str, Field(min_length=1)]
Patterns = Annotated[
    Annotated[Text, Tag("kind=name")] | Annotated[tuple[Text, ...], Field(min_length=1), Tag("kind=list")],
    list_or("name"),
]
