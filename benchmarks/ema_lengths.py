"""How long the average of the weights should be, all lengths from one training.

    python benchmarks/ema_lengths.py --set=stock --out=runs/ema_lengths

The data stage of configs/NAME.py is trained once, and beside the config's own average
of the weights several others are kept: the last weights, and the averages of
power-function profile that post-hoc EMA (Karras et al. 2024, section 3) chooses from
after a training, of relative widths .025 to .25. All rows share encoder, latent stage,
training and noise: what they differ by is the average alone. Scores as in ablations.py.
A row that is there is not scored again; other settings than its own are refused.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ablations import FAST, score_row, with_fields
from few_steps import make_score
from kept import count, made_here, one_line_errors, read_set, resumed, with_also
from scipy.optimize import brentq

from l2d_jax import configs, parallel, stages
from l2d_jax.configs import resolve
from l2d_jax.data import load_splits
from l2d_jax.data.ragged import comparable
from l2d_jax.files import write_text
from l2d_jax.lock import locked
from l2d_jax.results import real_sets
from l2d_jax.run import train
from l2d_jax.task import prepare
from l2d_jax.train import batches, init_state, make_train_step
from l2d_jax.workdir import make_workdir

WIDTHS = (0.025, 0.05, 0.1, 0.15, 0.25)
STEPS_PER_CALL = 100


def power(width: float) -> float:
    """gamma of an average with weights ~ step^gamma, of deviation width x last step."""

    def deviation(gamma):
        return np.sqrt((gamma + 1.0) / ((gamma + 2.0) ** 2 * (gamma + 3.0)))

    return brentq(lambda gamma: deviation(gamma) - width, 0.0, 1e4)


def with_tracks(step: Callable, gammas: np.ndarray) -> Callable:
    """The train step, and beside its state the averages [row] of the weights."""

    def tracked(state, batch):
        inner, tracks = state
        rates = 1.0 - (1.0 - 1.0 / (inner.step + 1.0)) ** (gammas + 1.0)
        inner, metrics = step(inner, batch)
        mix = jax.vmap(lambda rate, old, new: old + rate * (new - old), (0, 0, None))
        tracks = jax.tree.map(partial(mix, rates), tracks, inner.params)
        return (inner, tracks), metrics

    return tracked


def averages(task: Any, upstream: Any) -> list[Any]:
    """Weights of the data stage for each row, of one training."""
    c, seed = task.config.data_stage, task.config.seed
    stage = stages.STAGES["data"](task.config, task.layout.shape)
    examples = stage.prepare(upstream, task.series)
    gammas = np.array([power(width) for width in WIDTHS], np.float32)
    state = init_state(stage, c, seed=seed)
    many = jax.tree.map(lambda x: jnp.stack([x] * len(gammas)), state.params)
    step = with_tracks(make_train_step(stage, c, seed=seed), gammas)
    program = parallel.train_program(lambda s, b: jax.lax.scan(step, s, b))
    state = parallel.replicate((state, many))
    for start in range(0, c.num_steps, STEPS_PER_CALL):
        stop = min(start + STEPS_PER_CALL, c.num_steps)
        batch = batches(examples, start, stop, batch_size=c.batch_size, seed=seed)
        state, metrics = program(state, batch)
        if stop % 1_000 == 0:
            print(f"step {stop:,}, loss {metrics['loss'][-1]:.4f}", flush=True)
    inner, tracks = jax.tree.map(np.asarray, state)
    of_widths = (jax.tree.map(lambda x, i=i: x[i], tracks) for i in range(len(WIDTHS)))
    return [inner.ema_params, inner.params, *of_widths]


def names_of_rows(config: Any) -> tuple[str, ...]:
    """In their order."""
    widths = (f"relative width {width:g}" for width in WIDTHS)
    return (f"config: {config.data_stage.ema_decay:g}", "last weights", *widths)


def add_rows(args: argparse.Namespace) -> None:
    """The rows that are not there yet, saved one by one."""
    config = with_fields(configs.load(args.set).get_config(), FAST)
    config.data_stage.num_steps = args.data_steps or config.data_stage.num_steps
    config.training.compute_dtype = args.compute_dtype
    config.evaluation.num_series = args.num_series
    config = resolve(config)
    splits = load_splits(config.data)
    real = comparable(real_sets(splits, config)[0])
    settings = {
        "data set": args.set,
        "series": len(real),
        "encoders": args.repeats,
        "seeds of sampling": args.seeds,
        "data steps": config.data_stage.num_steps,
        "compute dtype": config.training.compute_dtype,
    }
    folder = args.out / args.set
    path = folder / "ema_lengths.json"
    results = resumed(path, {"rows": {}}, settings)
    if {*names_of_rows(config)} <= {*results["rows"]}:
        return
    # Encoder and latent stage as any run has them; its data stage is one step.
    first = with_fields(config, {"data_stage.num_steps": 1})
    model = train(prepare(first, splits), make_workdir(folder / "base"))
    weights = averages(prepare(config, splits), model.params)
    context_fid = make_score(real, repeats=args.repeats)
    results |= with_also(results, made_here())
    for name, params in zip(names_of_rows(config), weights, strict=True):
        if name in results["rows"]:
            continue
        row = replace(model, params=model.params | {"series_denoiser": params})
        scores = score_row(row, real, context_fid, seeds=args.seeds)
        results["rows"][name] = scores
        print(name, {k: round(v, 4) for k, v in scores.items()}, flush=True)
        write_text(path, json.dumps(results, indent=2) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="stock")
    parser.add_argument("--out", type=Path, default=Path("runs/ema_lengths"))
    parser.add_argument("--num_series", type=count, default=2000)
    parser.add_argument("--repeats", type=count, default=2, help="encoders")
    parser.add_argument("--seeds", type=count, default=4, help="of sampling")
    parser.add_argument("--data_steps", type=count)
    parser.add_argument("--compute_dtype", default="auto", help="of products")
    args = parser.parse_args(argv)
    with one_line_errors():
        args.set = read_set(args.set)
        with locked(make_workdir(args.out / args.set)):
            add_rows(args)


if __name__ == "__main__":
    main()
