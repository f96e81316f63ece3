"""Memory and time of a run on a recording that is too large to hold every window of.

    python benchmarks/large_recording.py --out=runs/large_recording.json

Makes 10 million rows x 8 channels (--rows, --format=npy, csv or parquet) in a temporary
folder, and runs the smoke form of configs/own.py on it in a process of its own. Exit
status 1 where that process held more than 4 GiB at any time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from kept import count

from l2d_jax.files import write_text

CHANNELS = 8
PIECE = 250_000  # rows that are made and written at once
LIMIT = 4 * 2**30  # bytes

CHILD = """
import json, sys, time
from memory import peak_memory
start = time.perf_counter()
from configs import own
from l2d_jax.data.own import read_file
from l2d_jax.run import run

def peak():
    return round(peak_memory() * 2**20)

path, workdir, reading_alone = sys.argv[1], sys.argv[2], sys.argv[3] == "True"
config = own.get_config("smoke")
config.data.path = path
facts = {"seconds of imports": time.perf_counter() - start, "bytes before": peak()}
start = time.perf_counter()
if reading_alone:
    found = read_file(config.data)
    facts["rows read"] = sum(len(one) for one in found.series)
else:
    run(config, workdir)
facts["seconds"] = time.perf_counter() - start
facts["bytes"] = peak()
if not reading_alone:
    import jax
    from l2d_jax.parallel import describe_devices
    facts |= {"device": describe_devices(), "jax": jax.__version__}
print(json.dumps(facts))
"""


def pieces(rows: int) -> Iterator[np.ndarray]:
    """A first-order autoregression in 8 channels, [<= PIECE, 8] float32."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(0)
    state = np.zeros((1, CHANNELS))
    for start in range(0, rows, PIECE):
        noise = rng.normal(size=(min(PIECE, rows - start), CHANNELS))
        x, state = lfilter([1.0], [1.0, -0.95], noise, axis=0, zi=state)
        yield x.astype(np.float32)


def write_npy(path: Path, rows: int) -> None:
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, CHANNELS))
    for i, piece in enumerate(pieces(rows)):
        array[i * PIECE : i * PIECE + len(piece)] = piece
    array.flush()


def write_csv(path: Path, rows: int) -> None:
    import pandas as pd

    names = [f"x{i}" for i in range(CHANNELS)]
    for i, piece in enumerate(pieces(rows)):
        frame = pd.DataFrame(piece, columns=names)
        frame.to_csv(path, mode="a", header=i == 0, index=False, float_format="%.5g")


def write_parquet(path: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"x{i}" for i in range(CHANNELS)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with pq.ParquetWriter(path, schema) as writer:
        for piece in pieces(rows):
            columns = [pa.array(column) for column in piece.T]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


WRITERS = {"npy": write_npy, "csv": write_csv, "parquet": write_parquet}


def measure(path: Path, workdir: Path, *, reading_alone: bool) -> dict:
    """What a process of its own says of itself."""
    command = [sys.executable, "-c", CHILD, str(path), str(workdir), str(reading_alone)]
    modules = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, modules))}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=count, default=10_000_000)
    parser.add_argument("--format", choices=WRITERS, default="npy")
    parser.add_argument("--reading-alone", action="store_true", help="no training")
    parser.add_argument("--folder", help="where the recording is made; else temporary")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / f"recording.{args.format}"
        start = time.perf_counter()
        WRITERS[args.format](path, args.rows)
        print(f"made in {time.perf_counter() - start:.0f} s", flush=True)
        reading = measure(path, Path(folder) / "run", reading_alone=True)
        facts = {
            "rows": args.rows,
            "channels": CHANNELS,
            "format": args.format,
            "bytes of the file": path.stat().st_size,
            "reading alone": reading,
        }
        if not args.reading_alone:
            facts["all"] = measure(path, Path(folder) / "run", reading_alone=False)
    parts = [part for part in ("reading alone", "all") if part in facts]
    peak = max(facts[part]["bytes"] for part in parts)
    facts |= {"peak bytes": peak, "limit in bytes": LIMIT}
    text = json.dumps(facts, indent=2)
    print(text)
    if args.out:
        write_text(args.out, text + "\n")
    if peak > LIMIT:
        print(f"{peak / 2**30:.2f} GiB, above the limit", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
