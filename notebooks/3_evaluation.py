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
# # The paper's evaluation, on one data set
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/l2d_jax/blob/main/notebooks/3_evaluation.ipynb)
#
# How good are generated series? The paper has three scores, each based on a network that is
# trained to judge. Here they first judge series of which we know how wrong they are, and then
# those of a model. The data set is Japanese Vowels, which needs no download.
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

import jax
import matplotlib.pyplot as plt
import numpy as np

import l2d_jax
from l2d_jax import configs
from l2d_jax.data import load_splits
from l2d_jax.data.ragged import comparable
from l2d_jax.metrics.catalog import score_info, verdict
from l2d_jax.metrics.table import table
from l2d_jax.plots.drawing import GENERATED, REAL

QUICK = bool(os.environ.get("L2D_QUICK"))  # as tests run it: results mean nothing
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})

# %%
config = configs.load("japanese_vowels").get_config("smoke" if QUICK else "")
splits = load_splits(config.data)
speakers = splits.train.labels
real = comparable(splits.train)  # a list: the lengths differ
figure, axes = plt.subplots(3, 3, figsize=(8, 4), sharex=True, sharey=True)
for k, ax in enumerate(axes.flat):
    for i in np.flatnonzero(speakers == k)[:6]:
        ax.plot(real[i][:, 0], color=REAL, lw=0.8)
    ax.set_title(f"speaker {splits.classes[k]}", fontsize=8)
axes[2, 1].set_xlabel("step; first of 12 channels")
plt.show()

# %% [markdown]
# ## A score needs a floor
#
# Context-FID compares two sets by the means and covariances of 320 features that TS2Vec, an
# encoder trained on the real series, gives them. It is never 0 for finite sets, not even for
# two halves of the *same* real set. That is the floor: what a perfect generator would get.
#
# The next cell scores a perfect generator (the other half of the real series) and worse and
# worse ones: the same series with noise, as a share of each channel's standard deviation.

# %%
rng = np.random.default_rng(0)
order = rng.permutation(len(real))
half = len(real) // (8 if QUICK else 2)
known = [real[i] for i in order[:half]]
unseen = [real[i] for i in order[half : 2 * half]]
spread = np.concatenate(real).std(axis=0)
levels = (0.0, 0.5) if QUICK else (0.0, 0.05, 0.1, 0.2, 0.5)
metrics = ("context_fid", "pca_fid")
if not QUICK:  # the paper's other two; they take some minutes
    metrics += ("discriminative_score", "predictive_score")
found = []
for level in levels:
    noisy = [one + level * spread * rng.normal(size=one.shape) for one in unseen]
    found.append(
        l2d_jax.evaluate(known, noisy, metrics=metrics, num_repeats=2 if QUICK else 3)
    )


# %%
def mean_and_range(scores, part):
    """Over the repeats."""
    values = np.array([score[part]["values"] for score in scores], float)
    return values.mean(axis=1), values.min(axis=1), values.max(axis=1)


figure, axes = plt.subplots(1, len(metrics), figsize=(2.4 * len(metrics) + 1, 2.7))
for ax, metric in zip(axes, metrics, strict=True):
    scores = [one[metric] for one in found]
    for part, color, label in (
        ("floor", REAL, "floor"),
        ("at_floor_size", GENERATED, "noisy"),
    ):
        middle, low, high = mean_and_range(scores, part)
        ax.plot(levels, middle, "o-", color=color, label=label, ms=4)
        ax.fill_between(levels, low, high, color=color, alpha=0.2, lw=0)
    ax.set_title(metric.replace("_", " "), fontsize=9)
    ax.set(xlabel="noise", ylim=(0, None))
axes[0].legend(fontsize=8)
plt.show()

# %% [markdown]
# A score is useful where the two curves separate. For some that takes more noise than for
# others, which is why l2d_jax has more judges than the paper's three. Scores can be compared
# only for sets of the same size: below some thousand series, all of these grow as the sets
# get smaller.
#
# ## A model
#
# It is trained here with a small budget; `python main.py --config=configs/japanese_vowels.py`
# has the full one.

# %%
if not QUICK:  # some three minutes on two CPU cores
    for stage, steps in (
        (config.encoder, 500),
        (config.latent_stage, 3_000),
        (config.data_stage, 2_000),
    ):
        stage.update(num_steps=steps, batch_size=64, warmup_steps=100)
model = l2d_jax.fit(real, workdir="runs/vowels", config=config)
made = model.sample(jax.random.key(0), 64 if QUICK else len(real))

# %%
figure, axes = plt.subplots(2, 4, figsize=(8, 3), sharex=True, sharey=True)
for row, series, color in zip(axes, (real, made), (REAL, GENERATED), strict=True):
    for ax, one in zip(row, series[:: len(series) // 4], strict=False):
        ax.plot(one[:, :3], color=color, lw=1)
axes[0, 0].set_ylabel("real")
axes[1, 0].set_ylabel("generated")
figure.supxlabel("step; three of 12 channels", fontsize=9)
plt.show()

# %% [markdown]
# ## All that a run says about it
#
# For each score there is a floor and a verdict: whether the two differ by more than chance. The
# test is a paired t-test at 99 %, corrected for the series that repeats have in common; for
# Context-FID it is a permutation test, which shuffles real and generated series.

# %%
chosen = (*metrics, "spectral_distance", "autocorrelation_difference")
scores = l2d_jax.evaluate(
    real[: len(made)],
    made,
    labels=speakers[: len(made)],
    metrics=(*chosen, "classes", "privacy"),
    num_repeats=2 if QUICK else 5,
)
print(table(scores))

# %%
ratios = {
    name: (
        scores[name]["at_floor_size"]["mean"] / scores[name]["floor"]["mean"],
        verdict(scores[name], score_info(name)),
    )
    for name in chosen
    if scores[name].get("floor", {}).get("mean", 0) > 0
}
figure, ax = plt.subplots(figsize=(7, 0.6 + 0.4 * len(ratios)))
for i, (ratio, says) in enumerate(ratios.values()):
    ax.barh(i, ratio, color=GENERATED, height=0.6)
    ax.text(ratio, i, f"  {says}", va="center", fontsize=8)
ax.set_yticks(range(len(ratios)), [name.replace("_", " ") for name in ratios])
ax.axvline(1, color=REAL, lw=2)
ax.set(xscale="log", xlabel="score / floor (blue: as real)")
ax.set_xlim(right=2.5 * max(ratio for ratio, _ in ratios.values()))
ax.invert_yaxis()
plt.show()

# %% [markdown]
# ## Copies
#
# A generator that copies its training series gets perfect scores of the paper's kind. Only a
# comparison with series that it never saw, and a look at distances, gives it away.

# %%
copies = [real[i] for i in rng.integers(0, len(real), len(made))]
for name, series in (("model", made), ("copies", copies)):
    found = l2d_jax.evaluate(real, series, metrics=("privacy",))
    print(f"{name}: exact copies {found['exact_copies']['mean']:.0%}")

# %% [markdown]
# Next: [on TPU and GPU](4_tpu_and_gpu.ipynb).
