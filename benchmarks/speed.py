"""Series per second of sampling and training, beside PyTorch on the same device.

    python benchmarks/speed.py --quick
    python benchmarks/speed.py --out=runs/speed.json

Weights are random: time does not depend on them. What is compared runs in turn, several
times over; given are medians, with minimum and maximum. Long chains of others are timed
over a part of their steps, which all cost the same. PyTorch: `pip install -e .[bench]
'pandas<3'`, as the statsmodels that tsgm 0.1 pins needs an older pandas.

Others on the machine spoil seconds. Where it isn't idle, count those in which the
processor worked for this process, on one core: `taskset -c 0 ... --clock=cpu`.

On a GPU PyTorch works there too, operation by operation, as the peers' own code does;
its CUDA build has to be there. Batches are 4,096 then, float32 products are TF32's, and
memory is that of the GPU.

Compilation and memory are those of a fresh process that samples once, without and with
what the persistent cache kept.
"""

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np
import timed
from kept import last_said
from memory import peak_memory
from timed import DTYPES, FAST, FULL, SETS, median, on_cpu, untrained

from l2d_jax import parallel
from l2d_jax.cascade import Cascade
from l2d_jax.compilation_cache import enable_compilation_cache
from l2d_jax.files import whole_file, write_text
from l2d_jax.types import tree_size
from l2d_jax.workdir import library_version

TSGM_STEPS = 1_000

# --- fresh processes ------------------------------------------------------------------


def fresh(name: str, dtype: str, num_steps: int, n: int) -> dict[str, float]:
    """Compilation and memory of this process, which samples for the first time."""
    model = untrained(name, dtype)
    peak = peak_memory if on_cpu() else device_memory
    before = peak()
    seconds = []
    for _ in range(3):
        start = timed.seconds()
        model.sample(jax.random.key(0), n, num_steps=num_steps)
        seconds.append(timed.seconds() - start)
    return {
        "seconds to compile": round(seconds[0] - min(seconds[1:]), 2),
        "MiB at most": round(peak()),
        "MiB before": round(before),
    }


def tsgm(name: str, batch: int, part: int) -> float:
    """Series a second of tsgm's DDPM, in this process."""
    os.environ["KERAS_BACKEND"] = "torch"
    import tsgm as library

    _, length, channels, ragged = SETS[name]

    def network():
        return library.models.zoo["ddpm_denoiser"](
            seq_len=length, feat_dim=channels + ragged
        ).model

    ddpm = library.models.ddpm.DDPM(network(), network(), timesteps=part)
    ddpm.seq_len, ddpm.feat_dim = length, channels + ragged
    ddpm.generate(batch)
    start = timed.seconds()
    ddpm.generate(batch)
    return batch / (timed.seconds() - start) * part / TSGM_STEPS


def device_memory() -> float:
    """MiB of the GPU that were in use at most."""
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20


def in_process(*arguments: str | int, cache: str | None = None):
    """What this file prints with `--in-process=...`, or why it couldn't."""
    environment = dict(os.environ)
    if cache is not None:
        environment |= {"JAX_COMPILATION_CACHE_DIR": cache}
        environment |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    command = ",".join(map(str, arguments))
    done = subprocess.run(
        [sys.executable, __file__, f"--in-process={command}", f"--clock={timed.clock}"],
        capture_output=True,
        text=True,
        env=environment,
    )
    found, why = last_said(done)
    return f"failed: {why}" if why else found


# --- the program ----------------------------------------------------------------------


