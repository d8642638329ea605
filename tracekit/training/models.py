"""The model of a run, made from the section `model` of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from tracekit.errors import ConfigurationError
from tracekit.training.initialization import rescale_like_paper
from tracekit.training.model_settings import Architecture, GPTNeoX, Pretrained, Toy
from tracekit.training.tasks.documents import DocumentTasks
from tracekit.training.tasks.toy import ToyModel, ToyTasks

LanguageModelSettings = GPTNeoX | Pretrained | Architecture
LOADING_ERRORS = (OSError, ValueError, KeyError, TypeError)


def build_model(settings: LanguageModelSettings | Toy, tasks: DocumentTasks | ToyTasks) -> nn.Module:
    """Build or load the model of a run, on the CPU. Draws from torch's global generator.

    Raises
    ------
    ConfigurationError
        If there is no such model, or it does not go with the tasks.
    """
    if isinstance(tasks, ToyTasks) or isinstance(settings, Toy):
        return _toy(settings, tasks)
    model = _language_model(settings, tasks)
    _check_fit(model.config, tasks)
    # the cache serves generation alone
    model.config.use_cache = False
    built: nn.Module = model.to(getattr(torch, settings.precision))
    return built


def _toy(settings: LanguageModelSettings | Toy, tasks: DocumentTasks | ToyTasks) -> ToyModel:
    if not isinstance(tasks, ToyTasks) or not isinstance(settings, Toy):
        raise ConfigurationError(
            f"model.kind: the toy model and the toy tasks go together, found {settings.kind!r}"
        )
    return ToyModel(*tasks.sizes)


def _language_model(settings: LanguageModelSettings, tasks: DocumentTasks) -> Any:
    match settings:
        case GPTNeoX():
            return _from_scratch(gpt_neox_config(settings, tasks), settings.initialization)
        case Architecture():
            return _from_scratch(_architecture(settings.config, tasks), settings.initialization)
        case Pretrained():
            return _pretrained(settings)


def gpt_neox_config(settings: GPTNeoX, tasks: DocumentTasks) -> Any:
    """Give the Hugging Face configuration of a GPT-NeoX for the vocabulary and lengths of the tasks."""
    return AutoConfig.for_model(
        "gpt_neox",
        vocab_size=tasks.vocabulary,
        hidden_size=settings.width,
        intermediate_size=4 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        max_position_embeddings=max(2048, tasks.longest),
        bos_token_id=0,
        eos_token_id=0,
    )


def _from_scratch(config: Any, initialization: str) -> Any:
    model = AutoModelForCausalLM.from_config(config)
    if initialization == "paper":
        rescale_like_paper(model)
    return model


def _architecture(config: Mapping[str, Any] | str, tasks: DocumentTasks) -> Any:
    try:
        if isinstance(config, str):
            return AutoConfig.from_pretrained(config)
        settings = {"vocab_size": tasks.vocabulary, **config}
        return AutoConfig.for_model(settings.pop("model_type"), **settings)
    except LOADING_ERRORS as error:
        raise ConfigurationError(
            "model.config: expected a configuration with a 'model_type' that transformers knows, its name or "
            f"its local path, found {config!r}: {error}"
        ) from error


def _pretrained(settings: Pretrained) -> Any:
    revision = settings.revision or "main"
    try:
        if settings.initialization == "none":
            return AutoModelForCausalLM.from_pretrained(settings.path, revision=revision)
        config = AutoConfig.from_pretrained(settings.path, revision=revision)
    except LOADING_ERRORS as error:
        raise ConfigurationError(
            f"model.path: no causal language model could be loaded from {settings.path!r}: {error}"
        ) from error
    return _from_scratch(config, settings.initialization)


def _check_fit(config: Any, tasks: DocumentTasks) -> None:
    vocabulary = getattr(config, "vocab_size", tasks.vocabulary)
    if vocabulary < tasks.vocabulary:
        raise ConfigurationError(
            f"model: expected a vocabulary of {tasks.vocabulary} tokens or more, as many as the tasks have, "
            f"found {vocabulary}; use the model's own tokenizer (tasks.tokenizer)"
        )
    positions = getattr(config, "max_position_embeddings", tasks.longest)
    if positions < tasks.longest:
        raise ConfigurationError(
            f"tasks.max_tokens: expected at most {positions}, the most that the model takes, "
            f"found a document of {tasks.longest} tokens"
        )
