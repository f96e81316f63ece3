"""What each lever does to the samples: one change at a time, the rest as it was.

    python benchmarks/ablations.py --set=energy --out=runs/ablations

Each row trains the stages that its fields reach and takes the others from the row
`base`. Scored are as many generated as real series, against the series trained on:

- FID of random convolutions, by which settings are chosen: no reported score;
- Context-FID, the reported score, by the same encoders for all rows;
- both again with the latents of real series instead of the prior's ("oracle"): what is
  left is the error of the data stage, the difference that of the latent stage.

Beside them, in the json, two scores of as many other real series, where there are any.
On Stock one sample scores several times another's Context-FID, as a few extreme windows
decide it: take the mean over --seeds=4 of sampling. A row that is there is not run
again; fields of all rows (--data_steps=3000 and the like), --num_series, --seeds and
--repeats other than those of the rows that are there are refused. Rows: --rows=base,v.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from few_steps import make_score
from kept import count, made_here, one_line_errors, read_set, resumed, with_also

from l2d_jax import configs
from l2d_jax.cascade import Cascade
from l2d_jax.configs import SECTIONS, resolve
from l2d_jax.data import load_splits
from l2d_jax.data.protocols import take
from l2d_jax.data.ragged import comparable
from l2d_jax.errors import check_choice
from l2d_jax.files import write_text
from l2d_jax.lock import locked
from l2d_jax.metric_writer import read_seconds
from l2d_jax.metrics import evaluate
from l2d_jax.results import real_sets
from l2d_jax.run import train
from l2d_jax.task import prepare
from l2d_jax.types import Examples
from l2d_jax.variants import METHODS
from l2d_jax.workdir import make_workdir

Fields = dict[str, Any]

FAST: Fields = {"sampling.solver": "dpm_solver++", "sampling.num_steps": 5}
ROWS: dict[str, Fields] = {
    "base": {},
    "v": {"data_stage.prediction": "v"},
    "eps": {"data_stage.prediction": "eps"},
    "min-SNR": {"data_stage.weighting": "min_snr"},
    "sigmoid": {"data_stage.weighting": "sigmoid"},
    "EMA .998": {"data_stage.ema_decay": 0.998},
    "EMA .9995": {"data_stage.ema_decay": 0.9995},
    "learning rate 5e-4": {"data_stage.learning_rate": 5e-4},
    "learning rate 2e-3": {"data_stage.learning_rate": 2e-3},
    "learning rate 4e-3": {"data_stage.learning_rate": 4e-3},
    "cosine schedule": {"data_stage.schedule": "cosine"},
    "noise scale .25": {"data_stage.noise_scale": 0.25},
    "noise scale .5": {"data_stage.noise_scale": 0.5},
    "noise scale 1": {"data_stage.noise_scale": 1.0},
    "attention": {"data_stage.mixing": "attention"},
    "patches of 2": {"data_stage.patch": 2},
    "v + patches of 2": {"data_stage.prediction": "v", "data_stage.patch": 2},
    "v + patches of 1": {"data_stage.prediction": "v", "data_stage.patch": 1},
    "v + learning rate 2e-3": {
        "data_stage.prediction": "v",
        "data_stage.learning_rate": 2e-3,
    },
    "x_0": {"data_stage.prediction": "x_0"},
    "width 128": {"data_stage.width": 128},
    "v + patches of 1 + width 128": {
        "data_stage.prediction": "v",
        "data_stage.patch": 1,
        "data_stage.width": 128,
    },
    "patches of 1 + width 128": {"data_stage.patch": 1, "data_stage.width": 128},
    "width 192": {"data_stage.width": 192},
    "6 blocks": {"data_stage.num_blocks": 6},
    "half batch": {"data_stage.batch_size": 0.5, "data_stage.num_steps": 2.0},
    "twice as long": {"data_stage.num_steps": 2.0},
    "no noise on r": {"data_stage.condition_noise": 0.0},
    "noise .1 on r": {"data_stage.condition_noise": 0.1},
    "noise .2 on r": {"data_stage.condition_noise": 0.2},
    "noise .4 on r": {"data_stage.condition_noise": 0.4},
    "dropout .1 of F": {"data_stage.condition_dropout": 0.1},
    "dropout .1 of F + guidance 1.5": {
        "data_stage.condition_dropout": 0.1,
        "sampling.guidance": 1.5,
    },
    "latent v": {"latent_stage.prediction": "v"},
    "latent 4 x": {"latent_stage.num_steps": 4.0},
    "latent v + 4 x": {"latent_stage.prediction": "v", "latent_stage.num_steps": 4.0},
    "latent v + 4 x + width 256": {
        "latent_stage.prediction": "v",
        "latent_stage.num_steps": 4.0,
        "latent_stage.width": 256,
    },
    "latent v + 4 x + EMA .9995": {
        "latent_stage.prediction": "v",
        "latent_stage.num_steps": 4.0,
        "latent_stage.ema_decay": 0.9995,
    },
    "latent v + 4 x + batch 1024": {
        "latent_stage.prediction": "v",
        "latent_stage.num_steps": 4.0,
        "latent_stage.batch_size": 1024,
    },
    "latent v + 4 octaves": {
        "latent_stage.prediction": "v",
        "latent_stage.num_octaves": 4,
    },
    "latent v + 4 x + width 256 + 4 octaves": {
        "latent_stage.prediction": "v",
        "latent_stage.num_steps": 4.0,
        "latent_stage.width": 256,
        "latent_stage.num_octaves": 4,
    },
    "latent v + cosine": {
        "latent_stage.prediction": "v",
        "latent_stage.schedule": "cosine",
    },
    "latent sigmoid": {"latent_stage.weighting": "sigmoid"},
    "d = 4": {"encoder.latent_dim": 4},
    "d = 16": {"encoder.latent_dim": 16},
    "d = 32": {"encoder.latent_dim": 32},
    "d = 16 + learning rate 2e-3": {
        "encoder.latent_dim": 16,
        "data_stage.learning_rate": 2e-3,
    },
    "d = 2": {"encoder.latent_dim": 2},
    "d = 64": {"encoder.latent_dim": 64},
    "mask .1": {"encoder.mask_rate": 0.1},
    "mask .9": {"encoder.mask_rate": 0.9},
    "F of 1 layer": {"data_stage.condition_layers": 1},
    "F of 3 layers": {"data_stage.condition_layers": 3},
    "F of 8 layers": {"data_stage.condition_layers": 8},
    "F an MLP": {"data_stage.condition_network": "mlp"},
    "F attention": {"data_stage.condition_network": "attention"},
    "F added": {"data_stage.condition": "add"},
    "F concatenated": {"data_stage.condition": "concat"},
    "mask .25": {"encoder.mask_rate": 0.25},
    "mask .75": {"encoder.mask_rate": 0.75},
    "auto": {"encoder.latent_dim": 0, "encoder.mask_rate": 0.0},
    "not whitened": {"encoder.whiten": False},
    "8 masks averaged": {"encoder.num_masks": 8},
    "noisy encoder": {"encoder.latent_noise": 0.1, "encoder.latent_penalty": 1e-3},
    "start rounds 0": {"sampling.start_rounds": 0},
    "start rounds 1": {"sampling.start_rounds": 1},
    "start rounds 3": {"sampling.start_rounds": 3},
    "5 steps + start rounds 0": FAST | {"sampling.start_rounds": 0},
    "5 steps + start rounds 1": FAST | {"sampling.start_rounds": 1},
    "5 steps + start rounds 3": FAST | {"sampling.start_rounds": 3},
    "5 steps + spacing 1": FAST | {"sampling.spacing": 1.0},
    "5 steps + spacing 1.5": FAST | {"sampling.spacing": 1.5},
    "5 steps + spacing 2": FAST | {"sampling.spacing": 2.0},
    "standard scaler": {"data.scaler": "standard"},
    "min-max scaler": {"data.scaler": "min_max"},
}


def with_fields(config: Any, fields: Fields) -> Any:
    """The config changed; a float for a whole number multiplies it."""
    config = config.copy_and_resolve_references()
    for field, value in fields.items():
        section, name = field.split(".")
        before = config[section][name]
        if isinstance(before, int) and isinstance(value, float):
            value = round(before * value)
        config[section][name] = value
    return config


def shared_stages(fields: Fields) -> list[str]:
    """The stages of `base` that these fields leave as they were."""
    changed = {field.split(".")[0] for field in fields}
    if changed & {"data", "encoder"}:
        return []
    stages = METHODS["full"].stages
    return [name for name in stages if SECTIONS[name] not in changed]


def train_row(config: Any, fields: Fields, folder: Path, base: Path) -> Cascade:
    """A cascade, with the stages that can be taken from `base`."""
    config = resolve(with_fields(config, fields))
    task = prepare(config, load_splits(config.data))
    workdir = make_workdir(folder)
    for name in shared_stages(fields) if folder != base else []:
        source, target = (one / "checkpoints" / name for one in (base, workdir))
        if source.exists() and not target.exists():
            part = workdir / "part_of_a_copy"  # whole, or not under its name
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(source, part)
            target.parent.mkdir(exist_ok=True)
            part.rename(target)
    return train(task, workdir)


def score_row(
    model: Cascade, real: Any, context_fid: Callable, *, seeds: int
) -> dict[str, float]:
    """The four scores, of as many series as there are real ones; means over seeds."""
    judge, found = "random_convolution_fid", []
    for key in map(jax.random.key, range(seeds)):
        scores = {}
        for kind, x in (
            ("", model.sample(key, len(real))),
            ("oracle ", model.reconstruct(key, real)),
        ):
            fine = evaluate(real, x, metrics=[judge], num_repeats=1)
            scores[f"{kind}{judge}"] = fine[judge]["mean"]
            scores[f"{kind}context_fid"] = context_fid(x)
        found.append(scores)
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def left_out(examples: Examples, c: Any) -> Examples | None:
    """As many other series as `real_sets` takes; None where there are too few."""
    order = np.random.default_rng(c.seed).permutation(len(examples.series))
    index = order[c.num_series : 2 * c.num_series]
    return take(examples, np.sort(index)) if len(index) == c.num_series else None


def markdown(results: dict[str, Any]) -> str:
    """A row a lever, a column a score."""
    heads = list(next(iter(results["rows"].values()))["scores"])
    lines = ["| row | " + " | ".join(heads) + " | training, s |"]
    lines += ["|---" * (len(heads) + 2) + "|"]
    for name, row in results["rows"].items():
        scores = " | ".join(f"{row['scores'][head]:.4f}" for head in heads)
        lines.append(f"| {name} | {scores} | {row['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def config_of(args: argparse.Namespace) -> Any:
    """The config of the row `base`."""
    config = configs.load(args.set).get_config()
    config.data_stage.num_steps = args.data_steps or config.data_stage.num_steps
    config.latent_stage.num_steps = args.latent_steps or config.latent_stage.num_steps
    if args.sampling_steps:
        config = with_fields(config, FAST | {"sampling.num_steps": args.sampling_steps})
    config.evaluation.num_series = args.num_series
    config.training.compute_dtype = args.compute_dtype
    config.sampling.match_quantiles = False  # so that nothing hides what a row changes
    return config


def add_rows(args: argparse.Namespace) -> dict[str, Any]:
    """All results, with the rows that were not there yet, saved one by one."""
    config = config_of(args)
    folder = args.out / args.set
    path = folder / "ablations.json"
    splits = load_splits(config.data)
    real = comparable(real_sets(splits, config)[0])
    settings = {
        "data set": args.set,
        "series": len(real),
        "encoders": args.repeats,
        "seeds of sampling": args.seeds,
        "sampling steps": args.sampling_steps or "as the config",
        "data steps": config.data_stage.num_steps,
        "latent steps": config.latent_stage.num_steps,
        "compute dtype": resolve(config).training.compute_dtype,
    }
    results = resumed(path, {"rows": {}}, settings)
    context_fid = make_score(real, repeats=args.repeats)
    others = left_out(splits.train, config.evaluation)
    if others is not None and "other real series" not in results:
        judge, x = "random_convolution_fid", comparable(others)
        found = evaluate(real, x, metrics=[judge], num_repeats=1)[judge]["mean"]
        results["other real series"] = {judge: found, "context_fid": context_fid(x)}
        print("other real series", results["other real series"])
    made = made_here()
    for name in args.rows.split(","):
        if name in results["rows"]:
            continue
        fields, row_folder = ROWS[name], folder / name.replace(" ", "_")
        model = train_row(config, fields, row_folder, folder / "base")
        seconds = sum(read_seconds(row_folder / "metrics.jsonl").values())
        scores = score_row(model, real, context_fid, seeds=args.seeds)
        encoder = model.config.encoder
        results["rows"][name] = {
            "fields": fields,
            "latent_dim": encoder.latent_dim,
            "mask_rate": encoder.mask_rate,
            "scores": scores,
            "seconds": seconds,
        }
        results |= with_also(results, made)
        write_text(path, json.dumps(results, indent=2) + "\n")
        print(name, {k: round(v, 4) for k, v in scores.items()}, f"{seconds:.0f} s")
    return results


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", default="energy")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--out", type=Path, default=Path("runs/ablations"))
    parser.add_argument("--num_series", type=count, default=2000)
    parser.add_argument("--repeats", type=count, default=2, help="encoders")
    parser.add_argument("--seeds", type=count, default=1, help="of sampling")
    parser.add_argument("--data_steps", type=count)
    parser.add_argument("--latent_steps", type=count)
    parser.add_argument(
        "--sampling_steps", type=count, help="of dpm_solver++, not as the config says"
    )
    parser.add_argument("--compute_dtype", default="auto", help="of products")
    args = parser.parse_args(argv)
    with one_line_errors():
        args.set = read_set(args.set)
        for name in args.rows.split(","):
            check_choice(name, ROWS, "--rows")
        with locked(make_workdir(args.out / args.set)):
            results = add_rows(args)
    print(markdown(results))


if __name__ == "__main__":
    np.set_printoptions(precision=4)
    main()
