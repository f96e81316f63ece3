# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # On TPU and GPU, at scale
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/l2d_jax/blob/main/notebooks/4_tpu_and_gpu.ipynb)
#
# The same code runs on a laptop, a GPU machine and a TPU without any setting. This notebook
# shows what happens there, and what to watch. In Colab: *Runtime, Change runtime type*, and a GPU or TPU; on a CPU
# this notebook pretends to have four devices, which shows all but the speed.
#
# The first cell installs l2d_jax where it is missing. It keeps the installed version of JAX,
# with its GPU or TPU plugin: if that is too old, pip says so and changes nothing.

# %%
import importlib.metadata
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("l2d_jax") is None:
    held = [
        f"{one.name}=={one.version}"
        for one in importlib.metadata.distributions()
        if one.name and one.name.lower().startswith("jax")
    ]
    with open("held.txt", "w") as file:
        file.write("\n".join(held))
    source = "l2d_jax @ git+https://github.com/OWNER/l2d_jax"
    if "/owner/" in source.lower():
        raise SystemExit("in this cell, put the repository's GitHub account for OWNER")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--constraint",
        "held.txt",
    ]
    subprocess.run([*pip, source], check=True)

# %%
import os
import time
from pathlib import Path

QUICK = bool(os.environ.get("L2D_QUICK"))  # as tests run it: results mean nothing
flag = "--xla_force_host_platform_device_count"
if flag not in os.environ.get("XLA_FLAGS", ""):  # without effect on a GPU or TPU
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}=4".strip()
os.environ.setdefault("PJRT_NPROC", "8")  # else four devices on two cores deadlock
# Compiled programs are kept: a second start is quick.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", "/tmp/l2d_jax_programs")

import jax
import matplotlib.pyplot as plt
import numpy as np

import l2d_jax
from l2d_jax import configs, parallel, stages, train
from l2d_jax.data.sampler import chunk_indices
from l2d_jax.metric_writer import MetricWriter, read_losses
from l2d_jax.plots.drawing import GENERATED, REAL

plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})
print(parallel.describe_devices())

# %% [markdown]
# ## One device or several: the same numbers
#
# Each step's batch is split over the devices, and all that they exchange is the mean
# gradient. Noise depends on the place of an example in the whole batch, not on the device, so
# that the loss is that of one device, up to rounding.

# %%
config = configs.resolve(configs.load("sines").get_config("smoke,data_only"))
if not QUICK:
    config.data_stage.update(width=128, num_blocks=4)
config.data_stage.update(num_steps=40, batch_size=64, warmup_steps=5)
series = np.random.default_rng(0).normal(size=(512, 24, 5)).cumsum(axis=1)
series = np.float32(series / np.abs(series).max())
stage = stages.data_stage(config, series.shape[1:])
c, examples = config.data_stage, stage.prepare({}, series)


def losses_of(devices, steps=40):
    """Of each step, trained on these devices."""
    program = train.make_program(stage, c, seed=0, devices=devices)
    state = parallel.replicate(train.init_state(stage, c, seed=0), devices)
    index = chunk_indices(0, 0, steps, num_examples=512, batch_size=c.batch_size)
    return np.asarray(program(state, train.take(examples, index))[1]["loss"])


devices = jax.local_devices()
one, all_of_them = losses_of(devices[:1]), losses_of(devices)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
axes[0].plot(one, color=REAL, lw=4, alpha=0.4, label="1 device")
axes[0].plot(all_of_them, color=GENERATED, lw=1, label=f"{len(devices)} devices")
axes[0].set(xlabel="step", ylabel="loss")
axes[0].legend()
axes[1].plot(np.abs(one / all_of_them - 1), ".", color="k")
axes[1].set(xlabel="step", ylabel="relative difference", ylim=(0, None))
plt.show()

# %% [markdown]
# ## The batch size for a device
#
# A step takes a fixed time, and some more for each series. With small batches the first
# dominates, with large ones the second: on an accelerator, take the batch size where the curve
# bends. (Results depend on the batch size; the learning rate may have to change with it.) A
# batch that doesn't fit in memory raises an error that names a size that does.

