"""Weak scaling of training, and a projection to a v5e-256 slice.

    python benchmarks/scaling.py --out=runs/scaling

The data stage of configs/stock.py, without the latent, 16 series a device, on 1, 2, 4
and 8 virtual CPU devices of one process and on 2, 4 and 8 of two processes. Every step
is timed as it is, and without the mean of the gradients over devices: the difference is
communication. The calls of both take turns, and the fastest of each counts, as other
programs slow some of them down. All devices share the cores of this machine, so that a
step takes longer with more of them, whatever the program does: what weak scaling means
here is that the throughput of the whole machine stays.

The projection. A step on one chip takes

    t_1 = max(F / (U P), A / M) + O

F flops and A bytes of memory traffic a step of 128 series, as XLA counts them in the
compiled step (for CPU: TPU fuses otherwise); P = 197 Tflop/s in bfloat16 and M = 819
GB/s of a v5e chip (Google's figures); U = 0.3, the share of P that matrices of width
128 may reach, and O = 100 us of kernels and loop a step: both are guesses. On n chips
in a square torus the mean adds a ring all-reduce of B bytes of gradients (counted)
along both axes,

    t_n = t_1 + 2 B (n - 1) / n / W + 4 (sqrt(n) - 1) H

W = 100 GB/s and chip (half of Google's 1,600 Gbit/s, which counts both directions),
H = 1 us a hop (a guess). Nothing is overlapped. Efficiency is t_1 / t_n. Input from the
hosts is left out: it is an index into arrays in memory.
"""

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import kept

from l2d_jax.files import write_text

LENGTH, CHANNELS = 24, 6
PROJECTED_BATCH = 128  # series a chip
PEAK, USED, MEMORY = 197e12, 0.3, 819e9  # flop/s, its share, byte/s: P, U, M
OVERHEAD, LINKS, HOP = 100e-6, 100e9, 1e-6  # s, byte/s, s: O, W, H
CHIPS = (1, 8, 16, 64, 256)
LAYOUTS = ((1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (2, 2), (2, 4))


# --- in the processes that are measured -----------------------------------------------


def child(rank: int, processes: int, port: int, batch: int, steps: int) -> None:
    """Times the steps and prints what it finds as json."""
    from l2d_jax import cluster, parallel

    if processes > 1:
        cluster.initialize(
            coordinator=f"localhost:{port}", num_processes=processes, process_id=rank
        )
    facts = time_steps(batch, steps)
    if parallel.num_devices() == 1:
        facts |= count(PROJECTED_BATCH)
    if parallel.is_first():
        print(json.dumps(facts))


def make_stage():
    """The stage and its section of the config."""
    from l2d_jax import configs
    from l2d_jax.stages import STAGES

    config = configs.load("stock").get_config("data_only")
    config.training.compute_dtype = "float32"
    return STAGES["data"](config, (LENGTH, CHANNELS)), config.data_stage


def time_steps(batch: int, steps: int) -> dict[str, float]:
    """Milliseconds of a step with and without the mean, the fastest of eight calls."""
    import jax
    import numpy as np

    from l2d_jax import parallel, train

    stage, c = make_stage()
    here = batch * parallel.num_devices() // parallel.num_processes()
    examples = stage.prepare({}, noise(steps * here))
    batches = train.take(examples, np.arange(steps * here).reshape(steps, here))
    programs, states, mean = {}, {}, parallel.pmean
    for name, communicate in (
        ("milliseconds", mean),
        ("milliseconds without the mean", lambda tree: tree),
    ):
        parallel.pmean = communicate  # looked up when the program is traced
        programs[name] = train.make_program(stage, c, seed=0)
        state = parallel.replicate(train.init_state(stage, c, seed=0))
        states[name], _ = programs[name](state, batches)
    parallel.pmean = mean
    fastest = dict.fromkeys(programs, math.inf)
    for name in [*programs] * 8:
        jax.block_until_ready(states)
        parallel.barrier("next call")
        start = time.perf_counter()
        states[name], metrics = programs[name](states[name], batches)
        jax.block_until_ready(metrics)
        seconds = time.perf_counter() - start
        fastest[name] = min(fastest[name], 1000 * seconds / steps)
    return fastest


def noise(rows: int):
    """Series, as numpy."""
    import numpy as np

    shape = (rows, LENGTH, CHANNELS)
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def count(batch: int) -> dict[str, float]:
    """Flops and bytes of one step on one device."""
    import jax
    import numpy as np

    from l2d_jax import parallel, train

    stage, c = make_stage()
    state = train.init_state(stage, c, seed=0)
    step = jax.pmap(
        train.make_train_step(stage, c, seed=0), parallel.AXIS, in_axes=(None, 0)
    )
    one = train.take(stage.prepare({}, noise(batch)), np.arange(batch)[None])
    cost = step.lower(state, one).compile().cost_analysis()
    gradients = sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))
    return {
        "flops": cost["flops"],
        "bytes of memory": cost["bytes accessed"],
        "bytes of gradients": gradients,
    }


