"""What benchmarks/speed.py times; conv_in_scan.py; memory of other processes."""

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import conv_in_scan
import memory
import pytest
import speed
import timed


@pytest.mark.skipif(not timed.on_cpu(), reason="larger products elsewhere")
def test_operations_of_products_are_counted_in_full():
    """20 products of 1024 x 1024, a multiplication and a sum each."""
    assert timed.matmul("float32")() == pytest.approx(42.94967296, rel=1e-12)


def test_models_are_of_the_size_that_runs_train():
    config = timed.config_of("energy", "bfloat16")
    assert (config.data_stage.width, config.data_stage.patch) == (256, 4)
    assert config.training.compute_dtype == "bfloat16"


def test_help_measures_no_convolution(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["conv_in_scan.py", "--help"])
    monkeypatch.setattr(conv_in_scan, "milliseconds", lambda *_, steps: steps)
    with pytest.raises(SystemExit) as ended:
        conv_in_scan.main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: conv_in_scan.py") and " ms" not in said


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere both are as one")
def test_memory_of_a_process_is_not_that_of_the_one_that_started_it():
    """A small one says so, though this one holds JAX."""
    command = "import memory; print(memory.peak_memory())"
    folder = Path(memory.__file__).parent
    said = subprocess.check_output([sys.executable, "-c", command], cwd=folder)
    assert 1 < float(said) < 100 < memory.peak_memory()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--sets=stocks", "'stocks', use stock, energy, character_trajectories"),
        ("--only=a(", r"--only=a\(: no regular expression \(missing \)"),
        ("--quick", "PyTorch is missing: pip install -e '.\\[bench\\]' 'pandas<3', or"),
        ("--quick --no-torch --only=torch", "--only=torch: none of matmul, float32"),
    ],
)
def test_what_speed_cannot_measure_is_said_first(monkeypatch, capsys, options, says):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(speed, "enable_compilation_cache", lambda: None)
    monkeypatch.setattr(timed, "interleaved", lambda *_: 1 / 0)
    stage = SimpleNamespace(data_stage=SimpleNamespace(batch_size=4))
    monkeypatch.setattr(speed, "untrained", lambda *_: SimpleNamespace(config=stage))
    for made in ("matmul", "denoiser", "trainer", "sampler"):
        monkeypatch.setattr(timed, made, lambda *_, **__: (None, None))
    with pytest.raises(SystemExit) as ended:
        speed.main(options.split())
    assert re.search(says, f"{ended.value.code} {capsys.readouterr().err}")
