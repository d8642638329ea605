"""Configurations: defaults, files, overrides, and what is said of those that are wrong."""

import json
from pathlib import Path

import pytest

from tracekit.errors import ConfigurationError
from tracekit.training import Configuration, load_configuration, parse_configuration

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


def faults(data, *overrides):
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(data, overrides=overrides, origin="run.yaml")
    return str(caught.value)


@pytest.fixture
def write(tmp_path):
    def write_file(name, text):
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return file

    return write_file


def test_an_empty_file_trains_the_model_of_the_demo(write):
    settings = load_configuration(write("empty.yaml", ""))
    assert settings == Configuration()
    assert (settings.model.layers, settings.model.width, settings.tasks.tokenizer.vocabulary) == (
        4,
        128,
        2048,
    )
    assert (settings.tasks.n_documents, settings.tasks.max_tokens) == (16, 96)
    training = settings.training
    assert (training.order, training.epochs, training.updates_per_visit) == ("cyclic", 6, 10)
    assert (training.optimizer.kind, training.optimizer.learning_rate) == ("sgd", 0.1)


def test_yaml_and_toml_say_the_same(write):
    yaml = write("a.yaml", "seed: 3\ntraining:\n  optimizer: {kind: adam, betas: [0.8, 0.9]}\n")
    toml = write("a.toml", 'seed = 3\n[training.optimizer]\nkind = "adam"\nbetas = [0.8, 0.9]\n')
    assert load_configuration(yaml) == load_configuration(toml)


def test_kinds_have_defaults():
    settings = parse_configuration(
        {"training": {"optimizer": {"learning_rate": 0.5}}, "model": {"width": 64}}
    )
    assert settings.training.optimizer.kind == "sgd"
    assert settings.model.kind == "gpt_neox"


def test_toy_tasks_bring_the_toy_model():
    assert parse_configuration({"tasks": {"kind": "toy"}}).model.kind == "toy"


def test_listed_documents_need_no_number():
    assert parse_configuration({"tasks": {"choice": [3, 1]}}).tasks.n_documents == 2


def test_options_of_recorders_are_carried_as_written():
    recorders = [{"kind": "losses"}, {"kind": "mine", "every": 2, "select": ["a*", "b"]}]
    settings = parse_configuration({"recorders": recorders})
    assert settings.recorders[1].kind == "mine"
    assert settings.recorders[1].options == {"every": 2, "select": ["a*", "b"]}
    assert settings.resolved()["recorders"] == recorders


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_examples_are_valid_and_survive_json(example):
    settings = load_configuration(example)
    assert parse_configuration(json.loads(json.dumps(settings.resolved()))) == settings


def test_the_example_of_defaults_tells_them_right():
    shown = next(file for file in EXAMPLES if file.stem == "cyclic_gpt_neox")
    settings = load_configuration(shown, ["recorders=[{kind: losses}]"])
    assert settings == Configuration()


def test_overrides_are_laid_over_the_file(write):
    file = write("a.yaml", "training: {epochs: 6}\nrecorders: [{kind: weights, every: 1}]")
    settings = load_configuration(
        file,
        [
            "training.epochs=3",
            "tasks.choice=[1, 2]",
            "recorders.0.every=5",
            "training.optimizer.learning_rate=1e-3",
        ],
    )
    assert settings.training.epochs == 3
    assert settings.tasks.choice == (1, 2)
    assert settings.recorders[0].options == {"every": 5}
    assert settings.training.optimizer.learning_rate == 0.001


def test_the_last_override_wins():
    assert parse_configuration({}, overrides=["seed=1", "seed=2"]).seed == 2


def test_parsing_leaves_the_settings_alone():
    data = {"training": {"epochs": 6}}
    parse_configuration(data, overrides=["training.epochs=3"])
    assert data == {"training": {"epochs": 6}}