# %%
sizes = (16, 64) if QUICK else (16, 32, 64, 128, 256, 512, 1_024)
steps, speeds = 10, []
for size in sizes:
    c.batch_size = size
    program = train.make_program(stage, c, seed=0)
    state = parallel.replicate(train.init_state(stage, c, seed=0))
    index = chunk_indices(0, 0, steps, num_examples=512, batch_size=min(size, 512))
    batches = train.take(examples, np.resize(index, (steps, size)))
    for _ in range(2):  # the first call compiles
        began = time.perf_counter()
        state, metrics = program(state, batches)
        float(metrics["loss"][-1])
    speeds.append(steps * size / (time.perf_counter() - began))
c.batch_size = 64
figure, ax = plt.subplots(figsize=(5, 2.8))
ax.plot(sizes, speeds, "o-", color=GENERATED)
ax.set(xscale="log", yscale="log", xlabel="batch size", ylabel="series per second")
ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
ax.minorticks_off()
plt.show()

# %% [markdown]
# `--config.training.compute_dtype=auto` computes in bfloat16 where the hardware supports it
# (TPU, newer GPUs); weights stay float32. `--config.training.steps_per_call=100` sets how many
# steps run on the device in one call from Python.
#
# ## Stopped and resumed
#
# Spot machines can be taken away. Weights, noise and batches are a function of the seed and
# the step, so a run that was stopped anywhere and resumed ends with the weights of one that
# wasn't stopped.

# %%
config = configs.own.get_config("smoke,data_only")
config.data_stage.update(batch_size=16, num_steps=60)
config.training.update(steps_per_call=10, checkpoint_every=10)
whole = l2d_jax.fit(series, workdir="runs/whole", config=config)


class Stopped(Exception):
    pass


def stop_at(step, write):
    """A metric writer that fails: as a machine does that is taken away."""

    def failing(self, first_step, metrics):
        write(self, first_step, metrics)
        if first_step >= step:
            raise Stopped

    return failing


write = MetricWriter.write
MetricWriter.write = stop_at(30, write)
try:
    l2d_jax.fit(series, workdir="runs/stopped", config=config)
except Stopped:
    print("stopped after step 40")
finally:
    MetricWriter.write = write
again = l2d_jax.fit(series, workdir="runs/stopped", config=config)
same = jax.tree.map(np.array_equal, whole.params, again.params)
print("the same weights, bit by bit:", all(jax.tree.leaves(same)))

# %%
figure, ax = plt.subplots(figsize=(5, 2.6))
for folder, color, width, label in (
    ("runs/whole", REAL, 5, "not stopped"),
    ("runs/stopped", GENERATED, 1.5, "stopped, and on"),
):
    steps, loss = read_losses(Path(folder, "metrics.jsonl"))["data"]
    ax.plot(steps, loss, color=color, lw=width, alpha=0.8, label=label)
ax.axvline(40, color="0.6", ls=":")
ax.set(xlabel="step", ylabel="loss")
ax.legend()
plt.show()

# %% [markdown]
# ## Sampling
#
# Both chains are one compiled program, mapped over the devices. Memory doesn't depend on how
# many series you ask for, nor do the numbers depend on how many devices there are.

# %%
n, counts = (128, (1, 5)) if QUICK else (4_096, (1, 2, 5, 10, 20, 50, 100))
speeds = []
for count in counts:
    model = whole.with_sampling(num_steps=count, batch_size=64)
    for _ in range(2):
        began = time.perf_counter()
        model.sample(jax.random.key(0), n)
    speeds.append(n / (time.perf_counter() - began))
figure, ax = plt.subplots(figsize=(5, 2.8))
ax.plot(counts, speeds, "o-", color=GENERATED)
ax.set(xscale="log", yscale="log", xlabel="solver steps", ylabel="series per second")
ax.set_xticks(counts, [str(count) for count in counts])
ax.minorticks_off()
plt.show()

# %% [markdown]
# ## A machine of your own
#
# On a GPU machine or a TPU VM use the same command as on a laptop, in a checkout of the
# repository after `pip install -e '.[cuda12]'` (or `cuda13`, or `tpu`):
#
# ```
# l2d --config=configs/stock.py --workdir=runs/stock
# ```
#
# Start it again after any interruption, and it resumes.
