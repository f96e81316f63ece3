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
# # Synthetic series from your own csv
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/l2d_jax/blob/main/notebooks/1_quick_start.ipynb)
#
# From a table you get as many new series as you like that look as if they came from the same
# source. The example is a shop that counts its visitors. To use your own file, save it as
# `mine.csv` before you run the next cells.
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
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import l2d_jax
from l2d_jax import configs
from l2d_jax.data import load_splits, read_file
from l2d_jax.metric_writer import read_losses
from l2d_jax.plots.drawing import GENERATED, REAL
from l2d_jax.results import real_sets, sample_to_file

QUICK = bool(os.environ.get("L2D_QUICK"))  # as tests run it: results mean nothing
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})
print(jax.devices())

# %% [markdown]
# ## A table
#
# It has a time column and one column for each channel. Missing values may stay missing: they are
# left out of every loss. (In Colab, upload yours with the folder symbol on the left.)

# %%
path = Path("mine.csv")
if not path.exists():
    rng = np.random.default_rng(0)
    days = np.arange(250 if QUICK else 1_000)
    heat = (
        12
        + 9 * np.sin(2 * np.pi * (days - 110) / 365)
        + np.cumsum(rng.normal(0, 0.8, len(days))) % 5
    )
    weekend = np.where(days % 7 >= 5, 1.8, 1.0)
    visitors = rng.poisson(40 * weekend * (1 + 0.02 * heat))
    table = pd.DataFrame(
        {
            "date": pd.date_range("2023-01-02", periods=len(days)).strftime("%Y-%m-%d"),
            "visitors": visitors,
            "temperature": heat.round(1),
        }
    )
    table.loc[60:66, "temperature"] = np.nan  # the thermometer was broken
    table.to_csv(path, index=False)
print(path.read_text(errors="replace")[:200], "...")

# %%
config = configs.own.get_config("smoke" if QUICK else "")
config.data.path = str(path)
found = read_file(config.data)  # separators, decimal commas and the time are recognised
channels, values = found.channels, found.series[0]
figure, axes = plt.subplots(len(channels), figsize=(8, 3.6), sharex=True, squeeze=False)
for ax, name, channel in zip(axes[:, 0], channels, values.T, strict=True):
    ax.plot(channel[:200], color=REAL, lw=1)
    ax.set_ylabel(name)
axes[-1, 0].set_xlabel("row (the first 200)")
plt.show()

# %% [markdown]
# ## Train
#
# `fit` prints what it detected and what it chose; each of these can be set. The workdir
# keeps checkpoints: run the cell again after an interruption and it resumes.
#
# Three stages are trained one after the other. The first learns what kinds of windows there
# are, and describes each by 8 numbers; the second learns to generate such numbers; the third
# learns to draw a window, given them.

# %%
config.data.window = 28  # four weeks
if not QUICK:  # some five minutes on two CPU cores, below one on a GPU
    for stage, steps in (
        (config.encoder, 600),
        (config.latent_stage, 3_000),
        (config.data_stage, 3_000),
    ):
        stage.update(num_steps=steps, batch_size=64, width=64, warmup_steps=100)
model = l2d_jax.fit(path, workdir="runs/mine", config=config)

# %%
losses = read_losses(Path("runs/mine/metrics.jsonl"))
figure, axes = plt.subplots(1, len(losses), figsize=(8, 2.4))
for ax, (stage, (steps, loss)) in zip(axes, losses.items(), strict=True):
    ax.plot(steps, loss, color=GENERATED, marker="." if len(steps) < 5 else None)
    ax.set(title=stage, xlabel="step", yscale="log")
    ax.yaxis.set_major_formatter("{x:.2g}")
    ax.yaxis.set_minor_formatter("{x:.2g}")
axes[0].set_ylabel("loss")
plt.show()

# %% [markdown]
# ## Sample
#
# Samples are in the units of your table. The same key gives the same series, on any number of
# devices.

# %%
config.data.update(name="file", path=str(path))
splits = load_splits(config.data)
real = real_sets(splits, config)[0].series  # [N, L, C]: what it was trained on
made = model.sample(jax.random.key(0), 64 if QUICK else 500)
print("real", real.shape, "generated", made.shape)

# %%
channels = model.layout.channels
figure, axes = plt.subplots(
    len(channels), 2, figsize=(8, 4), sharex=True, sharey="row", squeeze=False
)
for row, name, c in zip(axes, channels, range(len(channels)), strict=True):
    for ax, x, color, title in zip(
        row, (real, made), (REAL, GENERATED), ("real", "generated"), strict=True
    ):
        for one in x[np.linspace(0, len(x) - 1, 5).astype(int)]:
            ax.plot(one[:, c], color=color, lw=1, alpha=0.8)
        if c == 0:
            ax.set_title(title)
    row[0].set_ylabel(name)
plt.show()

# %% [markdown]
# ## Are they any good?
#
# A score alone says little. So each comes with its *floor*: what real series score against
# other real ones, which is what a perfect generator would get. A bar of 1 is as good as real.

# %%
metrics = ("pca_fid", "spectral_distance", "marginal_distribution_difference")
scores = l2d_jax.evaluate(real, made, metrics=metrics, num_repeats=2 if QUICK else 5)
ratios = [
    scores[name]["at_floor_size"]["mean"] / scores[name]["floor"]["mean"]
    for name in metrics
]
figure, ax = plt.subplots(figsize=(8, 2.2))
ax.barh([name.replace("_", " ") for name in metrics], ratios, color=GENERATED)
ax.axvline(1, color=REAL, lw=2)
ax.set(xlabel="score / floor; blue: as real series", xlim=(0, None))
ax.invert_yaxis()
plt.show()

# %% [markdown]
# Without `metrics`, `l2d_jax.evaluate(real, made)` computes all scores, the paper's three among
# them, and takes some minutes (notebook 3). `python main.py --config=configs/own.py
# --config.data.path=mine.csv --workdir=runs/mine` does everything at once and writes a
# report.
#
# ## Five steps are enough
#
# Because the 8 numbers determine so much already, the chain that draws the windows needs few
# solver steps: the default is 20, and on most data 5 are enough.

# %%
fast = model.sample(jax.random.key(0), len(made), num_steps=5)
figure, axes = plt.subplots(1, len(channels), figsize=(8, 2.6), squeeze=False)
for ax, name, c in zip(axes[0], channels, range(len(channels)), strict=True):
    parts = (
        (real, REAL, "real"),
        (made, GENERATED, "20 steps"),
        (fast, "k", "5 steps"),
    )
    edges = np.histogram_bin_edges(real[..., c][np.isfinite(real[..., c])], 30)
    for x, color, label in parts:
        values = x[..., c][np.isfinite(x[..., c])]
        values = values.clip(edges[0], edges[-1])
        ax.hist(
            values,
            edges,
            density=True,
            histtype="step",
            color=color,
            label=label,
            lw=1.5,
        )
    ax.set(xlabel=name, yticks=[])
axes[0, 0].legend(fontsize=8)
plt.show()

# %% [markdown]
# ## Keep them
#
# Samples are written in the format of your file: the same columns, whole numbers whole, dates
# as you write them.

# %%
sample_to_file(model, Path("generated.csv"), n=20, seed=1)
pd.read_csv("generated.csv", sep=None, engine="python").head()

# %% [markdown]
# The model stays in the workdir: `model = l2d_jax.load("runs/mine")` loads it at any time.
#
# Next: [how it works](2_how_it_works.ipynb), [how it is scored](3_evaluation.ipynb),
# [on TPU and GPU](4_tpu_and_gpu.ipynb).
