"""The command line up to the run itself: what it makes of words, what it refuses."""

import re
import sys

import pytest
from absl import flags
from absl.testing import flagsaver

from l2d_jax import cli, configs, preemption
from l2d_jax.configs import folder
from l2d_jax.types import InputError

# Of ml_collections, as it loads a config file.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

RUN = ["--config=ar1", "--workdir=w"]
SAMPLE = ["--mode=sample", "--workdir=w"]
DISPATCH = cli.dispatch


def went_on():
    raise InputError("went on")


@pytest.fixture
def error_of(monkeypatch, capsys):
    """The one line that a command ends with; `went on` where it would have run."""
    monkeypatch.setattr(preemption, "watch", lambda **_: None)
    monkeypatch.setattr(cli, "dispatch", went_on)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
        with flagsaver.flagsaver(), pytest.raises(SystemExit) as end:
            cli.guarded()
        out, err = capsys.readouterr()
        (line,) = err.splitlines()
        assert end.value.code == 2 and line.startswith("error: ") and out == ""
        return line.removeprefix("error: ")

    return call


@pytest.mark.parametrize(
    "arguments, says",
    [
        (RUN, "went on"),
        (["--config", "ar1", "--workdir", "w"], "went on"),
        ([*SAMPLE, "--seed=1", "--num_steps=5", "--out=x.npz"], "went on"),
        (
            [*RUN, "--seed=3"],
            "--mode=sample: leave it out (a run takes --config.seed)",
        ),
        ([*RUN, "--num_steps=5"], "a run takes --config.sampling.num_steps"),
        ([*RUN, "--solver=ddim"], "a run takes --config.sampling.solver"),
        ([*RUN, "--num_samples=5"], "a run takes --config.sampling.num_samples"),
        ([*RUN, "--mode=report", "--out=x"], "--out is for --mode=sample"),
        ([*SAMPLE, "--config=ar1"], "--config is not for --mode=sample"),
        ([*SAMPLE, "--out=w/../w/samples.npz"], "samples.npz: this name is kept for"),
        (
            [*SAMPLE, "--out=w/samples.csv"],
            "--out=w/samples.csv: this name is kept for",
        ),
        ([*SAMPLE, "--out=./w/samples.npz"], "use another, as more.npz"),
        ([*SAMPLE, "--seed=-1"], "--seed=-1: -1 is not an integer in the range"),
        ([*SAMPLE, f"--seed={2**32}"], "in the range [0, 4294967295]"),
        ([*SAMPLE, "--out=w/more.csv"], "went on"),
        ([*SAMPLE, "--out=samples.csv"], "went on"),
        ([*RUN, "--config.sampling.clip=2"], "clip=2: give True or False"),
        ([*RUN, "--config.sampling.clip", "False"], "'False' is no flag: use --flag="),
        (["stray", *RUN], "'stray' is no flag"),
        (
            ["--mode=evaluate", "--workdir=w", "--config.evaluation.num_repeats=1"],
            "--config.evaluation.num_repeats needs --config=FILE beside it",
        ),
        (
            [*RUN, "--mode=evaluate", "--config.sampling.num_steps=5"],
            "--config.sampling.num_steps is for a run: --mode=evaluate takes it from",
        ),
        (
            [*RUN, "--mode=report", "--config.data.window=8"],
            "--config.data.window is for a run: --mode=report takes it from",
        ),
        (
            [
                *RUN,
                "--mode=evaluate",
                "--config.evaluation.num_repeats=3",
                "--config.data.path=x.csv",
            ],
            "went on",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(arguments, says, error_of):
    assert says in error_of(*arguments)


@pytest.mark.extra
def test_so_are_the_samples_of_a_run_in_a_bucket(error_of):
    pytest.importorskip("gcsfs", reason="gs:// needs gcsfs: pip install '.[gcs]'")
    where = "gs://a/w"
    says = error_of("--mode=sample", f"--workdir={where}", f"--out={where}/samples.npz")
    assert "the samples that the run itself wrote and scored" in says


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--config=ar1:smoke"], "--workdir is missing"),
        (["--workdir=w"], "--config is missing"),
        (["--config=stok", "--workdir=w"], "no such file; bundled configs: .*stock"),
        (["--config=configs/ar1.py:smok", "--workdir=w"], "'smok': use smoke"),
        ([*RUN, "--config.data_stage.widht=3"], "'widht' Did you mean \"width\""),
        ([*RUN, "--config.seed=1.5"], "seed.*1.5|1.5.*seed"),
        ([*SAMPLE, "--out=x.npz"], "no finished model"),
        (SAMPLE, "--out is missing"),
        (
            ["--config=configs/ucr_uea.py", "--workdir=w"],
            "^--config: name a data set: --config=configs/ucr_uea.py:NATOPS$",
        ),
        (["--config=ucr_uea:NATOP", "--workdir=w"], "mean 'NATOPS'"),
        (["--config=own", "--workdir=w"], "set --config.data.path=FILE"),
        (["--wrkdir=w", "--config=ar1"], "wrkdir.*Did you mean: workdir"),
    ],
)
def test_wrong_commands(arguments, says, error_of, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "dispatch", DISPATCH)
    monkeypatch.chdir(tmp_path)
    message = error_of(*arguments)
    assert re.search(says, message), message
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "variant, used, ignored",
    [
        ("full", "latent_stage.width=8", "time_gan_joint.num_steps=9"),
        ("latent_only", "sampling.latent_num_steps=9", "sampling.num_steps=9"),
        ("latent_only", "sampling.repeats_from=0.9", "data_stage.width=8"),
        ("data_only", "data_stage.width=8", "encoder.latent_dim=4"),
        ("data_only", "sampling.num_steps=9", "sampling.guidance=2.0"),
        ("data_only", "data.window=9", "data_stage.condition_layers=1"),
        ("oracle_latent", "encoder.width=8", "latent_stage.width=8"),
        ("diffusion_ts", "sampling.eta=0.5", "sampling.clip=False"),
        ("diffusion_ts", "sampling.batch_size=9", "sampling.repeats_from=0.9"),
        ("bootstrap", "training.compute_dtype=float32", "diffusion_ts.num_steps=9"),
        # Single stages are as large as all stages together would be.
        ("single_stage", "encoder.width=8", "sampling.guidance=2.0"),
    ],
)
def test_a_flag_that_the_variant_ignores(variant, used, ignored, error_of):
    run = [f"--config={folder() / 'stock.py'}:{variant}", "--workdir=w"]
    assert error_of(*run, f"--config.{used}") == "went on"
    name = "data_only" if variant == "single_stage" else variant
    assert error_of(*run, f"--config.{used}", f"--config.{ignored}") == (
        f"--config.{ignored.partition('=')[0]}: variant {name!r} ignores it, leave it "
        "out"
    )


