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
# # How the cascade works
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/l2d_jax/blob/main/notebooks/2_how_it_works.ipynb)
#
# A picture for each idea: the noise schedule, the latents, the two reverse chains, guidance.
# The data set is `mixture`: eight kinds of curves, some of them rare, so that one can see
# what the model has learned.
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
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import l2d_jax
from l2d_jax import configs, diffusion, networks, sampling
from l2d_jax.data import load_splits
from l2d_jax.data.public.synthetic import mixture_templates
from l2d_jax.plots.drawing import GENERATED, REAL
from l2d_jax.schedules import cosine, linear

QUICK = bool(os.environ.get("L2D_QUICK"))  # as tests run it: results mean nothing
plt.rcParams.update({"figure.dpi": 110, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})
KINDS = plt.get_cmap("tab10").colors[:8]

# %%
config = configs.load("mixture").get_config("smoke" if QUICK else "")
splits = load_splits(config.data)
x, kinds, names = splits.train.series, splits.train.labels, splits.classes
figure, axes = plt.subplots(2, 4, figsize=(8, 3.4), sharex=True, sharey=True)
for k, ax in enumerate(axes.flat):
    for one in x[kinds == k][:5]:
        ax.plot(one[:, 0], color=KINDS[k], lw=1)
    ax.set_title(f"{names[k]}, {np.mean(kinds == k):.0%}", fontsize=9)
plt.show()

# %% [markdown]
# ## Noise, a little at a time
#
# Diffusion learns to undo noise. Step $t$ leaves a share $\bar\alpha_t$ of the signal:
# $x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1-\bar\alpha_t}\,\varepsilon$. Whatever the schedule,
# it must end near 0, since the paper's sampler starts from pure noise. Over 100 steps the
# linear schedule therefore needs a last $\beta$ of 0.1: with the 0.02 that is usual over
# 1000, a third of the signal would be left. (The figure shows these noise levels; by
# default both chains use half of them, `noise_scale`. That leaves too much signal for the
# data chain to start from pure noise, so it starts from an estimate: see Stage 2.)

# %%
schedules = {
    "linear, last β 0.1 (here)": linear(100, 1e-4, 0.1),
    "linear, last β 0.02": linear(100, 1e-4, 0.02),
    "cosine": cosine(100),
}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for (name, schedule), style in zip(schedules.items(), ("-", "--", ":"), strict=True):
    alpha_bar = np.asarray(schedule.alpha_bar)
    axes[0].plot(alpha_bar, style, color="k", label=name)
    axes[1].plot(alpha_bar / (1 - alpha_bar), style, color="k")
axes[0].set(xlabel="t", ylabel=r"$\bar\alpha_t$: signal left", ylim=(0, 1.02))
axes[0].legend(fontsize=7)
axes[1].set(xlabel="t", ylabel="signal to noise", yscale="log")
plt.show()

# %%
schedule = schedules["linear, last β 0.1 (here)"]
one, seen = 2 * x[int(np.argmax(kinds == 2))] - 1, (0, 20, 40, 70, 99)
figure, axes = plt.subplots(1, len(seen), figsize=(8, 1.9), sharey=True)
for ax, t in zip(axes, seen, strict=True):
    eps = jax.random.normal(jax.random.key(t), one.shape)
    x_t = diffusion.q_sample(schedule, x_0=jnp.asarray(one), t=jnp.int32(t), eps=eps)
    ax.plot(x_t[:, 0], color=REAL)
    ax.set_title(f"t = {t}")
plt.show()

# %% [markdown]
# ## Train the three stages
#
# With `condition_dropout`, the data denoiser also learns to work without the latent, which
# guidance (below) needs.

# %%
if not QUICK:  # two minutes or so on two CPU cores
    for stage, steps in (
        (config.encoder, 600),
        (config.latent_stage, 4_000),
        (config.data_stage, 2_500),
    ):
        stage.update(num_steps=steps, batch_size=64, width=64, warmup_steps=100)
    config.data_stage.num_blocks = 2
config.data_stage.condition_dropout = 0.15
model = l2d_jax.fit(x, config=config)

# %% [markdown]
# ## Stage 1: a series becomes 8 numbers
#
# The encoder never saw the kinds. It was trained so that the hidden half of a series can be
# filled in from 8 numbers, and so learned to separate the kinds. (The figure shows the plane
# in which the 8 numbers vary most. `encode` whitens them: in every direction the variance is
# 1, so that no detail is too fine for the noise of the next stage. `scale` undoes that.)