def test_yaml_numbers_with_exponents_are_numbers(write):
    file = write("a.yaml", "recorders: [{kind: mine, rate: 1e-3, name: e3, word: 1e}]")
    assert load_configuration(file).recorders[0].options == {"rate": 0.001, "name": "e3", "word": "1e"}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"sed": 1}, "run.yaml: sed: unknown key (did you mean 'seed'?); valid keys: seed, tasks, model"),
        ({"training": {"epocs": 3}}, "run.yaml: training.epocs: unknown key (did you mean 'epochs'?)"),
        ({"training": {"epochs": "three"}}, "training.epochs: expected a valid integer, found 'three'"),
        ({"training": {"epochs": True}}, "training.epochs: expected a valid integer, found True"),
        ({"training": {"epochs": 0}}, "training.epochs: expected greater than or equal to 1, found 0"),
        (
            {"training": {"order": "cylic"}},
            "expected 'cyclic' or 'shuffled' or 'partly-shuffled', found 'cylic' (did you mean 'cyclic'?)",
        ),
        ({"training": {"device": "gpu"}}, "training.device: expected 'auto', 'cpu' or 'cuda', found 'gpu'"),
        ({"training": {"clip_grad_norm": float("nan")}}, "training.clip_grad_norm: expected a finite number"),
        (
            {"training": {"optimizer": {"kind": "adm"}}},
            "training.optimizer.kind: expected one of sgd, adam, adamw",
        ),
        (
            {"training": {"optimizer": {"kind": "adam", "momentum": 0.9}}},
            "training.optimizer.momentum: unknown key; valid keys: kind, learning_rate, betas, eps",
        ),
        (
            {"training": {"optimizer": {"learning_rate": True}}},
            "training.optimizer.learning_rate: expected a number, found True",
        ),
        ({"training": None}, "training: expected keys and values, found None"),
        ({"tasks": {"kind": "tokens"}}, "tasks.path: expected a value, found nothing"),
        ({"tasks": {"choice": "frist"}}, "tasks.choice: expected 'first' or 'random', found 'frist'"),
        ({"tasks": {"choice": [0, "x"]}}, "tasks.choice.1: expected a valid integer, found 'x'"),
        (
            {"tasks": {"source": {"kind": "file", "path": "a", "txt": "b"}}},
            "tasks.source.txt: unknown key (did you",
        ),
        ({"tasks": {"kind": "toy"}, "model": {}}, "tasks.kind and model.kind to be both 'toy' or neither"),
        (
            {"model": {"heads": 3}},
            "model: expected a width that is a multiple of heads, found width 128 and heads 3",
        ),
        ({"model": {"kind": "config", "config": 3}}, "model.config: expected a valid string, found 3"),
        ({"recorders": [{"every": 1}]}, "recorders.0.kind: expected a value, found nothing"),
    ],
)
def test_faults_say_where_what_was_expected_and_what_was_found(data, expected):
    assert expected in faults(data)


def test_all_faults_are_listed_at_once():
    lines = faults({"sed": 1, "training": {"epocs": 3, "threads": "two"}}).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("run.yaml: ") for line in lines)


def test_a_fault_names_the_override_that_made_it():
    text = faults({"training": {"threads": -1}}, "training.epochs=many")
    by_override, by_file = sorted(text.splitlines(), key=lambda line: "override" not in line)
    assert "training.epochs: " in by_override
    assert by_override.endswith("(set by the override 'training.epochs=many')")
    assert "training.threads" in by_file


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epochs", "expected a dotted key and a value, such as training.epochs=3"),
        ("=3", "expected a dotted key"),
        ("training..epochs=3", "expected a dotted key"),
        ("seed.x=3", "'seed' is 1, which has no keys inside"),
        (
            "recorders.2.every=1",
            "'recorders' is a list of 1; expected a number from 0 to 0 after it, found '2'",
        ),
        ("recorders.last.every=1", "found 'last'"),
        ("training.epochs=[1", "the value is not valid YAML"),
    ],
)
def test_faulty_overrides(override, expected):
    text = faults({"seed": 1, "recorders": [{"kind": "losses"}]}, override)
    assert expected in text
    assert repr(override) in text


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.yaml", "training: [", "not a valid YAML file"),
        ("a.yaml", "seed: 1\nseed: 2\n", "the key 'seed' is written twice"),
        ("a.yaml", "- 1\n- 2\n", "expected keys such as 'training:', found list at the top"),
        ("a.yaml", "a: !!python/object/apply:os.getcwd []", "not a valid YAML file"),
        ("a.toml", "seed = ", "not a valid TOML file"),
        ("a.json", "{}", "expected a file that ends in .yaml, .yml or .toml"),
    ],
)
def test_faulty_files(write, name, text, expected):
    file = write(name, text)
    with pytest.raises(ConfigurationError, match=name) as caught:
        load_configuration(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot read this configuration: No such file"):
        load_configuration(tmp_path / "none.yaml")


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Configuration().seed = 3