@pytest.mark.parametrize("field", ["path", "id_column", "time_column", "label_column"])
def test_what_is_of_a_file_is_none_of_a_data_set(field, error_of):
    flag = f"--config.data.{field}=x"
    assert error_of("--config=own", "--workdir=w", flag) == "went on"
    assert error_of(*RUN, flag) == (
        f"--config.data.{field} is of a file of your own, and the data set is 'ar1': "
        "leave it out, or take --config=own"
    )


def test_a_stage_that_chooses_the_latent_is_no_ignored_one(error_of):
    run = [f"--config={folder() / 'stock.py'}:oracle_latent", "--workdir=w"]
    chosen = [*run, "--config.encoder.latent_dim=auto"]
    assert error_of(*chosen, "--config.latent_stage.width=8") == "went on"


@pytest.mark.parametrize(
    "text, says",
    [
        ("def get_config(:\n", "invalid syntax (mine.py, line 1)"),
        ("x = 1\nx = y\n", "name 'y' is not defined (NameError in {path}, line 2)"),
        ("def get_config():\n    return {}['a']\n", "'a' (KeyError in {path}, line 2)"),
        ("def get_config():\n    return int('a')\n", "ValueError: invalid literal"),
    ],
)
def test_errors_in_a_config_file(text, says, error_of, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(text)
    for more in ([], ["--config.mine.width=1"]):  # a field that this file would have
        message = error_of(f"--config={path}", "--workdir=w", *more)
        assert message.startswith("--config: ") and says.format(path=path) in message


def test_a_config_file_below_a_folder_with_a_colon(error_of, tmp_path, monkeypatch):
    """As all paths of Windows, below a drive, are."""
    (tmp_path / "a:b").mkdir()
    path = tmp_path / "a:b" / "ar1.py"
    path.write_bytes((folder() / "ar1.py").read_bytes())
    assert error_of(f"--config={path}", "--workdir=w") == "went on"
    assert "'smok': use smoke" in error_of(f"--config={path}:smok", "--workdir=w")
    monkeypatch.setattr(configs, "BUNDLED", path.parent)
    for name in ("ar1", "configs/ar1.py"):
        assert error_of(f"--config={name}:smoke", "--workdir=w") == "went on"


@pytest.mark.parametrize(
    "flag, says",
    [
        ("nonsense=1", "no field 'nonsense'"),
        ("data.nonsense=1", "no field 'nonsense'"),
        ("nonsense.width=1", "no field 'nonsense.width'"),
        ("data.path.width=1", "no field 'data.path.width'"),
        ("seed.width=1", "no field 'seed.width'"),
    ],
)
def test_a_field_that_no_config_has(flag, says, error_of):
    assert error_of(*RUN, f"--config.{flag}") == f"--config: there is {says}"


def test_a_config_file_that_returns_no_config(error_of, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("def get_config():\n    return 3\n")
    says = "--config: get_config() returns a value of type int, and not a config: "
    assert error_of(f"--config={path}", "--workdir=w").startswith(says)


def test_what_can_be_no_config_file(error_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text("a,b\n")
    (tmp_path / "folder").mkdir()
    assert "goes to --config=own --config.data.path=mine.csv" in error_of(
        "--config=mine.csv"
    )
    assert "--config=folder: a folder; bundled" in error_of("--config=folder")
    for empty in (["--config="], ["--config"]):
        assert "--config=: name a file; bundled" in error_of(*empty)


def test_words_become_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stock").mkdir()  # a bundled name all the same
    stock = f"--config={folder() / 'stock.py'}:smoke"
    for words in (
        ["--config=stock:smoke"],
        ["--config", "stock:smoke"],
        ["-config=stock:smoke"],
    ):
        assert cli.with_config_path(words) == [stock]
        fields = ["--config.seed=3", "--config.data.window", "9"]
        assert cli.with_config_path([*fields, *words]) == [stock, *fields]
    for word in cli.CHOSEN:
        for words in ([f"{word}=auto"], [word, "auto"]):
            assert cli.with_config_path(words) == [f"{word}=0"]
    assert cli.with_config_path(["--seed", "auto"]) == ["--seed", "auto"]


@pytest.mark.parametrize("mode", cli.MODES)
def test_what_the_same_command_does_next_time(mode):
    with flagsaver.flagsaver(mode=mode):
        flags.FLAGS.mark_as_parsed()
        assert cli.next_time() == (
            "goes on where it was" if mode == "run" else "starts anew"
        )
