"""The corpus: every malformed store by its name."""

import json

from hostile.arrays import every_array, every_coordinate
from hostile.chunks import chunk_edits
from hostile.editing import replace, sealed_edit
from hostile.files import file_edits
from hostile.groups import (
    every_open_root,
    every_root,
    every_series_group,
    every_tensor_group,
    marker_attributes,
)
from hostile.texts import large_texts, texts

ARRAYS = (
    "weights/values",
    "gradients/values",
    "moments/values",
    "losses/eval_loss",
    "losses/train_loss",
    "visits/epoch",
    "commit",
)
GROUPS = ("weights", "gradients", "moments", "losses")
COORDINATES = ("weights/visit", "moments/update", "losses/update_visit", "visits/wall_time_seconds")
DOCUMENTS = ("", *ARRAYS, *GROUPS, *COORDINATES)


def text_edits():
    """Name documents that are replaced by a text."""
    edits = {}
    for key in DOCUMENTS:
        for name, data in (texts() | (large_texts() if key in ("", "weights") else {})).items():
            edits[f"text: {key or 'root'}: {name}"] = replace(f"{key}/zarr.json".lstrip("/"), data)
    return edits


def document_edits():
    """Name documents of which one entry is changed."""
    documents = {
        **{key: every_array(key) for key in ARRAYS if key != "commit"},
        "weights": every_tensor_group(),
        "gradients": every_tensor_group(),
        "moments": every_tensor_group(),
        "losses": every_series_group(),
        **{key: every_coordinate() for key in COORDINATES},
        "commit": every_array("commit") | marker_attributes(),
        "": every_root(),
    }
    return {
        f"edit: {key or 'root'}: {'.'.join(map(str, path))}: {number}": sealed_edit(key, path, value)
        for key, changes in documents.items()
        for path, values in changes.items()
        for number, value in enumerate(values)
    }


def corpus():
    """Name every malformed store: what makes it of a sound one."""
    return {
        **text_edits(),
        **document_edits(),
        **{f"chunk: {name}": edit for name, edit in chunk_edits().items()},
        **{f"file: {name}": edit for name, edit in file_edits().items()},
    }


def documents_of(base):
    """Give the keys of all documents of a trace."""
    return sorted(str(file.parent.relative_to(base)).removeprefix(".") for file in base.rglob("zarr.json"))


def corpus_of(base):
    """Name malformed stores made of any sound one: every entry of every document that the corpus knows."""
    edits = {}
    for key in documents_of(base):
        document = json.loads((base / key / "zarr.json").read_text())
        for path, values in _changes_of(key, document).items():
            if _is_there(document, path):
                edits |= {
                    f"{key or 'root'}: {'.'.join(map(str, path))}: {number}": sealed_edit(key, path, value)
                    for number, value in enumerate(values)
                }
        edits |= {f"{key}: text: {name}": replace(_file(key), data) for name, data in texts().items()}
    return edits


def _file(key):
    return f"{key}/zarr.json".lstrip("/")


def _changes_of(key, document):
    if document["node_type"] == "array":
        return every_array(key)
    if not key:
        return every_root() | every_open_root()
    return every_tensor_group() if "fields" in document["attributes"] else every_series_group()


def _is_there(document, path):
    """Say whether a document has an entry, or what the entry would be in."""
    *way, _ = path
    try:
        for step in way:
            document = document[step]
    except (KeyError, IndexError, TypeError):
        return False
    return isinstance(document, dict | list)
