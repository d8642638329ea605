"""The section `tasks` of a configuration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator

from tracekit.training.sections import Count, CountOrNone, Section, Seed, Share, Text, by_kind, list_or

Choice = Annotated[
    Annotated[Literal["first", "random"], Tag("kind=name")]
    | Annotated[tuple[CountOrNone, ...], Field(min_length=1), Tag("kind=list")],
    list_or("name"),
]


class PythonReference(Section):
    """Topics of the language reference that every CPython carries (`pydoc_data.topics`), sorted by name."""

    kind: Literal["python-reference"] = "python-reference"
    longer_than: CountOrNone = 1500


class Folder(Section):
    """The `.txt` and `.md` files below a folder, sorted by path."""

    kind: Literal["folder"] = "folder"
    path: Text


class File(Section):
    """The records of a `.jsonl`, `.json` or `.csv` file: columns of text, held-out text, and name."""

    kind: Literal["file"] = "file"
    path: Text
    text: Text = "text"
    held_out: Text | None = None
    name: Text | None = None


class HuggingFace(Section):
    """The rows of one split of a Hugging Face dataset, by its name or by a local path."""

    kind: Literal["dataset"] = "dataset"
    path: Text
    subset: Text | None = None
    split: Text = "train"
    revision: Text | None = None
    text: Text = "text"
    held_out: Text | None = None
    name: Text | None = None


SourceSettings = Annotated[
    Annotated[PythonReference, Tag("kind=python-reference")]
    | Annotated[Folder, Tag("kind=folder")]
    | Annotated[File, Tag("kind=file")]
    | Annotated[HuggingFace, Tag("kind=dataset")],
    by_kind("python-reference"),
]


class BytePairEncoding(Section):
    """A byte-level BPE tokenizer, trained on the (at most `max_documents` first) documents of the source."""

    kind: Literal["bpe"] = "bpe"
    vocabulary: Annotated[int, Field(ge=257, strict=True)] = 2048
    max_documents: Count = 10_000


class PretrainedTokenizer(Section):
    """Any Hugging Face tokenizer, by its name or by a local path."""

    kind: Literal["pretrained"] = "pretrained"
    path: Text
    revision: Text | None = None


TokenizerSettings = Annotated[
    Annotated[BytePairEncoding, Tag("kind=bpe")] | Annotated[PretrainedTokenizer, Tag("kind=pretrained")],
    by_kind("bpe"),
]


class DocumentSettings(Section):
    """Documents, each cut to its first tokens.

    Parameters
    ----------
    source, tokenizer
        Where the texts come from, and what turns them into tokens.
    choice : "first", "random" or list of int
        Which documents of the source are trained: the first ones, `random.Random(choice_seed).sample` of
        them, or those at the given places, in the given order.
    n_documents : int
        Number of trained documents, T. 16 unless `choice` lists documents.
    choice_seed : int, optional
        Seed of the random choice; without it, one derived from the seed of the run.
    max_tokens : int
        Longest length of a document in tokens.
    n_held_out : int
        Number of further documents, chosen in the same way, that are evaluated and never trained.
    masked : float
        Share of the tokens that the model is given as token 0, others in every update; what it is to predict
        stays, and so does what is evaluated.
    shift : int
        Most tokens by which the window that is trained lies before or after the one that is evaluated, anew
        in every update. Documents are read that much longer at both ends.
    """

    kind: Literal["documents"] = "documents"
    source: SourceSettings = PythonReference()
    tokenizer: TokenizerSettings = BytePairEncoding()
    choice: Choice = "first"
    n_documents: Count = 16
    choice_seed: Seed | None = None
    max_tokens: Annotated[int, Field(ge=2, strict=True)] = 96
    n_held_out: CountOrNone = 0
    masked: Share = 0.0
    shift: CountOrNone = 0

    @model_validator(mode="before")
    @classmethod
    def _count_listed_documents(cls, data: Any) -> Any:
        listed = isinstance(data, dict) and isinstance(data.get("choice"), (list, tuple))
        return {"n_documents": len(data["choice"]), **data} if listed else data


class TokenSettings(Section):
    """Tokens that are ready: arrays of integers in an `.npz` file, dims (task, token).

    Rows may end in negative numbers, which stand for "no token". `held_out` names the array of held-out
    tasks and `vocabulary` says how many tokens there are; without it, the largest token decides.
    """

    kind: Literal["tokens"] = "tokens"
    path: Text
    train: Text = "train_tokens"
    held_out: Text | None = None
    vocabulary: Count | None = None


class ToyTaskSettings(Section):
    """Tasks of the toy model: vectors x (inputs) and y (outputs) drawn at random."""

    kind: Literal["toy"] = "toy"
    n_tasks: Count = 25
    inputs: Count = 400
    outputs: Count = 400


TaskSettings = Annotated[
    Annotated[DocumentSettings, Tag("kind=documents")]
    | Annotated[TokenSettings, Tag("kind=tokens")]
    | Annotated[ToyTaskSettings, Tag("kind=toy")],
    by_kind("documents"),
]
