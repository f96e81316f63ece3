"""metrics.jsonl, as it is read back, and a disk that becomes full."""

import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboardX.record_writer import RecordWriter

from l2d_jax import metric_writer
from l2d_jax.metric_writer import (
    MetricWriter,
    drop_from,
    read_losses,
    read_seconds,
    rows,
)

ROW = {"stage": "encoder", "step": 5, "loss": 0.5, "seconds": 1.0}
LINE = json.dumps(ROW).encode()


@pytest.mark.parametrize(
    "damaged",
    [LINE[:-20], LINE[:-20] + b"\xff\xfe", b"\0" * 40, b"[1]", b"5", b"{}", b"null"],
)
def test_damaged_lines_are_left_out(damaged, tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"\n".join([LINE, damaged, LINE]))
    assert rows(path) == [ROW, ROW]
    steps, losses = read_losses(path)["encoder"]
    assert steps.tolist() == [5, 5] and losses.tolist() == [0.5, 0.5]
    assert read_seconds(path) == {"encoder": 2.0}
    drop_from(path, "encoder", 4)
    assert path.read_bytes() == b""


def test_time_left_leaves_out_what_compiling_took(tmp_path, monkeypatch, capsys):
    """The first chunk takes 60 s, others 20 s: three of them are left, then two."""
    times = iter([0.0, 60.0, 80.0, 100.0])
    clock = SimpleNamespace(monotonic=lambda: next(times), time=lambda: 0.0)
    monkeypatch.setattr(metric_writer, "time", clock)
    with MetricWriter(
        tmp_path, "data", first_step=50, num_steps=100, batch=4
    ) as writer:
        for step in (50, 60, 70):
            writer.write(step, {"loss": np.ones(10)})
    assert capsys.readouterr().err.splitlines() == [
        "data: step 60 of 100, loss 1",
        "data: step 70 of 100, loss 1, 2 series/s, 01:00 left",
        "data: step 80 of 100, loss 1, 2 series/s, 00:40 left",
    ]


def test_a_full_disk_ends_training_where_tensorboard_writes(tmp_path, monkeypatch):
    """A thread of TensorBoard's writer died of it, and the run waited for ever."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with MetricWriter(tmp_path, "data", first_step=0, num_steps=10, batch=8) as writer:
        monkeypatch.setattr(RecordWriter, "write", full)
        with pytest.raises(OSError, match="No space left"):
            writer.write(0, {"loss": np.ones(5)})
