import pytest
import torch
from torch import nn

from tracekit.errors import ConfigurationError
from tracekit.training import parse_configuration
from tracekit.training.experiment import choose_device
from tracekit.training.optimizers import build_optimizer


def optimizer_of(model, **settings):
    return build_optimizer(
        parse_configuration({"training": {"optimizer": settings}}).training.optimizer, model
    )


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"kind": "sgd", "learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.1}, torch.optim.SGD),
        ({"kind": "adam", "learning_rate": 0.5, "betas": [0.8, 0.9], "eps": 1e-6}, torch.optim.Adam),
        ({"kind": "adamw", "learning_rate": 0.5, "weight_decay": 0.2}, torch.optim.AdamW),
    ],
)
def test_settings_reach_the_optimizer(settings, kind):
    optimizer = optimizer_of(nn.Linear(2, 2), **settings)
    assert type(optimizer) is kind
    (group,) = optimizer.param_groups
    names = {"learning_rate": "lr"}
    for name, value in settings.items():
        if name != "kind":
            assert group[names.get(name, name)] == (tuple(value) if isinstance(value, list) else value)


def test_frozen_parameters_are_left_out():
    model = nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    (group,) = optimizer_of(model).param_groups
    assert [parameter is model.weight for parameter in group["params"]] == [True]


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match=r"training\.device: expected a CUDA device, found none"):
        choose_device("cuda")
