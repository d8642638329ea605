"""What the metadata of an array may be made to say."""


def every_coordinate():
    """Give edits of the metadata of a coordinate, which is read whole: millions of chunks, or none."""
    return {("shape",): [[123_731_963], [2**40], [0], [1]]}


def every_array(key):
    """Give edits of the metadata of any array: path in the document, and new values."""
    sharded = key.endswith("values")
    inner = ("codecs", 0, "configuration")
    edits = {
        ("shape",): [
            [],
            [-1],
            [2**63],
            ["7"],
            [5.0, 23.0],
            [True, 23],
            None,
            [5] * 40,
            [10**30, 23],
            {"a": 1},
            5,
        ],
        ("data_type",): [
            "object",
            "|O",
            "complex64",
            "string",
            "bytes",
            "bool",
            "int8",
            5,
            None,
            ["float32"],
            {"name": "numpy.datetime64", "configuration": {"unit": "s"}},
        ],
        ("chunk_grid",): [None, [], {"name": "regular"}, {"name": "rectangular"}],
        ("chunk_grid", "configuration", "chunk_shape"): [
            [],
            [0],
            [-1],
            [2**62],
            [2**31, 2**31],
            ["1"],
            [1.0],
            None,
            [True],
            [10**40],
        ],
        ("codecs",): [
            None,
            [],
            {},
            [None],
            ["bytes"],
            [{"name": "pickle"}],
            [{"name": "numcodecs.pickle"}],
            [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}],
            [{"name": "bytes", "configuration": {"endian": "big"}}, {"name": "crc32c"}],
            [{"name": "crc32c"}, {"name": "bytes", "configuration": {"endian": "little"}}],
            [{"name": "sharding_indexed"}],
            [{"name": "vlen-utf8"}, {"name": "crc32c"}],
        ],
        ("dimension_names",): [
            None,
            [],
            ["visit"] * 9,
            [1, 2],
            ["visit", "visit"],
            ["..", "/"],
            "visit",
            ["", ""],
        ],
        ("fill_value",): [None, True, "Infinity", "zero", {}, 0.5],
        ("chunk_key_encoding",): [
            None,
            {"name": "v2"},
            {"name": "default", "configuration": {"separator": "."}},
        ],
        ("zarr_format",): [2, True, 3.0, "3", None],
        ("node_type",): ["group", None, 3],
        ("storage_transformers",): [None, [{"name": "x"}], {}],
        ("extension",): [{"must_understand": True}],
        ("attributes",): [None, [], 3],
        ("attributes", "bits_of"): ["float8", 3, {}, ["bfloat16"]],
    }
    if sharded:
        edits |= {
            (*inner, "chunk_shape"): [None, [0, 0], [1, 7], [1, 2**40], [1, 1, 7], ["a"], [2**31, 2**31]],
            (*inner, "index_location"): ["start", None, 3],
            (*inner, "index_codecs"): [None, [], [{"name": "bytes", "configuration": {"endian": "little"}}]],
            (*inner, "codecs", 1, "configuration"): [None, {}, {"cname": "zstd"}],
            (*inner, "codecs", 1, "configuration", "typesize"): [0, True, 10**9, "4", None],
            (*inner, "codecs", 1, "configuration", "cname"): ["zstd", "/bin/sh", None],
        }
    return edits
