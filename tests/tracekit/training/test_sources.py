"""Texts from every kind of source, through the one door."""

import csv
import json
from pathlib import Path
from pydoc_data.topics import topics

import datasets
import pytest

from tracekit.errors import ConfigurationError
from tracekit.training.task_settings import File, Folder, HuggingFace, PythonReference
from tracekit.training.tasks.sources import Document, read_source

RECORDS = [
    {"id": f"r{index}", "body": f"Text {index},\nof “two” lines\u2028or so.", "tail": f"End {index}."}
    for index in range(3)
]
COLUMNS = {"text": "body", "held_out": "tail", "name": "id"}
DOCUMENTS = [Document(record["id"], record["body"], record["tail"]) for record in RECORDS]


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(RECORDS[0]))
        writer.writeheader()
        writer.writerows(RECORDS)


def write_jsonl(path: Path) -> None:
    path.write_text(
        "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS) + "\n\n", encoding="utf-8"
    )


def write_json(path: Path) -> None:
    path.write_text(json.dumps(RECORDS), encoding="utf-8")


WRITERS = {"a.csv": write_csv, "a.jsonl": write_jsonl, "a.json": write_json}


def test_python_reference_is_sorted_and_long():
    documents = read_source(PythonReference())
    assert [document.name for document in documents] == sorted(
        name for name in topics if len(topics[name]) > 1500
    )
    assert all(document.text == topics[document.name] for document in documents)
    assert len(documents) > 30


def test_folder_of_text_files(tmp_path):
    for name in ("b.txt", "a.md", "deep/c.TXT", "ignored.rst"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"I am {name}", encoding="utf-8")
    documents = read_source(Folder(path=str(tmp_path)))
    assert list(documents) == [Document(name, f"I am {name}") for name in ("a.md", "b.txt", "deep/c.TXT")]


@pytest.mark.parametrize("name", WRITERS)
def test_files_of_records(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert list(read_source(File(path=str(tmp_path / name), **COLUMNS))) == DOCUMENTS


@pytest.mark.parametrize("name", WRITERS)
def test_records_without_names_are_numbered(tmp_path, name):
    WRITERS[name](tmp_path / name)
    documents = read_source(File(path=str(tmp_path / name), text="body"))
    assert [document.name for document in documents] == ["document-0", "document-1", "document-2"]
    assert {document.held_out for document in documents} == {None}


def test_csv_fields_may_be_long_and_the_limit_is_given_back(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("text\n" + "x" * (limit + 1), encoding="utf-8")
    assert len(read_source(File(path=str(tmp_path / "a.csv")))[0].text) == limit + 1
    assert csv.field_size_limit() == limit


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbftext\nhello\n")
    assert read_source(File(path=str(tmp_path / "a.csv")))[0].text == "hello"


def test_dataset_saved_to_disk(tmp_path):
    datasets.Dataset.from_list(RECORDS).save_to_disk(tmp_path / "saved")
    assert list(read_source(HuggingFace(path=str(tmp_path / "saved"), **COLUMNS))) == DOCUMENTS


def test_dataset_dict_saved_to_disk(tmp_path):
    splits = {"other": datasets.Dataset.from_list(RECORDS[:1]), "train": datasets.Dataset.from_list(RECORDS)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert list(read_source(HuggingFace(path=str(tmp_path / "saved"), **COLUMNS))) == DOCUMENTS
    with pytest.raises(ConfigurationError, match="split 'validation'"):
        read_source(HuggingFace(path=str(tmp_path / "saved"), split="validation", **COLUMNS))


def test_dataset_of_local_files(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "data").mkdir()
    write_jsonl(tmp_path / "data" / "train.jsonl")
    documents = read_source(HuggingFace(path=str(tmp_path / "data"), **COLUMNS))
    assert list(documents) == DOCUMENTS
    assert documents[1:] == DOCUMENTS[1:]


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"tasks\.source: cannot open dataset .*none"):
        read_source(HuggingFace(path=str(tmp_path / "none")))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text"', "a.jsonl, line 2: not valid JSON"),
        ("a.jsonl", '{"text": "a"}\n{"text": null}', "record 1: expected text in 'text', found NoneType"),
        ("a.jsonl", '{"txt": "a"}', "record 0: expected a column 'text', found txt (did you mean 'txt'?)"),
        ("a.jsonl", '"a"', "record 0: expected columns, found str"),
        ("a.json", '{"text": "a"}', "expected a list of records, found dict"),
        ("a.csv", "title,words\na,b", "record 0: expected a column 'text', found title, words"),
        ("a.txt", "text", "expected one of .jsonl, .json, .csv, found"),
    ],
)
def test_faulty_files_say_what_is_wrong_where(tmp_path, name, content, expected):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        read_source(File(path=str(tmp_path / name)))
    assert expected in str(caught.value)


def test_places_that_hold_nothing(tmp_path):
    with pytest.raises(ConfigurationError, match=r"cannot read .*none.csv: No such file"):
        read_source(File(path=str(tmp_path / "none.csv")))
    with pytest.raises(ConfigurationError, match=r"expected a folder, found none at .*none"):
        read_source(Folder(path=str(tmp_path / "none")))
    with pytest.raises(ConfigurationError, match=r"expected \.txt or \.md files"):
        read_source(Folder(path=str(tmp_path)))


def test_text_that_is_not_utf_8(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(ConfigurationError, match=r"a\.txt: expected UTF-8 text"):
        read_source(Folder(path=str(tmp_path)))
