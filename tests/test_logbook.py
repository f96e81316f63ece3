"""metrics.jsonl, as it is read back."""

import json

import pytest

from l2d_jax.logbook import drop_from, read_losses, read_seconds, rows

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
