"""Files and folders that are links, pipes, of other formats, or gone."""

import json
import os
import shutil


def linked(key):
    def apply(root):
        outside = root.with_name("outside")
        path = root / key
        shutil.rmtree(outside, ignore_errors=True)
        if path.is_dir():
            shutil.copytree(path, outside)
            shutil.rmtree(path)
        else:
            outside.mkdir()
            shutil.copy(path, outside / "file")
            path.unlink()
            outside = outside / "file"
        path.symlink_to(outside)

    return apply


def device(key):
    def apply(root):
        (root / key).unlink()
        (root / key).symlink_to("/dev/zero")

    return apply


def pipe(key):
    def apply(root):
        (root / key).unlink()
        os.mkfifo(root / key)

    return apply


def folder(key):
    def apply(root):
        (root / key).unlink()
        (root / key).mkdir()

    return apply


def loop(key):
    def apply(root):
        shutil.rmtree(root / key)
        (root / key).symlink_to(root / key)

    return apply


def stray(name):
    def apply(root):
        (root / os.fsdecode(name)).mkdir()

    return apply


def gone(key):
    return lambda root: shutil.rmtree(root / key)


def version_2(key):
    def apply(root):
        (root / key / "zarr.json").unlink()
        old = {"zarr_format": 2, "shape": [1], "dtype": "|O", "filters": [{"id": "pickle"}]}
        (root / key / (".zarray" if "/" in key else ".zgroup")).write_text(json.dumps(old))

    return apply


def file_edits():
    """Name changes of files and folders."""
    files = ("zarr.json", "commit/c/0", "weights/zarr.json", "weights/values/c/2/0", "losses/eval_loss/c/0/0")
    folders = (
        "weights",
        "weights/values",
        "weights/values/c",
        "weights/values/c/2",
        "visits",
        "commit",
        "losses/visit",
    )
    edits = {f"link out: {key}": linked(key) for key in (*files, *folders)}
    edits |= {f"link to a device: {key}": device(key) for key in files}
    edits |= {f"pipe: {key}": pipe(key) for key in files}
    edits |= {f"folder for a file: {key}": folder(key) for key in files}
    edits |= {f"link to itself: {key}": loop(key) for key in folders}
    edits |= {
        f"stray group: {name!r}": stray(name) for name in (b"new", b"a\nb", b"\xff", b"__x", b"n" * 200, b" ")
    }
    edits |= {
        f"stray series: {name!r}": stray(b"losses/" + name)
        for name in (b"epoch", b"task", b"a\tb", b"axis0_1")
    }
    edits |= {
        f"format 2: {key}": version_2(key) for key in ("", "weights", "weights/values", "losses/eval_loss")
    }
    edits |= {
        f"folder gone: {key}": gone(key)
        for key in ("weights", "weights/visit", "losses/eval_loss", "visits/epoch")
    }
    edits |= {f"gone: {key}": lambda root, key=key: (root / key).unlink() for key in files}
    return edits
