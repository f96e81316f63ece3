"""benchmarks/held_out.py: rows and files of trainings with series held out."""

import json
from pathlib import Path

import held_out
import pytest

from l2d_jax.types import InputError

ROOT = Path(__file__).resolve().parent.parent
ABLATIONS = ROOT / "benchmarks" / "results" / "ablations.md"


def run(workdir, *, seed=0, share=0.6, name="ecg5000", path="", steps=3000, rate=1e-3):
    """What main.py leaves of a run that trained on 400 series."""
    config = {
        "seed": seed,
        "data": {"name": name, "path": path, "protocol": "held_out"},
        "data_stage": {
            "num_steps": steps,
            "batch_size": 64,
            "condition_noise": 0.2,
            "learning_rate": rate,
        },
        "latent_stage": {"num_steps": 1000, "batch_size": 256},
    }
    chance = {"interval": [0.47, 0.53]}
    scores = {
        "context_fid": {"mean": 0.01 + 0.02 * seed},
        "random_convolution_fid": {"mean": 0.1},
        "precision": {"mean": 0.8},
        "recall": {"mean": 0.9},
        "closer_to_train": {"mean": share, "floor": chance},
        "membership_inference": {"mean": 0.55},
        "settings": {"samples": {"layout": [140, ["a"], False, 140, 400, 1, None]}},
    }
    workdir.mkdir()
    made = {"config": config, "git_commit": "abc", "device": "a machine"}
    (workdir / "config.json").write_text(json.dumps(made))
    (workdir / "scores.json").write_text(json.dumps(scores))
    return workdir


def test_a_row_by_hand(tmp_path):
    """3,000 x 64 / 400 = 480 and 1,000 x 256 / 400 = 640 times; means of two seeds."""
    results = [
        held_out.result(run(tmp_path / "1", seed=1, share=0.7)),
        held_out.result(run(tmp_path / "0", seed=0, share=0.6)),
        held_out.result(run(tmp_path / "2", steps=200)),
    ]
    assert held_out.table(sorted(results, key=held_out.training)) == (
        "| ecg5000 | 400 | 200 (32) | 1,000 (640) | 0.2 | 0.001 | 1 "
        "| .0100 | .100 | .800 | .900 | 60.0 (50 ± 3.0) | .550 |\n"
        "| ecg5000 | 400 | 3,000 (480) | 1,000 (640) | 0.2 | 0.001 | 2 "
        "| .0200 | .100 | .800 | .900 | 65.0 (50 ± 3.0) | .550 |"
    )


def test_runs_become_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(held_out, "RESULTS", tmp_path)
    own = run(tmp_path / "own", name="file", path="/a/crop.npy", seed=2)
    monkeypatch.setattr("sys.argv", ["held_out.py", str(own)])
    held_out.main()
    (path,) = tmp_path.glob("*.json")
    assert path.name == "crop_400_d3000_l1000_n0.2_2.json"
    found = json.loads(path.read_text())
    assert found["protocol"] == "held_out" and found["git_commit"] == "abc"
    assert "/a/" not in path.read_text()
    printed = capsys.readouterr().out
    assert printed.endswith(held_out.table([found]) + "\n\n\n")  # no config's own
    del found["learning_rate"]  # as in the older files
    fast = held_out.result(run(tmp_path / "fast", rate=4e-3))
    names = [held_out.file_name(held_out.training(one)) for one in (found, fast)]
    assert names == [path.name, "ecg5000_400_d3000_l1000_n0.2_r0.004_0.json"]


def test_runs_that_say_nothing_of_copies_are_named(tmp_path):
    workdir = run(tmp_path / "w", share=None)
    with pytest.raises(InputError, match=r"w has no series held out: .*random_fifth"):
        held_out.result(workdir)
    (workdir / "scores.json").unlink()
    with pytest.raises(InputError, match=r"scores.json is missing: let its run"):
        held_out.result(workdir)


def test_the_rows_are_in_the_ablations():
    text = ABLATIONS.read_text("utf-8")
    files = held_out.read_all(held_out.RESULTS)
    assert files
    for line in held_out.table(files).splitlines():
        assert line in text
    text = (ROOT / "docs" / "results.md").read_text("utf-8")
    lines = held_out.short_table(files).splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line in text
