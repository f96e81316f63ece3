"""Every knob of a run, exactly once, with its unit and its symbol in the paper.

The other files in this folder set differences from these values. Any field can be
overridden on the command line, as `--config.data_stage.width=128`; the argument behind
the file's name picks a size or a variant: `--config=configs/stock.py:smoke,data_only`.
"""

from functools import partial

from ml_collections import ConfigDict

from l2d_jax.baselines import settings
from l2d_jax.types import InputError
from l2d_jax.variants import METHODS

# Of `config.sampling`: nothing that holds in the data is made to hold in samples.
NOTHING_KEPT = {
    "match_quantiles": False,
    "repeats_from": 1.0,
    "few_values": 0,
    "keep_order": False,
}


def get_config() -> ConfigDict:
    """The defaults."""
    config = ConfigDict()
    config.seed = 0  # of initial weights, masks, noise, batches and samples
    # full, latent_only, data_only or oracle_latent; or a baseline, l2d_jax.baselines
    config.variant = "full"
    config.equal_size = False  # data_only with the parameters of the whole cascade

    config.data = ConfigDict()
    config.data.name = "stock"  # python -m l2d_jax.data --list, or file
    config.data.path = ""  # the user's file, for name = "file"
    # published: all for training; held_out, random_fifth: a part kept for the scores
    config.data.protocol = "published"
    config.data.channels = ""  # which, and in which order, joined by commas; "": all
    config.data.time_column = ""  # of a user's table; "": recognised; none: has none
    config.data.id_column = ""  # that tells its series apart; "": recognised
    config.data.label_column = ""  # class of each series; "": recognised
    config.data.window = 0  # L, steps of a window; 0: chosen, or series as they are
    config.data.stride = 0  # steps between the starts of two windows; 0: chosen, or 1
    config.data.length = 0  # steps that ragged series are padded to; 0: the longest
    config.data.scaler = "auto"  # equal_range; min_max for baselines, as published

    config.encoder = ConfigDict()  # stage 1: E and D
    config.encoder.latent_dim = 8  # d, dimensions of r; 0 (flag: auto): chosen
    config.encoder.mask_rate = 0.5  # share of steps hidden (m = 1); 0 (auto): chosen
    config.encoder.width = 64  # channels of TS2Vec's residual blocks
    config.encoder.features = 64  # channels of its last block, pooled over time
    config.encoder.depth = 10  # residual blocks, the dilation doubles; 0: chosen
    config.encoder.latent_noise = 0.0  # deviation of the noise on r in training
    config.encoder.latent_penalty = 0.0  # weight of |r|^2 / 2d in its loss
    config.encoder.whiten = True  # r for stages 2, 3: decorrelated; False: only scaled
    config.encoder.num_masks = 0  # whose r are averaged in encoding; 0: nothing hidden
    config.encoder.decoder_width = 64  # channels of D
    config.encoder.decoder_layers = 5  # convolutions of D
    config.encoder.decoder_patch = 1  # steps that D writes per token; 0: chosen
    _training(config.encoder, num_steps=2_000, batch_size=128)

    config.latent_stage = ConfigDict()  # stage 2: r_phi
    _diffusion(config.latent_stage)
    config.latent_stage.noise_scale = 0.5  # factor of all sqrt((1 - ab) / ab); paper: 1
    config.latent_stage.prediction = "v"  # paper: x_0
    config.latent_stage.width = 128  # hidden units of the residual MLP
    config.latent_stage.num_blocks = 4
    config.latent_stage.num_octaves = 0  # frequencies of r_t that enter beside it
    _training(config.latent_stage, num_steps=8_000, batch_size=256)

    config.data_stage = ConfigDict()  # stage 3: F and x_theta
    _diffusion(config.data_stage)
    config.data_stage.noise_scale = 0.0  # 0: 0.5 given r, that leaves little open; or 2
    config.data_stage.patch = 4  # steps of a token, more for long series; 0: chosen
    config.data_stage.width = 128  # features of a token
    config.data_stage.num_blocks = 4  # pairs of time mixing and MLP
    config.data_stage.mixing = "mlp"  # along time: mlp or attention
    config.data_stage.condition = "film"  # how F(r) enters: add, concat or film
    config.data_stage.condition_width = 128  # channels of F
    config.data_stage.condition_network = "cnn"  # F: cnn, mlp or attention
    config.data_stage.condition_layers = 5  # of F
    config.data_stage.condition_dropout = 0.0  # share of examples trained without F(r)
    config.data_stage.condition_noise = 0.0  # deviation of noise on r, in training only
    _training(config.data_stage, num_steps=10_000, batch_size=128)

    settings.add_sections(config)  # of the baselines, in l2d_jax/baselines/settings.py

    config.training = ConfigDict()  # for all stages
    config.training.compute_dtype = "auto"  # of products: float32, bfloat16; by device
    config.training.steps_per_call = 100  # at most: optimizer steps a call
    config.training.checkpoint_every = 1_000  # steps between checkpoints

    config.sampling = ConfigDict()
    config.sampling.num_samples = 0  # generated for the scores; 0: as many as real ones
    # ancestral, ddim, dpm_solver++, sde_dpm_solver++; auto: given r dpm_solver++ and 20
    # steps, else ancestral
    config.sampling.solver = "auto"
    config.sampling.num_steps = 0  # of the data chain; 0: all K, but for auto
    config.sampling.spacing = 0.0  # p of steps at (K - 1) u^p; 0: 2 given r, else 1
    config.sampling.latent_solver = "dpm_solver++"  # of the latent chain
    config.sampling.latent_num_steps = 20  # 0: all K, as the paper with ancestral
    config.sampling.guidance = 1.0  # 1: plain; above: pushed away from "without F(r)"
    config.sampling.eta = 0.0  # noise of DDIM: 0 none, 1 as ancestral
    config.sampling.start_rounds = 1  # calls that find where the data chain starts
    config.sampling.clip = True  # estimates of x_0, to the range of the training series
    # Values become such that they are as frequent as in training, channel by channel.
    # Not of baselines
    config.sampling.match_quantiles = True
    # A channel that repeats the value before at so many of its steps or more (share)
    # does so when generated; 1: none does. Not of baselines
    config.sampling.repeats_from = 0.5
    # A channel that has so many values in training, or fewer, has no others when
    # generated; 0: any. Not of baselines
    config.sampling.few_values = 32
    # A channel that is never above another in training, or always equal to it, isn't
    # when generated, unless by chance or of other values. Not of baselines
    config.sampling.keep_order = True
    # Series per device and call: memory, not results (but where JAX's default keys are
    # set to rbg). 0: 512 on CPU, 4,096 elsewhere
    config.sampling.batch_size = 0

    config.evaluation = ConfigDict()
    config.evaluation.metrics = ("all",)  # or keys of l2d_jax.metrics.METRICS, GROUPS
    config.evaluation.num_series = 0  # real ones compared, by seed; 0: all
    config.evaluation.num_repeats = 5  # of each score (published: 5)
    config.evaluation.seed = 0
    return config


