"""What the metadata of groups, and of the trace as a whole, may be made to say."""

import json


def every_tensor_group():
    """Give edits of the metadata of a group of rows."""
    return {
        ("attributes", "fields"): [None, {}, "w", [None], [[]], [{}], []],
        ("attributes", "fields", 0): [None, 7, {"name": "w"}],
        ("attributes", "fields", 0, "name"): [
            "",
            " ",
            "..",
            ".",
            "/etc/passwd",
            "../w",
            "a/b",
            "a\\b",
            "a\n",
            "\x00",
            "\ud800",
            "b",
            "visit",
            "flat",
            "epoch",
            "axis0_5",
            "element",
            "n" * 2000,
            None,
            3,
            ["w"],
        ],
        ("attributes", "fields", 0, "shape"): [
            None,
            20,
            [-5, -4],
            [5.0, 4.0],
            [True, 20],
            [2**62, 2**62],
            [0, 4],
            ["5", 4],
            [5, 4, 10**30],
            [1] * 40,
            [21],
        ],
        ("attributes", "fields", 0, "offset"): [1, -1, 0.0, False, None, "0", 2**63, 10**30],
        ("attributes", "fields", 1, "offset"): [0, 19, 21, 20.0],
        ("attributes", "fields", 0, "dtype"): [None, 4, ["float32"]],
        ("attributes", "labels"): [
            None,
            [],
            "task",
            {"visit": ["a"]},
            {"..": ["a"]},
            {"axis0_5": ["x"] * 5},
            {"w": ["a"]},
        ],
        ("attributes", "units"): [3, None, ["nats"]],
        ("attributes", "gaps"): [None, 3, [-1], [99], [1.0], ["1"], [10**30]],
        ("zarr_format",): [2, None, True],
        ("node_type",): ["array", None],
    }


def every_series_group():
    """Give edits of the metadata of a group of series."""
    return {
        ("attributes", "labels"): [None, {}, [], {"task": "ab"}, {"task": ["a"]}, {"task": ["a", "b", "c"]}],
        ("attributes", "labels", "task"): [None, [1, 2], ["a", None], ["a", "a"], ["\ud800", "b"], {"a": 1}],
        ("attributes", "fields"): [[], [{"name": "w", "shape": [2], "offset": 0, "dtype": "float32"}]],
        ("node_type",): ["array", 5],
    }


def marker_attributes():
    """Give edits of the attributes of the commit marker."""
    return {
        ("attributes", "declared"): [
            None,
            3,
            "weights",
            {},
            [3],
            [None],
            ["weights"],
            ["a/b/c"],
            ["../x"],
            ["weights/.."],
            ["/etc/passwd"],
            ["weights/\ud800"],
            ["weights/values", "weights/values"],
            ["weights/other"],
            ["other/values"],
        ],
    }


def every_root():
    """Give edits of the metadata of a trace."""
    return {
        ("attributes",): [None, {}, []],
        ("attributes", "format"): ["zarr", None, ["tracekit"]],
        ("attributes", "format_version"): [True, 1.0, "1", 2, None, -1, [1]],
        ("attributes", "status"): ["done", None, [], {}],
        ("attributes", "n_tasks"): [-1, 2.0, "2", None, True, 1],
        ("attributes", "n_epochs"): [-1, None, True, 1],
        ("attributes", "updates_per_visit"): [-1, None, "2"],
        ("attributes", "snapshots_planned"): [-1, 3, 4, 10**30, 2**50, None, 5.0, True],
        ("attributes", "software"): [None, [], {"python": 3}],
        ("attributes", "run_id"): [None, 5],
        ("attributes", "created"): [None, 5],
        ("attributes", "configuration"): ["text", [1], 3],
        ("attributes", "order"): [3, ["cyclic"]],
        ("attributes", "huge"): ["x" * (9 << 20)],
        ("attributes", "deep"): [json.loads("[" * 200 + "]" * 200)],
        ("zarr_format",): [2, True],
        ("node_type",): ["array"],
    }


def every_open_root():
    """Give edits of what a trace says of its end being known or not."""
    return {("attributes", "open_ended"): [None, 1, "yes", [], {}, True, False]}
