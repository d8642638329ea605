"""The settings of a run: what they are, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from tracekit.errors import ConfigurationError
from tracekit.training.faults import describe
from tracekit.training.model_settings import GPTNeoX, ModelSettings
from tracekit.training.overrides import with_overrides
from tracekit.training.reading import read_mapping
from tracekit.training.recording_settings import RecordingSettings
from tracekit.training.sections import IN_FULL, Section, Seed
from tracekit.training.task_settings import DocumentSettings, TaskSettings
from tracekit.training.training_settings import Recorders, RecorderSettings, TrainingSettings


class Configuration(Section):
    """All settings of a run. An empty one trains a small GPT-NeoX on sixteen documents in cyclic order.

    Parameters
    ----------
    seed : int
        The one seed that every random stream is derived from.
    tasks, model, training
        What is learnt, by what, and how.
    recorders
        What is recorded; the recorders themselves read their options.
    recording
        How it is written.

    Examples
    --------
    >>> settings = parse_configuration({"training": {"epochs": 3}})
    >>> settings.training.epochs, settings.model.width
    (3, 128)
    >>> parse_configuration(settings.resolved()) == settings
    True
    """

    seed: Seed = 0
    tasks: TaskSettings = DocumentSettings()
    model: ModelSettings = GPTNeoX()
    training: TrainingSettings = TrainingSettings()
    recorders: Recorders = (RecorderSettings(kind="losses"),)
    recording: RecordingSettings = RecordingSettings()

    @model_validator(mode="before")
    @classmethod
    def _toy_tasks_need_no_model(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "model" in data:
            return data
        tasks = data.get("tasks")
        is_toy = isinstance(tasks, dict) and tasks.get("kind") == "toy"
        return {**data, "model": {"kind": "toy"}} if is_toy else data

    @model_validator(mode="after")
    def _toy_goes_with_toy(self) -> Self:
        if (self.tasks.kind == "toy") != (self.model.kind == "toy"):
            raise PydanticCustomError(
                IN_FULL,
                "the toy model and the toy tasks go together: expected tasks.kind and model.kind to be both "
                "'toy' or neither, found '{tasks}' and '{model}'",
                {"tasks": self.tasks.kind, "model": self.model.kind},
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """Give every setting, defaults included, ready for JSON; it parses to the same configuration."""
        return self.model_dump(mode="json")


def load_configuration(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Configuration:
    """Read a configuration from a YAML or TOML file.

    Paths in a configuration are relative to the current directory.

    Parameters
    ----------
    path : path
        A file that ends in `.yaml`, `.yml` or `.toml`.
    overrides : sequence of str
        Settings that take the place of those of the file, such as `"training.epochs=3"`; values are YAML.

    Returns
    -------
    Configuration

    Raises
    ------
    ConfigurationError
        If the file cannot be read, or a key or value makes no sense. All faults are listed at once.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "run.yaml"
    ...     _ = file.write_text("seed: 7")
    ...     settings = load_configuration(file, ["training.order=shuffled"])
    >>> settings.seed, settings.training.order
    (7, 'shuffled')
    """
    file = Path(path)
    return parse_configuration(read_mapping(file), overrides=overrides, origin=str(file))


def parse_configuration(
    data: Mapping[str, Any], *, overrides: Sequence[str] = (), origin: str = "configuration"
) -> Configuration:
    """Check settings given as nested dicts and lists; `origin` is what errors call them.

    Raises
    ------
    ConfigurationError
        If a key or value makes no sense. All faults are listed at once.
    """
    settings = with_overrides(data, overrides)
    try:
        return Configuration.model_validate(settings)
    except ValidationError as error:
        raise ConfigurationError(describe(error, Configuration, origin, overrides)) from None