# %%
some = slice(0, 200 if QUICK else 1_500)
r = model.encode(x[some])
centre = r.mean(axis=0)
plane = np.linalg.eigh(model.params["latent"]["scale"])[1][:, -2:]
flat = (r - centre) @ plane


def scatter(ax, points, color, **more):
    ax.scatter(*points.T, s=6, color=color, lw=0, **more)
    ax.set(xticks=[], yticks=[])


def scatter_kinds(ax):
    for k, name in enumerate(names):
        scatter(ax, flat[kinds[some] == k], KINDS[k], label=name)


figure, ax = plt.subplots(figsize=(5.6, 3.4))
scatter_kinds(ax)
ax.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
ax.set_title("latents of real series", fontsize=10)
plt.show()

# %% [markdown]
# ## Stage 2: noise becomes latents
#
# The next cells run the reverse chain of the latents and keep its intermediate states. It is
# one `lax.scan` over a table of coefficients, one row for each step. This is the paper's
# sampler: pure noise, then all 100 ancestral steps. `sampling.sample` is such a loop too, but
# its defaults differ:
#
# - both chains take 20 steps of DPM-Solver++, which adds no noise (`solver`, `num_steps`,
#   `latent_solver`, `latent_num_steps`); the data chain takes most of them where little noise
#   is left (`spacing`);
# - the data chain begins where the forward process ends: one more call of the network
#   estimates what is left of the series there (`start_rounds`);
# - each of its estimates of $x_0$ is clipped to the range of the training series (`clip`).

# %%
frozen = model.config


def chain(denoise, schedule, key, shape):
    """All x_t of an ancestral chain [K + 1, *shape], the noise first."""
    steps = sampling.timesteps(schedule.num_steps, schedule.num_steps)
    table = sampling.solver_table("ancestral", schedule, steps, eta=1.0)
    keys = jax.random.split(key, len(steps) + 1)

    def body(x_t, row):
        t, (a, b, _, s), step_key = row
        x_prev = a * x_t + b * denoise(x_t, t)
        x_prev += s * jax.random.normal(step_key, shape)
        return x_prev, x_prev

    start = jax.random.normal(keys[-1], shape)
    rows = jnp.asarray(steps), jnp.asarray(table, jnp.float32), keys[:-1]
    return jnp.concatenate([start[None], jax.lax.scan(body, start, rows)[1]])


@jax.jit
def latent_chains(keys):
    c, schedule = frozen.latent_stage, networks.stage_schedule(frozen.latent_stage)
    network = networks.make_latent_denoiser(frozen)

    def denoise(r_t, t):
        output = network.apply(model.params["latent_denoiser"], r_t, t)
        return diffusion.predict_x_0(
            c.prediction, schedule, output=output, x_t=r_t, t=t
        )

    shape = (frozen.encoder.latent_dim,)
    return jax.vmap(lambda key: chain(denoise, schedule, key, shape))(keys)


chains = np.asarray(latent_chains(jax.random.split(jax.random.key(1), 600)))
seen = (0, 50, 75, 90, 100)
figure, axes = plt.subplots(1, len(seen), figsize=(9, 2.2), sharex=True, sharey=True)
for ax, step in zip(axes, seen, strict=True):
    scatter(ax, flat, "0.8")
    scatter(ax, (chains[:, step] - centre) @ plane, GENERATED)
    ax.set_title(f"{100 - step} steps to go", fontsize=9)
plt.show()

# %% [markdown]
# Grey: latents of real series. Out of a cloud of noise come the clusters, the rare ones
# too.
#
# ## Stage 3: latents become series
#
# The same loop, in the space of series, with $F(r_0)$ as a guide, here from pure noise and
# without clipping too. One latent, one chain:

# %%
c, data_schedule = frozen.data_stage, networks.stage_schedule(frozen.data_stage)
shape = model.layout.shape
denoiser = networks.make_series_denoiser(frozen)
network = networks.make_condition(frozen, shape)
params = model.params["series_denoiser"]


@jax.jit
def data_chains(keys, r_0, guidance):
    """[n, K + 1, L] for n keys and n latents."""

    def one(key, r_0):
        signal = network.apply(params["condition"], r_0)

        def denoise(x_t, t):
            with_r = denoiser.apply(params["denoiser"], x_t, t, signal)
            without = denoiser.apply(params["denoiser"], x_t, t, jnp.zeros_like(signal))
            output = without + guidance * (with_r - without)
            return diffusion.predict_x_0(
                c.prediction, data_schedule, output=output, x_t=x_t, t=t
            )

        return chain(denoise, data_schedule, key, shape)[..., 0]

    return jax.vmap(one)(keys, r_0)


