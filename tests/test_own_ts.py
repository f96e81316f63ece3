"""A user's .ts files, as the archives of time series have them."""

import pytest
from own_files import assert_it_fails_with_one_line, lists

from l2d_jax.types import Form

TS = (
    "@problemName p\n@timeStamps false\n@univariate {}\n@classLabel true a B 1.0\n"
    "@data\n"
)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_ts_with_labels_that_are_numbers(read, mark):
    lines = [f"{mark}@problemName p", "@timeStamps false", "@univariate false"]
    lines += ["@classLabel true 10 9", "@data", "1,2:3,4:10", "5,?,6:7,8,9:9"]
    found = read("\n".join(lines) + "\n", "x.ts")
    assert lists(found) == [[[1, 3], [2, 4]], [[5, 7], [None, 8], [6, 9]]]
    assert (found.classes, found.labels.tolist()) == (("9", "10"), [1, 0])


def test_ts_with_some_classes_that_the_header_writes_in_another_way(read):
    found = read(TS.format("true") + "1,2:b\n2,3:1\n3,5:c\n", "x.ts")
    assert found.classes == ("1", "b", "c")


def test_what_a_ts_file_leaves_out_is_named(read):
    head = "@problemName p\n@timeStamps {}\n@univariate true\n@{}\n@data\n"
    found = read(
        head.format("true", "classLabel false")
        + "(2020-01-01 00:00:00,1),(2020-01-01 01:00:00,3)\n",
        "x.ts",
    )
    assert lists(found) == [[[1], [3]]]
    assert found.notes == (
        "left out the time stamps: steps count in the order of the file",
    )
    found = read(head.format("false", "targetLabel true") + "1,3:0.5\n", "x.ts")
    assert lists(found) == [[[1], [3]]] and found.labels is None
    assert found.form == Form(".ts", ("float64",))
    assert found.notes == (
        "left out the targets (@targetLabel): only classes are read",
    )


FAILS = {
    "no ts": ("x.ts", "a,b\n1,2\n", "x.ts has no line below @data"),
    "a comment in ts": (
        "x.ts",
        "@problemName p\n@timeStamps false\n@univariate true\n@classLabel false\n"
        "@data\n1,2\n# of May\n2,3\n",
        "line 7 is a comment below @data: remove it, or move it above @data$",
    ),
    "ts, lines without their class": (
        "x.ts",
        TS.format("true") + "1,2,3\n2,3,5\n",
        "line 6: '1,2,3' behind the last colon is no class of @classLabel; end each",
    ),
    "ts, channels without their class": (
        "x.ts",
        TS.format("false") + "1,2:3,4\n2,3:5,7\n",
        "line 6: '3,4' behind the last colon is no class of @classLabel; .* or write",
    ),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)
