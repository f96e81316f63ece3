"""launch/sweep.py: a run for each combination of values, here or elsewhere."""

import doctest
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_cloud import LAUNCH, ROOT, calls


def sweep(*arguments, status=0):
    done = subprocess.run(
        [sys.executable, str(LAUNCH / "sweep.py"), *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    return [shlex.split(line) for line in done.stdout.splitlines()]


def test_sweep_makes_every_combination():
    flags = ["--config=c.py", "--config.seed=0,1,2", "--config.data_stage.width=64,128"]
    runs = sweep("--dry-run", "--workdir=w", *flags)
    assert len(runs) == 6
    assert runs[1][1:] == [
        *(str(ROOT / "main.py"), "--config=c.py", "--config.seed=0"),
        *("--config.data_stage.width=128", "--workdir=w/seed=0,width=128"),
    ]


def sweep_module():
    spec = importlib.util.spec_from_file_location("sweep", LAUNCH / "sweep.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_sweep_splits_only_at_commas_between_values():
    assert doctest.testmod(sweep_module()).failed == 0


@pytest.mark.parametrize(
    "text, values",
    [
        ("/data/it's.csv", ["/data/it's.csv"]),
        ("/data/it's.csv,o'neil's.csv", ["/data/it's.csv", "o'neil's.csv"]),
        ("((1,2),(3,4)),5", ["((1,2),(3,4))", "5"]),
        ("['a','b']", ["['a','b']"]),
        ("['a','b'],('c,)',{'d':1})", ["['a','b']", "('c,)',{'d':1})"]),
        ("'it's,b',c", ["it's,b", "c"]),
        ("\"'tis,b\",'a(b'", ["'tis,b", "a(b"]),
        ("'tis.csv", ["'tis.csv"]),
        ("a(b.csv", ["a(b.csv"]),
        ("'a'+'b'", ["'a'+'b'"]),
        ("0,1,", ["0", "1"]),
        ("'',0", ["", "0"]),
    ],
)
def test_a_sweep_keeps_brackets_quotes_and_apostrophes(text, values):
    assert sweep_module().split(text) == values


@pytest.mark.parametrize(
    "text", ["'tis.csv,b.csv", "'it's,b", "a(b,c", "a),(b", "((1,2),3"]
)
def test_a_sweep_does_not_guess_where_a_bracket_or_quote_ends(text, capsys):
    flags = ["--workdir=w", f"--config.x={text}", "--dry-run"]
    assert sweep_module().main(flags) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --config.x={text}: a bracket or quote has no part")


@pytest.mark.parametrize(
    "flag, labels",
    [
        ("--config.encoder.mask_rate=0.25,0.5,.75", ["0.25", "0.5", ".75"]),
        ("--config=a/stock.py,b/ar1.py:smoke", ["stock", "ar1:smoke"]),
        (
            "--config='c.py:smoke,data_only',c.py:smoke",
            ["c:smoke,data_only", "c:smoke"],
        ),
        ("--config.data.path=a/x.csv,b/x.csv", ["a_x.csv", "b_x.csv"]),
    ],
)
def test_each_run_of_a_sweep_has_a_workdir_of_its_own(flag, labels):
    name = flag.partition("=")[0].rpartition(".")[2].lstrip("-")
    runs = sweep("--dry-run", "--workdir=w", flag)
    assert [run[-1] for run in runs] == [f"--workdir=w/{name}={one}" for one in labels]


def test_quotes_around_a_value_of_a_sweep_are_taken_off():
    ((*_, config, _),) = sweep("--dry-run", "--workdir=w", "--config='c.py:smoke,full'")
    assert config == "--config=c.py:smoke,full"


def test_an_empty_value_of_a_sweep_is_one():
    """Without its "=" the flag would take the next one for its value."""
    ((*_, path, _),) = sweep("--dry-run", "--workdir=w", "--config.data.path=")
    assert path == "--config.data.path="


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--workdir=w", "--config.seed=0,1,0"], "2 runs would share w/seed=0"),
        (
            ["--workdir=w", "--on=tpu", "--config=c.py"],
            "--workdir=w: with --on=tpu",
        ),
        (["--workdir=w", "--on=moon"], "--on=moon: use here"),
        (
            ["--workdir=gs://b/x", "--on=tpu", "--config.seed=0,1"],
            "--config is missing: as --config=configs/stock.py",
        ),
    ],
)
def test_sweeps_that_can_not_be(flags, says, capsys):
    assert sweep_module().main([*flags, "--dry-run"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(f"error: {says}")


def test_an_interrupted_sweep_waits_for_its_run(cloud):
    """Ctrl-C reaches both; the run says something after it."""
    (cloud / "bin" / "sbatch").write_text(
        "#!/usr/bin/env bash\ntrap 'echo saved; exit 130' INT\n"
        "echo ready\nwhile true; do sleep 0.1; done\n"
    )
    command = [sys.executable, str(LAUNCH / "sweep.py"), "--on=slurm", "--workdir=w"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:  # a shell's background jobs, and all that they start, ignore it otherwise
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        assert process.stdout.readline().startswith("sbatch")
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "saved\ninterrupted: the same command does what isn't done\n"


def test_sweep_on_slurm_and_on_tpus(cloud):
    flags = ["--workdir=gs://b/s", "--config=c.py", "--config.seed=0,1"]
    sweep("--on=slurm", *flags)
    assert [call[-1] for call in calls(cloud)] == [
        f"--workdir=gs://b/s/seed={seed}" for seed in "01"
    ]
    runs = sweep("--on=tpu", "--dry-run", *flags)
    assert len(runs) == 8
    assert [Path(words[4]).name for words in runs[:4]] == [
        *("create_tpu.sh", "create_tpu.sh", "watch_tpu.sh", "setup_tpu.sh")
    ]
    assert runs[7] == [
        *("env", "NAME=l2d-1", "CONFIG=c.py", "WORKDIR=gs://b/s/seed=1"),
        *(str(LAUNCH / "run_tpu.sh"), "--config.seed=1"),
    ]


def test_the_same_sweep_goes_on_with_the_tpus_that_it_asked_for(cloud):
    """gcloud refuses to create what is there."""
    (cloud / "describe.1").write_text("ACTIVE\n")  # of l2d-0; l2d-1 isn't there
    (cloud / "describe.2.error").write_text("ERROR: NOT_FOUND: no such resource\n")
    (cloud / "describe").write_text("ACTIVE\n")
    flags = ["--on=tpu", "--workdir=gs://b/s", "--config=c.py", "--config.seed=0,1"]
    command = [sys.executable, str(LAUNCH / "sweep.py"), *flags]
    subprocess.run(command, check=True, capture_output=True)
    made = [call for call in calls(cloud) if call[3] == "create"]
    assert [call[4] for call in made] == ["l2d-1"]
    started = [call for call in calls(cloud) if call[3] == "ssh"]
    assert [call[4] for call in started if "worker_run" in call[-1]] == [
        *("l2d-0", "l2d-1")
    ]


def test_the_same_sweep_asks_again_for_a_tpu_that_was_taken_away(cloud):
    (cloud / "describe.1").write_text("SUSPENDED\n")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "storage-describe").write_text("there already")
    command = [sys.executable, str(LAUNCH / "sweep.py"), "--on=tpu", "--config=c.py"]
    done = subprocess.run([*command, "--workdir=gs://b/s"], capture_output=True)
    assert done.returncode == 0
    made = [call[3:5] for call in calls(cloud) if call[2] == "queued-resources"]
    assert made == [
        [word, "l2d-0"] for word in ("describe", "delete", "create", "describe")
    ]