def measure(
    name: str, *, quick: bool, with_torch: bool, with_fresh: bool, only: str
) -> Iterator[dict]:
    """Everything of one set, part by part: what follows may take minutes."""
    num_series, length, _, _ = SETS[name]
    n = min(num_series, 88_000 // length if on_cpu() else 8_192)
    part, repeats, batch = 20, 3, 512 if on_cpu() else 4_096
    if quick:
        n, part, batch = 256, 2, 256
    models = {dtype: untrained(name, dtype) for dtype in DTYPES}
    training_batch = models["float32"].config.data_stage.batch_size
    tasks, flops, error, size = {}, 0, None, None
    for dtype, model in models.items():
        tasks[f"matmul, {dtype}"] = timed.matmul(dtype)
        tasks[f"denoiser, {dtype}"], flops = timed.denoiser(model, batch, part)
        tasks[f"training, {dtype}"] = timed.trainer(model, training_batch, part)
        tasks[f"{FULL} steps, {dtype}"] = timed.sampler(model, n, num_steps=FULL)
        tasks[f"{FAST} steps, {dtype}"] = timed.sampler(model, n, num_steps=FAST)
    if with_torch:
        import torch_tasks

        more, error, size = torch_tasks.tasks(
            models["float32"], batch=batch, training_batch=training_batch, part=part
        )
        tasks |= more
    chosen = {key: task for key, task in tasks.items() if re.search(only, key)}
    if not chosen:
        sys.exit(f"--only={only}: none of {', '.join(tasks)}")
    rates = timed.interleaved(chosen, repeats)
    if only:
        yield {"series at once": batch, "rates": rates, "largest difference": error}
        return
    params = models["float32"].params
    yield {
        "series at once": n,
        "parameters": tree_size((params["latent_denoiser"], params["series_denoiser"])),
        "rates": rates,
        "share of the matmul rate, denoiser": {
            dtype: round(
                median(rates, f"denoiser, {dtype}")
                * (flops / batch / 1e9)
                / median(rates, f"matmul, {dtype}"),
                3,
            )
            for dtype in DTYPES
        },
    }
    if with_torch:
        yield {
            "largest difference to the torch denoiser": error,
            "parameters of Diffusion-TS's size": size,
            "ratios": ratios(rates),
        }
        yield {"tsgm DDPM, 1000 steps": in_process("tsgm", name, batch, part)}
    if not quick:
        yield {"batch sweep": sweep(models, repeats)}
    if with_fresh:
        dtypes, steps = (DTYPES[:1], (FULL,)) if quick else (DTYPES, (FULL, FAST))
        yield {"fresh process": fresh_processes(name, dtypes, steps, batch)}


def fresh_processes(name: str, dtypes: Iterable[str], steps: Iterable[int], n: int):
    """What `fresh` finds: compiled from nothing, and from the cache after that."""
    with tempfile.TemporaryDirectory() as cache:
        return {
            f"{state}, {num_steps} steps, {dtype}": in_process(
                "fresh", name, dtype, num_steps, n, cache=cache
            )
            for dtype in dtypes
            for num_steps in steps
            for state in ("without cache", "with cache")
        }


def ratios(rates: dict[str, dict]) -> dict[str, float]:
    """Ours over theirs, of the medians."""
    slow = median(rates, "Diffusion-TS's size, 500 steps, float32")
    found = {}
    for dtype in DTYPES:
        for steps in (FULL, FAST):
            rate = median(rates, f"{steps} steps, {dtype}")
            found[f"{steps} steps, {dtype}, over Diffusion-TS's 500"] = rate / slow
            torch = median(rates, f"torch {FULL} steps, {dtype}")
            found[f"{steps} steps, {dtype}, over torch's {FULL} in it"] = rate / torch
        for what in ("denoiser", "training"):
            for other in DTYPES:
                found[f"{what}, {dtype}, over torch in {other}"] = median(
                    rates, f"{what}, {dtype}"
                ) / median(rates, f"torch {what}, {other}")
    return {name: float(f"{ratio:.3g}") for name, ratio in found.items()}


def sweep(models: dict[str, Cascade], repeats: int) -> dict[str, dict]:
    """Rates by series per program call."""
    sampled, trained = (128, 512, 2_048), (32, 128, 512)
    if not on_cpu():
        sampled, trained = (512, 4_096, 16_384), (128, 512, 2_048)
    tasks = {}
    for dtype, model in models.items():
        for batch in sampled:
            tasks[f"{FAST} steps, {dtype}, {batch}"] = timed.sampler(
                model, sampled[-1], batch, num_steps=FAST
            )
        for batch in trained:
            steps = max(1_024 // batch, 1) if on_cpu() else 20
            tasks[f"training, {dtype}, {batch}"] = timed.trainer(model, batch, steps)
    return timed.interleaved(tasks, repeats)


def draw(results: dict, path: Path) -> None:
    """Series per second of each way to sample, log scale, a panel per set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(results), 3.6))
    axes = figure.subplots(1, len(results), squeeze=False)[0]
    for axis, (name, result) in zip(axes, results.items(), strict=True):
        rates = {k: v for k, v in result["rates"].items() if "steps" in k}
        rates = dict(sorted(rates.items(), key=lambda item: item[1]["median"]))
        middle = np.array([v["median"] for v in rates.values()])
        low = middle - [v["min"] for v in rates.values()]
        high = np.array([v["max"] for v in rates.values()]) - middle
        axis.barh(list(rates), middle, xerr=np.stack([low, high]), color="tab:blue")
        axis.set_xscale("log")
        axis.set_title(name)
        axis.set_xlabel("series per second")
        axis.tick_params(axis="y", labelsize=7)
    figure.tight_layout()
    with whole_file(path) as picture:
        figure.savefig(picture, dpi=110, format="png")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Stock only, few repeats")
    parser.add_argument("--sets", default="")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-fresh", action="store_true", help="processes")
    parser.add_argument("--out", default="")
    parser.add_argument("--in-process", default="")
    parser.add_argument("--only", default="", help="tasks that match, rates alone")
    parser.add_argument("--clock", choices=tuple(timed.CLOCKS), default="wall")
    args = parser.parse_args(argv)
    timed.clock = args.clock
    if args.in_process:
        what, *rest = args.in_process.split(",")
        values = [int(value) if value.isdigit() else value for value in rest]
        print(json.dumps({"fresh": fresh, "tsgm": tsgm}[what](*values)))
        return
    enable_compilation_cache()
    names = args.sets.split(",") if args.sets else list(SETS)[: 1 if args.quick else 3]
    if unknown := {*names} - {*SETS}:
        parser.error(f"--sets: {unknown.pop()!r}, use {', '.join(SETS)}")
    try:
        re.compile(args.only)
    except re.error as error:
        parser.error(f"--only={args.only}: no regular expression ({error})")
    if not args.no_torch and importlib.util.find_spec("torch") is None:
        parser.error(
            "PyTorch is missing: pip install -e '.[bench]' 'pandas<3', or --no-torch"
        )
    versions = ["jax", "flax"] + ["torch"] * (not args.no_torch)
    report = {
        "device": parallel.describe_devices(),
        "versions": {name: library_version(name) for name in versions},
        "clock": timed.clock,
        "load at the start": round(os.getloadavg()[0], 1),
        "sets": {},
    }
    for name in names:
        result = report["sets"][name] = {}
        for part in measure(
            name,
            quick=args.quick,
            with_torch=not args.no_torch,
            with_fresh=not args.no_fresh,
            only=args.only,
        ):
            result |= part
            report["load at the end"] = round(os.getloadavg()[0], 1)
            if args.out:
                write_text(Path(args.out), json.dumps(report, indent=1) + "\n")
                draw(report["sets"], Path(args.out).with_suffix(".png"))
        shown = result if args.quick else {name: result.get("ratios", result["rates"])}
        print(json.dumps(shown, indent=1), flush=True)


if __name__ == "__main__":
    main()
