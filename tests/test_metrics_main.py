"""python -m l2d_jax.metrics: two files in, a table out."""

import json
import os
import re
import sys

import numpy as np
import pytest

from l2d_jax.errors import status_of
from l2d_jax.metrics.__main__ import main

CHEAP = "--metrics=spectral_distance,fidelity,privacy"
RNG = np.random.default_rng(0)
REAL, OTHER, TEST = RNG.standard_normal((3, 120, 5, 2)).cumsum(axis=2)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, series in {"real": REAL, "other": OTHER, "test": TEST}.items():
        np.save(f"{name}.npy", series)
    return tmp_path


def test_a_table_and_a_file(folder, capsys):
    assert (
        main(["real.npy", "other.npy", "--test=test.npy", CHEAP, "--out=s.json"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("Distribution")
    assert lines[2].startswith("  Spectral distance") and "as real" in lines[2]
    assert not [line for line in lines if line.startswith("WARNING")]
    scores = json.loads((folder / "s.json").read_text())
    assert scores["closer_to_train"]["mean"] == pytest.approx(0.5, abs=0.2)
    assert f"{scores['spectral_distance']['mean']:.4g}" in lines[2]
    assert [path.name for path in folder.glob(".*")] == []


def test_ctrl_c_is_one_line(monkeypatch, capsys):
    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit, match="130"):
        status_of(stopped)
    assert capsys.readouterr().err == "interrupted: the same command starts anew\n"
    assert status_of(lambda: 2) == 2


def test_copies_are_said_aloud(folder, capsys):
    assert main(["real.npy", "real.npy", CHEAP]) == 0
    out = capsys.readouterr().out
    assert "WARNING: COPIES OF TRAINING DATA: 120 of 120 samples" in out
    assert "undefined: it takes held-out series" in out


def test_tables_lists_and_labels(folder, capsys):
    """A long table with ids and labels beside an .npz of other lengths."""
    rows = [
        f"{i},{'up' if i % 2 else 'down'},{value:.6f}"
        for i, one in enumerate(REAL[:60])
        for value in one[:, 0] + 20 * (i % 2)
    ]
    (folder / "real.csv").write_text("\n".join(["id,label,x", *rows]))
    shifted = OTHER[:60, :, :1] + 20.0  # all of the class "up"
    np.savez(folder / "made.npz", series=shifted, lengths=[4, 5] * 30)
    assert main(["real.csv", "made.npz", "--metrics=classes", "--num_repeats=2"]) == 0
    out = capsys.readouterr().out
    assert "Class histogram distance" in out
    assert "WARNING" in out and "down" in out


def test_a_channel_that_is_dead_in_samples_alone_is_scored(folder, capsys):
    """Not left out: it is what scores must see. Nor is one that real series lack."""
    dead = np.ones((40, 5))
    for name, second in (("real", REAL[:40, :, 1]), ("made", dead)):
        columns = zip(REAL[:40, :, 0].ravel(), second.ravel(), strict=True)
        rows = [f"{i // 5},{a:.6f},{b:.6f},7" for i, (a, b) in enumerate(columns)]
        (folder / f"{name}.csv").write_text("\n".join(["id,a,b,c", *rows]))
    only = "--metrics=marginal_distribution_difference"
    assert main(["real.csv", "made.csv", only, "--out=scores.json"]) == 0
    left_out = [x for x in capsys.readouterr().err.splitlines() if "left out" in x]
    assert left_out == [
        f"{name}.csv: left out 'c': the same value in every row"
        for name in ("real", "made")
    ]
    assert main(["real.csv", "real.csv", only, "--out=same.json"]) == 0
    found, same = (
        json.loads((folder / name).read_text())[only.split("=")[1]]["mean"]
        for name in ("scores.json", "same.json")
    )
    assert found > 0.1 > same == 0


def test_gaps_of_real_series_are_filled_as_a_run_does(folder, capsys):
    """Between two neighbours the mean; samples with gaps are refused all the same."""
    gaps, whole = REAL.copy(), REAL.copy()
    gaps[3, 2, 0] = np.nan
    whole[3, 2, 0] = (REAL[3, 1, 0] + REAL[3, 3, 0]) / 2
    np.save(folder / "gaps.npy", gaps)
    np.save(folder / "whole.npy", whole)
    only = "--metrics=marginal_distribution_difference"
    for name in ("gaps", "whole"):
        assert main([f"{name}.npy", "other.npy", only, f"--out={name}.json"]) == 0
    assert "gaps.npy: interpolated what is missing" in capsys.readouterr().err
    found, same = (
        json.loads((folder / f"{name}.json").read_text())[only.split("=")[1]]["mean"]
        for name in ("gaps", "whole")
    )
    assert found == pytest.approx(same, rel=1e-6)
    with pytest.raises(SystemExit):
        main(["real.npy", "gaps.npy", only])
    assert "generated[3] is nan at step 2, channel 0" in capsys.readouterr().err


def test_a_folder_is_no_file_for_scores(folder, capsys):
    with pytest.raises(SystemExit):
        main(["real.npy", "other.npy", CHEAP, "--out=."])
    assert "--out=. is a folder: name a file in it" in capsys.readouterr().err


def test_series_that_end_in_nan_are_told(folder, capsys):
    diverged = OTHER.copy()
    diverged[7:37, 3:] = np.nan
    np.save(folder / "diverged.npy", diverged)
    assert main(["real.npy", "diverged.npy", CHEAP]) == 0
    assert (
        "diverged.npy: 30 of 120 series end before the last step, and count as shorter "
        "ones; none of real.npy does" in capsys.readouterr().err.splitlines()
    )


def test_samples_that_were_left_scaled_are_told(folder, capsys):
    """As many generators save them: it is no fault of theirs."""
    low, high = OTHER.min(), OTHER.max()
    np.save("scaled.npy", (OTHER - low) / (high - low))
    assert main(["real.npy", "scaled.npy", "--metrics=spectral_distance"]) == 0
    said = capsys.readouterr().err
    ends = f"{REAL.min():.4g} and {REAL.max():.4g}"
    assert "scaled.npy: all values lie between 0 and 1, those of real.npy betw" in said
    assert f"between {ends}: scores compare them as they are" in said
    assert main(["real.npy", "other.npy", "--metrics=spectral_distance"]) == 0
    assert main(["scaled.npy", "scaled.npy", "--metrics=spectral_distance"]) == 0
    assert "all values" not in capsys.readouterr().err


def test_series_of_one_channel_without_its_axis_are_said_to_be_a_recording(
    folder, capsys
):
    np.save("one.npy", REAL[..., :1])
    np.save("flat.npy", OTHER[..., 0])
    with pytest.raises(SystemExit):
        main(["one.npy", "flat.npy"])
    said = capsys.readouterr().err
    assert "one.npy has 1 and flat.npy 5, and both need the same" in said
    assert said.endswith("two axes, [steps, channels], are one recording\n")


def test_recordings_are_cut_as_long_as_the_series(folder, capsys):
    """A recording beside series of 7 steps, and beside another recording."""
    recording = RNG.standard_normal((400, 2)).cumsum(axis=0)
    np.save("recording.npy", recording)
    np.save("other_recording.npy", np.sin(np.arange(400)[:, None] / [3.0, 5.0]))
    np.save("sevens.npy", recording[: 7 * 50].reshape(50, 7, 2))
    assert main(["recording.npy", "sevens.npy", CHEAP]) == 0
    said = "recording.npy: cut into windows of {} steps: --window"
    assert capsys.readouterr().err.splitlines()[0] == said.format(7)
    assert main(["recording.npy", "other_recording.npy", CHEAP]) == 0
    lines = capsys.readouterr().err.splitlines()
    steps = [int(line.split()[5]) for line in lines if "--window" in line]
    assert len(steps) == 2 and steps[0] == steps[1]
    assert main(["recording.npy", "other_recording.npy", CHEAP, "--window=9"]) == 0
    assert "--window" not in capsys.readouterr().err


def test_labels_of_the_test_series_alone_are_left_aside(folder):
    np.savez(folder / "test.npz", series=TEST, labels=[0, 1] * (len(TEST) // 2))
    assert main(["real.npy", "other.npy", "--test=test.npz", CHEAP]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["real.npy", "other.npy", "--metrics="], ["--metrics: name some of"]),
        (["real.npy", "other.npy", "--metrics=classes"], ["real.npy has no labels"]),
        (["real.npy", "other.npy", "--out=no/s.json"], ["no/s.json", "no such folder"]),
        (["nothing.npy", "real.npy"], ["error: nothing.npy does not exist$"]),
        (["real.npy", "other.npy", "--metrics=fid"], ["unknown metric 'fid'"]),
        (
            ["real.npy", "narrow.npy"],
            ["real.npy has 2 and narrow.npy 1, and both need"],
        ),
        (["real.npy", "turned.npy"], ["2 and turned.npy 5", "is .series, steps, c"]),
        (["real.npy", "other.npy", "--num_repeats=0"], ["num_repeats=0"]),
        (["real.npy"], ["required", "generated"]),
        (["x.npz", "y.npz"], ["x.npz has the channels a, b", "y.npz b, a", "order"]),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, words):
    np.save(folder / "narrow.npy", REAL[..., :1])
    np.save(folder / "turned.npy", OTHER.swapaxes(1, 2))
    np.savez(folder / "x.npz", series=REAL, channels=["a", "b"])
    np.savez(folder / "y.npz", series=REAL, channels=["b", "a"])
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert all(re.search(word, line) for word in words), line
