"""Tokenizers: trained on the documents, or any from Hugging Face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tracekit.errors import ConfigurationError
from tracekit.training.task_settings import BytePairEncoding, PretrainedTokenizer
from tracekit.training.tasks.sources import Document

END_OF_TEXT = "<|endoftext|>"


def make_tokenizer(settings: BytePairEncoding | PretrainedTokenizer, documents: Sequence[Document]) -> Any:
    """Give the tokenizer that the settings ask for, as a Hugging Face one.

    Raises
    ------
    ConfigurationError
        If there is no such tokenizer.
    """
    if isinstance(settings, PretrainedTokenizer):
        return _pretrained(settings)
    n_documents = min(len(documents), settings.max_documents)
    return train_byte_pairs((documents[index].text for index in range(n_documents)), settings.vocabulary)


def train_byte_pairs(texts: Iterable[str], vocabulary: int) -> Any:
    """Train a byte-level BPE tokenizer of at most `vocabulary` tokens (fewer where the texts are short).

    Token 0 is the end of text. Source: Sennrich, Haddow and Birch 2016, doi:10.18653/v1/P16-1162, on bytes
    as in GPT-2.

    Examples
    --------
    >>> tokenizer = train_byte_pairs(["to be or not to be"], vocabulary=260)
    >>> tokenizer.decode(tokenizer("not to be")["input_ids"])
    'not to be'
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT, unk_token=END_OF_TEXT
    )


def _pretrained(settings: PretrainedTokenizer) -> Any:
    try:
        return AutoTokenizer.from_pretrained(settings.path, revision=settings.revision or "main")
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(
            f"tasks.tokenizer.path: no tokenizer could be loaded from {settings.path!r}: {error}"
        ) from error