def _diffusion(stage: ConfigDict) -> None:
    stage.num_diffusion_steps = 100  # K
    stage.schedule = "linear"  # linear or cosine
    stage.beta_first = 1e-4  # variance of the first step, linear only
    stage.beta_last = 0.1  # and of the last; see schedules.linear
    stage.prediction = "x_0"  # what the network gives: x_0, eps, v, auto (data_stage)
    stage.weighting = "uniform"  # of the loss over steps: uniform, min_snr or sigmoid


def _training(stage: ConfigDict, *, num_steps: int, batch_size: int) -> None:
    stage.num_steps = num_steps  # optimizer steps; 0 (not of encoder): chosen
    stage.batch_size = batch_size  # series per step, over all devices
    stage.learning_rate = 1e-3  # peak, after warm-up; a cosine to 0 follows
    stage.warmup_steps = 500
    stage.beta_2 = 0.99  # second-moment decay of AdamW
    stage.weight_decay = 1e-4
    stage.clip_norm = 1.0  # largest global norm of a gradient
    stage.ema_decay = 0.999  # of the weights that are kept


def short_series(config: ConfigDict) -> None:
    """Sizes for series of some 24 steps: minutes on two CPU cores, not an hour."""
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_500
    config.encoder.depth = 5  # a receptive field of 253 steps
    config.latent_stage.num_steps = 4_000
    config.data_stage.num_steps = 6_000


