"""Documents as tasks: which are chosen, how they are cut, and what their losses are."""

import json
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from tracekit.errors import ConfigurationError
from tracekit.training import parse_configuration
from tracekit.training.task_settings import DocumentSettings
from tracekit.training.tasks import language
from tracekit.training.tasks.building import build_tasks
from tracekit.training.tasks.choice import choose
from tracekit.training.tasks.documents import DocumentTasks


@pytest.fixture
def folder(tmp_path, texts):
    folder = tmp_path / "texts"
    folder.mkdir()
    for index, text in enumerate(texts):
        (folder / f"{index}.txt").write_text(text, encoding="utf-8")
    return folder


def tasks_of(folder, **settings):
    data = {"source": {"kind": "folder", "path": str(folder)}, "n_documents": 3, **settings}
    data.setdefault("tokenizer", {"vocabulary": 270})
    return build_tasks(parse_configuration({"tasks": data}).tasks, seed=0)


def test_random_choice_is_that_of_the_papers_code():
    settings = DocumentSettings(choice="random", n_documents=16)
    assert choose(settings, 41, seed=0) == (random.Random(0).sample(range(41), 16), [])


@pytest.mark.parametrize("choice", ["first", "random", (4, 0, 2)])
def test_trained_and_held_out_documents_differ(choice):
    trained, held_out = choose(DocumentSettings(choice=choice, n_documents=3, n_held_out=5), 8, seed=1)
    assert sorted(trained + held_out) == list(range(8))


def test_held_out_documents_do_not_change_the_trained_ones():
    without, with_some = (
        choose(DocumentSettings(choice="random", n_documents=3, n_held_out=n), 20, seed=5)[0] for n in (0, 9)
    )
    assert without == with_some


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"n_documents": 9}, "expected at most 8 documents, as many as the source has, found 9"),
        ({"n_documents": 6, "n_held_out": 3}, "found 9"),
        ({"choice": [0, 1, 1]}, "expected different numbers from 0 to 7, found [0, 1, 1]"),
        ({"choice": [0, 1, 8]}, "expected different numbers from 0 to 7, found [0, 1, 8]"),
        ({"choice": [0, 1]}, "expected 2, as many as tasks.choice lists, found 3"),
    ],
)
def test_impossible_choices(folder, settings, expected):
    with pytest.raises(ConfigurationError) as caught:
        tasks_of(folder, **settings)
    assert expected in str(caught.value)


def test_documents_are_cut_to_their_first_tokens(folder, tokenizer_folder):
    tokenizer = {"kind": "pretrained", "path": str(tokenizer_folder)}
    short, long = (tasks_of(folder, tokenizer=tokenizer, max_tokens=n) for n in (5, 500))
    assert [len(short.tokens(task)) for task in range(3)] == [5, 5, 5]
    assert all((long.tokens(task)[:5] == short.tokens(task)).all() for task in range(3))
    assert long.longest > 5


def test_held_out_documents_become_test_tasks(folder):
    tasks = tasks_of(folder, n_held_out=2)
    assert tasks.names == ("0.txt", "1.txt", "2.txt")
    assert tasks.test_names == ("3.txt", "4.txt")


def test_held_out_texts_become_test_tasks(tmp_path):
    file = tmp_path / "a.jsonl"
    records = [{"text": "a question", "tail": "an answer"}, {"text": "more of it", "tail": "and an end"}]
    file.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    source = {"kind": "file", "path": str(file), "held_out": "tail"}
    tasks = tasks_of(tmp_path, source=source, n_documents=2, tokenizer={"vocabulary": 257})
    assert tasks.test_names == ("document-0", "document-1")
    assert len(tasks.tokens(0, "test")) == len("an answer")
    with pytest.raises(ConfigurationError, match="not from both"):
        tasks_of(tmp_path, source=source, n_documents=1, n_held_out=1)


def test_a_document_shorter_than_two_tokens_is_named(folder):
    (folder / "1.txt").write_text("x", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"document '1\.txt': expected 2 tokens or more, found 1"):
        tasks_of(folder)


