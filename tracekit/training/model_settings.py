"""The section `model` of a configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Tag, model_validator
from pydantic_core import PydanticCustomError

from tracekit.training.sections import IN_FULL, Count, Section, Text, by_kind, mapping_or

FromScratch = Literal["paper", "model"]
Precision = Literal["float32", "float64", "bfloat16"]


class GPTNeoX(Section):
    """A GPT-NeoX of random weights, its vocabulary that of the tasks.

    `initialization` is the `model`'s own, or that of the `paper` (see `tracekit.training.initialization`).
    """

    kind: Literal["gpt_neox"] = "gpt_neox"
    layers: Count = 4
    width: Count = 128
    heads: Count = 4
    initialization: FromScratch = "paper"
    precision: Precision = "float32"

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise PydanticCustomError(
                IN_FULL,
                "expected a width that is a multiple of heads, found width {width} and heads {heads}",
                {"width": self.width, "heads": self.heads},
            )
        return self


class Pretrained(Section):
    """Any Hugging Face causal language model, by its name or by a local path.

    `initialization` says whether its weights are kept (`none`), or thrown away and drawn anew as the `paper`
    does.
    """

    kind: Literal["pretrained"] = "pretrained"
    path: Text
    revision: Text | None = None
    initialization: Literal["none", "paper"] = "none"
    precision: Precision = "float32"


class Architecture(Section):
    """Random weights of any Hugging Face architecture: a configuration written out, its name or local path.

    A configuration that is written out names its `model_type`; where it has no `vocab_size`, it takes that of
    the tasks.
    """

    kind: Literal["config"] = "config"
    config: Annotated[
        Annotated[dict[str, Any], Tag("kind=mapping")] | Annotated[Text, Tag("kind=name")], mapping_or("name")
    ]
    initialization: FromScratch = "model"
    precision: Precision = "float32"


class Toy(Section):
    """The toy model of section 4.4 of the paper, its size that of the toy tasks."""

    kind: Literal["toy"] = "toy"


ModelSettings = Annotated[
    Annotated[GPTNeoX, Tag("kind=gpt_neox")]
    | Annotated[Pretrained, Tag("kind=pretrained")]
    | Annotated[Architecture, Tag("kind=config")]
    | Annotated[Toy, Tag("kind=toy")],
    by_kind("gpt_neox"),
]