def long_series(config: ConfigDict) -> None:
    """Sizes for whole series of 60 to 200 steps, as the archives have them."""
    config.encoder.batch_size = config.data_stage.batch_size = 64
    config.encoder.num_steps = 1_000
    config.encoder.depth = 6  # a receptive field of 509 steps
    config.encoder.decoder_patch = 4
    config.latent_stage.num_steps = 4_000


def any_series(config: ConfigDict) -> None:
    """For series of any length and number: what is 0 or auto is chosen for them."""
    config.encoder.batch_size = 64
    config.encoder.num_steps = 1_500
    config.encoder.depth = 0
    config.encoder.decoder_patch = 0
    config.latent_stage.num_steps = 0
    config.data_stage.patch = 0
    config.data_stage.prediction = "auto"
    config.data_stage.condition_noise = 0.2
    config.data_stage.num_steps = 0


def sharp_latents(config: ConfigDict) -> None:
    """A latent chain that resolves finer structure in the distribution of r."""
    config.latent_stage.num_octaves = 4
    config.latent_stage.num_steps = 8_000


def with_argument(config: ConfigDict, argument: str) -> ConfigDict:
    """Applies what stands behind the colon in `--config=FILE:argument`."""
    settings.for_set(config)
    for name in filter(None, argument.split(",")):
        if name not in ARGUMENTS:
            raise InputError(
                f"config argument {name!r}: use {', '.join(ARGUMENTS)}, "
                "several joined by commas"
            )
        ARGUMENTS[name](config)
    return config


def smoke(config: ConfigDict) -> None:
    """The whole program in a minute or so, with scores that mean nothing."""
    for stage in (config.encoder, config.latent_stage, config.data_stage):
        stage.num_steps = 20
        stage.batch_size = 16
        stage.width = 16
    config.encoder.depth = 2
    config.encoder.features = 16
    config.encoder.decoder_layers = 1
    config.latent_stage.num_blocks = 1
    config.data_stage.num_blocks = 1
    config.data_stage.condition_layers = 1
    settings.smoke(config)
    config.training.steps_per_call = 10
    config.training.checkpoint_every = 10
    config.sampling.num_samples = 64
    config.sampling.match_quantiles = False  # from up to 20,000 others
    config.evaluation.num_series = 64
    config.evaluation.num_repeats = 2
    config.evaluation.metrics = (
        "context_fid",
        "spectral_distance",
        "classes",
        "privacy",
    )


def paper(config: ConfigDict) -> None:
    """What is public of the paper's settings, where ours are others.

    Both chains as DDPM (Ho et al. 2020): from pure noise, all K steps, ancestral, the
    networks predict the clean r_0 and x_0. Betas, sizes and training lengths aren't
    public. All differences: docs/method.md.
    """
    config.data.scaler = "min_max"  # -1 to 1: our reading
    config.encoder.whiten = False
    for stage in (config.latent_stage, config.data_stage):
        stage.prediction = "x_0"
        stage.noise_scale = 1.0
    config.latent_stage.num_octaves = 0
    config.data_stage.condition_noise = 0.0
    config.sampling.solver = config.sampling.latent_solver = "ancestral"
    config.sampling.num_steps = config.sampling.latent_num_steps = 0  # all K
    config.sampling.start_rounds = 0
    config.sampling.clip = False
    config.sampling.update(NOTHING_KEPT)


def single_stage(config: ConfigDict) -> None:
    """One stage of the size of all three."""
    variant("data_only", config)
    config.equal_size = True


def variant(name: str, config: ConfigDict) -> None:
    """What is trained; a set's spacing of few steps is for those given a latent."""
    config.variant = name
    if "start_rounds" not in METHODS[name].settings:
        config.sampling.spacing = 0.0


ARGUMENTS = {
    "smoke": smoke,
    "paper": paper,
    "single_stage": single_stage,
    **{name: partial(variant, name) for name in METHODS},
}