def draw(r_0, guidance, seed=0):
    """A chain for each row of r_0, in data units."""
    keys = jax.random.split(jax.random.key(seed), len(r_0))
    z = np.asarray(data_chains(keys, jnp.asarray(r_0), guidance))
    return z * model.normalizer.scale + model.normalizer.shift


first = np.array([np.argmax(kinds[some] == k) for k in (0, 2, 4, 7)])
seen = (0, 60, 80, 92, 100)
figure, axes = plt.subplots(
    len(first), len(seen), figsize=(8, 5), sharex=True, sharey="col"
)
for row, one, real in zip(axes, draw(r[first], 1.0), x[first], strict=True):
    for ax, step in zip(row, seen, strict=True):
        ax.plot(real[:, 0], color="0.75", lw=3)
        ax.plot(one[step], color=GENERATED, lw=1.2)
        ax.set(xticks=[])
for ax, step in zip(axes[0], seen, strict=True):
    ax.set_title(f"{100 - step} steps to go", fontsize=9)
plt.show()

# %% [markdown]
# Grey is the series that the latent was made from. Next, ten chains for each latent, which
# differ only in their noise. The results hardly differ: once the latent is known, little is
# left open, and that is why few solver steps are enough. (The fine noise of the real series,
# black, is still missing after so short a training.)

# %%
figure, axes = plt.subplots(1, len(first), figsize=(8, 2), sharey=True)
for ax, k in zip(axes, first, strict=True):
    drawn = draw(np.repeat(r[k][None], 10, 0), 1.0)[:, -1]
    ax.plot(drawn.T, color=GENERATED, lw=0.8, alpha=0.7)
    ax.plot(x[k, :, 0], color="k", lw=1)
    ax.set_title(names[kinds[some][k]], fontsize=9)
plt.show()

# %% [markdown]
# ## Guidance
#
# The denoiser can be asked twice, with the latent and without, and its answer pushed away
# from the second: `out = without + g (with - without)`. At g = 0 the latent is ignored, at
# 1 it is used as trained, above 1 it is exaggerated: a way to trade variety for clarity
# where the latent is obeyed too little. Here it is obeyed at 0.5 already, and 3 only
# distorts.

# %%
values = (0.0, 0.5, 1.0, 3.0)
figure, axes = plt.subplots(1, len(values), figsize=(8, 2.1), sharey=True)
for ax, guidance in zip(axes, values, strict=True):
    drawn = draw(np.repeat(r[first[1]][None], 20, 0), guidance, seed=3)[:, -1]
    ax.plot(drawn.T, color=GENERATED, lw=0.8, alpha=0.7)
    ax.plot(x[first[1], :, 0], color="k", lw=1.2)
    ax.set_title(f"g = {guidance:g}")
plt.show()

# %% [markdown]
# ## Together, and quickly
#
# `model.sample` runs both chains in one compiled program. Are the rare kinds there, and how
# many steps does it take? Each series counts as the kind of the nearest of the eight curves.

# %%
templates = mixture_templates()


def shares(series):
    """How often each kind occurs."""
    distances = ((series[:, None, :, 0] - templates) ** 2).sum(axis=-1)
    return np.bincount(distances.argmin(axis=1), minlength=8) / len(series)


n = 200 if QUICK else 2_000
made = {
    "100 ancestral steps": model.sample(jax.random.key(0), n, solver="ancestral"),
    "5 steps": model.sample(jax.random.key(0), n, num_steps=5),
    "1 step": model.sample(jax.random.key(0), n, num_steps=1),
}
figure, ax = plt.subplots(figsize=(8, 2.8))
bars = {"real": shares(x)} | {name: shares(series) for name, series in made.items()}
colors = (REAL, GENERATED, "#f2b880", "0.8")
for i, ((name, height), color) in enumerate(zip(bars.items(), colors, strict=True)):
    ax.bar(np.arange(8) + 0.2 * (i - 1.5), height, 0.2, label=name, color=color)
ax.set_xticks(range(8), names, fontsize=8)
ax.set_ylabel("share")
ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# Next: [how such samples are scored](3_evaluation.ipynb).