def test_names_must_differ(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\nsame,one text\nsame,other text\n", encoding="utf-8")
    source = {"kind": "file", "path": str(tmp_path / "a.csv"), "name": "id"}
    with pytest.raises(ConfigurationError, match="a different name for each document, found 'same' 2 times"):
        tasks_of(tmp_path, source=source, n_documents=2)


def test_a_tokenizer_that_is_not_there(folder, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"tasks\.tokenizer\.path: no tokenizer could be loaded from"
    ):
        tasks_of(folder, tokenizer={"kind": "pretrained", "path": str(tmp_path / "none")})


def test_training_the_tokenizer_twice_gives_the_same_tokens(folder):
    assert tasks_of(folder).fingerprints == tasks_of(folder).fingerprints


def test_fingerprints_tell_contents_apart():
    tasks = DocumentTasks({"a": [1, 2], "b": [1, 3], "c": [1, 2]}, vocabulary=4)
    prints = tasks.fingerprints
    assert prints["a"] == prints["c"] != prints["b"]


class Bigram(nn.Module):
    """Logits of the next token from the last one alone; its dropout tells evaluation from training."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 7)
        self.drop = nn.Dropout(0.5)
        self.logits = None

    def forward(self, input_ids):
        self.logits = self.drop(self.table(input_ids))
        return self


RAGGED = {"a": [1, 2, 3], "b": [4, 5, 6, 0, 1], "c": [3, 3, 3], "d": [0, 6]}


def loss_by_loop(table, tokens):
    total = 0.0
    for last, following in pairwise(tokens):
        total += np.log(np.exp(table[last]).sum()) - table[last][following]
    return total / (len(tokens) - 1)


@pytest.mark.parametrize("tokens_at_once", [1, 6, 4096])
def test_losses_are_mean_nats_per_token(monkeypatch, tokens_at_once):
    monkeypatch.setattr(language, "TOKENS_AT_ONCE", tokens_at_once)
    model = Bigram()
    table = model.table.weight.detach().double().numpy()
    tasks = DocumentTasks(RAGGED, {"e": [2, 2, 5]}, vocabulary=7)
    expected = [loss_by_loop(table, tokens) for tokens in RAGGED.values()]
    np.testing.assert_allclose(tasks.losses(model), expected, rtol=1e-6)
    np.testing.assert_allclose(tasks.losses(model, "test"), [loss_by_loop(table, [2, 2, 5])], rtol=1e-6)
    single = [tasks.loss(model.eval(), task).item() for task in range(4)]
    np.testing.assert_allclose(single, expected, rtol=1e-6)


def test_evaluation_leaves_no_trace():
    model = Bigram().train()
    model.drop.eval()
    state = torch.get_rng_state()
    DocumentTasks(RAGGED, vocabulary=7).losses(model)
    assert (model.training, model.drop.training) == (True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def test_mode_is_given_back_after_an_error():
    model = nn.Linear(1, 1).train()
    with pytest.raises(TypeError):
        DocumentTasks(RAGGED, vocabulary=7).losses(model)
    assert model.training


def test_no_held_out_tasks_give_no_losses():
    assert DocumentTasks(RAGGED, vocabulary=7).losses(Bigram(), "test").shape == (0,)


def test_tokens_outside_the_vocabulary():
    with pytest.raises(ConfigurationError, match="document 'a': expected tokens from 0 to 2, found 1 to 3"):
        DocumentTasks(RAGGED, vocabulary=3)


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens.npz"
    ragged = np.array([[1, 2, 3], [4, 5, -1]])
    np.savez(path, ragged=ragged, floats=ragged * 0.5, flat=ragged[0], test=ragged + 1)
    return path


def token_tasks(path, **settings):
    data = {"kind": "tokens", "path": str(path), "train": "ragged", **settings}
    return build_tasks(parse_configuration({"tasks": data, "model": {}}).tasks, seed=0)


def test_tokens_that_are_ready(token_file):
    tasks = token_tasks(token_file, held_out="test")
    assert tasks.tokens(1).tolist() == [4, 5]
    assert tasks.tokens(0, "test").tolist() == [2, 3, 4]
    assert tasks.vocabulary == 7
    assert token_tasks(token_file, vocabulary=50).vocabulary == 50


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"train": "raged"},
            "expected an array 'raged', found ragged, floats, flat, test (did you mean 'ragged'?)",
        ),
        (
            {"train": "floats"},
            "expected integers of dims (task, token) in 'floats', found float64 of shape (2, 3)",
        ),
        ({"held_out": "flat"}, "tasks.held_out: "),
    ],
)
def test_faulty_arrays_of_tokens(token_file, settings, expected):
    with pytest.raises(ConfigurationError) as caught:
        token_tasks(token_file, **settings)
    assert expected in str(caught.value)


def test_token_files_that_cannot_be_read(tmp_path):
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "pickled.npz", ragged=np.array([[1, 2], None], dtype=object))
    for name in ("none.npz", "text.npz", "pickled.npz"):
        with pytest.raises(ConfigurationError, match=rf"tasks\.path: cannot read arrays from .*{name}"):
            token_tasks(tmp_path / name)