# --- around them ----------------------------------------------------------------------


def measure(processes: int, devices: int, batch: int, steps: int) -> dict:
    """What the first of `processes` says, each with so many devices."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "PJRT_NPROC": str(max(8, 2 * devices)),  # fewer threads: a deadlock
    }
    started = [
        subprocess.Popen(
            [
                *(sys.executable, __file__, f"--batch={batch}", f"--steps={steps}"),
                *("--child", str(rank), str(processes), str(port)),
            ],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(processes)
    ]
    try:
        said = [one.communicate(timeout=900)[0] for one in started]
    finally:
        for one in started:
            one.kill()
    if any(one.returncode for one in started):
        raise SystemExit(f"{processes} processes of {devices} devices failed")
    return {
        "processes": processes,
        "devices": processes * devices,
        **json.loads(said[0].splitlines()[-1]),
    }


def project(flops: float, memory: float, gradients: float) -> list[dict]:
    """The model of the docstring, for each number of chips."""
    alone = max(flops / (USED * PEAK), memory / MEMORY) + OVERHEAD
    rows = []
    for n in CHIPS:
        mean = 2 * gradients * (n - 1) / n / LINKS + 4 * (math.sqrt(n) - 1) * HOP
        rows.append(
            {
                "chips": n,
                "microseconds": 1e6 * (alone + mean),
                "of them communication": 1e6 * mean,
                "efficiency": alone / (alone + mean),
            }
        )
    return rows


def table(facts: dict) -> str:
    """For people."""
    batch, counted = facts["series a device"], facts["measured"][0]
    first = facts["measured"][0]["milliseconds"]
    lines = [
        "# Scaling of training",
        "",
        f"`{facts['command']}`, on {facts['machine']}. "
        f"The data stage of configs/stock.py without the latent, {batch} series a "
        "device and step, float32, the fastest of eight calls. **All devices share "
        "these cores**, with other programs: throughput is that of the whole machine, "
        "relative to one device. It says what is lost by splitting the work, not what "
        "more hardware would give.",
        "",
        "| processes | devices | ms a step | without the mean | communication | "
        "throughput |",
        "|---|---|---|---|---|---|",
    ]
    for row in facts["measured"]:
        whole, without = row["milliseconds"], row["milliseconds without the mean"]
        share = max(0.0, 1 - without / whole)
        lines.append(
            f"| {row['processes']} | {row['devices']} | {whole:.1f} | {without:.1f} | "
            f"{share:.0%} | {row['devices'] * first / whole:.2f} |"
        )
    lines += [
        "",
        "## Projected to v5e slices",
        "",
        f"Not measured: a model, stated in `benchmarks/scaling.py`. It takes from here "
        f"{counted['flops'] / 1e9:.2f} Gflop, "
        f"{counted['bytes of memory'] / 1e6:.0f} MB of memory traffic and "
        f"{counted['bytes of gradients'] / 1e6:.2f} MB of gradients a step and device "
        f"of {PROJECTED_BATCH} series.",
        "",
        "| chips | us a step | communication | efficiency | series a second |",
        "|---|---|---|---|---|",
    ]
    for row in facts["projected"]:
        rate = 1e6 * row["chips"] * PROJECTED_BATCH
        lines.append(
            f"| {row['chips']} | {row['microseconds']:.0f} | "
            f"{row['of them communication']:.0f} | {row['efficiency']:.0%} | "
            f"{rate / row['microseconds']:,.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=kept.count, default=16, help="series a device")
    parser.add_argument("--steps", type=kept.count, default=20, help="of a call")
    parser.add_argument("--out", help="for OUT.json and OUT.md")
    parser.add_argument("--child", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(*args.child, args.batch, args.steps)
        return
    measured = []
    for processes, devices in LAYOUTS:
        measured.append(measure(processes, devices, args.batch, args.steps))
        print(json.dumps(measured[-1]), flush=True)
    counted = [
        measured[0][name] for name in ("flops", "bytes of memory", "bytes of gradients")
    ]
    import jax

    facts = {
        "command": kept.command_of(__file__, parser, args),
        "machine": f"{os.cpu_count()} CPU cores, JAX {jax.__version__}",
        "series a device": args.batch,
        "series a device, projected": PROJECTED_BATCH,
        "measured": measured,
        "projected": project(*counted),
    }
    print(table(facts))
    if args.out:
        write_text(Path(f"{args.out}.json"), json.dumps(facts, indent=2) + "\n")
        write_text(Path(f"{args.out}.md"), table(facts))


if __name__ == "__main__":
    main()
