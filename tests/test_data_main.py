"""python -m l2d_jax.data: sets listed, prepared, told apart."""

import re
import subprocess
import sys

import pytest

from l2d_jax.data import __main__ as program
from l2d_jax.data.public import builders
from l2d_jax.data.public.catalog import SOURCES, prepared


def test_list(capsys, empty, data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    builders.prepare(SOURCES["stock"])
    assert program.main(["--list"]) == 0
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert max(map(len, [head, *rows, last])) <= 120
    cells = {row.split()[0]: re.split(r"  +", row) for row in rows}
    assert [*cells] == [*SOURCES, "sines", "ar1", "mixture"]
    assert cells["stock"][1:3] == ["3,685 rows", "6"]
    assert cells["stock"][-2:] == ["Apache-2.0", "prepared"]
    assert cells["crop"][1:5] == ["7,200+16,800", "1", "46", "24"]
    assert cells["crop"][-3:] == [
        "timeseriesclassification.com",
        "not stated",
        "raw file",
    ]
    assert cells["mixture"][1:5] == ["4,000", "1", "24", "8"]
    assert cells["mixture"][-1] == "generated"
    assert "NATOPS" in last
    start = head.index("source")
    assert all(row[start] != " " and row[start - 1] == " " for row in rows)


def test_list_without_files(capsys, empty):
    program.main(["--list"])
    rows = capsys.readouterr().out.splitlines()
    present = {row.split()[0]: re.split(r"  +", row)[-1] for row in rows}
    assert present["crop"] == "to fetch"
    assert present["japanese_vowels"] == "bundled"


def test_prepare(capsys, empty, data_dir, monkeypatch):
    monkeypatch.setenv("L2D_DATA_DIR", str(data_dir))
    assert program.main(["--prepare", "stock,japanese_vowels", "ecg200"]) == 0
    out, err = capsys.readouterr()
    first, second, third = out.splitlines()
    assert re.fullmatch(r"stock: 3,685 rows x 6 channels in \d+\.\d s", first)
    expected = "japanese_vowels: 270 + 370 series x 12 channels, 7-29 steps, 9 classes"
    assert second.startswith(expected)
    expected = "ecg200: 100 + 100 series x 1 channel, 96 steps, 2 classes in "
    assert third.startswith(expected)
    assert err == ""
    assert prepared(SOURCES["stock"])


def test_prepare_goes_on_after_a_failure(capsys, empty, data_dir, offline):
    (empty / "stock_data.csv").write_bytes((data_dir / "stock_data.csv").read_bytes())
    assert program.main(["--prepare", "etth", "riverflow", "stock"]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[:2] == ["etth: failed", "riverflow: failed"]
    assert lines[2].startswith("stock: 3,685 rows")
    etth, riverflow = err.splitlines()
    assert etth.startswith("error: etth: can't download ETTh1.csv")
    assert riverflow.startswith("error: riverflow: can't download")


def test_all_are_the_public_sets():
    assert program.chosen(["all", "stock"]) == list(SOURCES.values())


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], "give --list, or --prepare and names"),
        (["--prepare", "stok"], "'stok' is no data set: did you mean 'stock'?"),
        (["--prepare", "sines"], "sines is generated"),
        (["--liste"], "unrecognized arguments: --liste"),
    ],
)
def test_wrong_use(capsys, empty, argv, expected):
    with pytest.raises(SystemExit) as stopped:
        program.main(argv)
    assert stopped.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert expected in err
    assert err.count("\n") == 1


def test_list_needs_no_library_that_is_slow_to_import(empty):
    """Nor does the whole package, which it imports."""
    slow = {"tensorflow_datasets", "sktime", "pandas", "sklearn", "matplotlib"}
    slow |= {"tensorboardX", "scipy.linalg", "scipy.stats"}
    code = "import sys; from l2d_jax.data.__main__ import main; main(['--list']);"
    code += f"print({slow} & {{*sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "set()", done.stderr
