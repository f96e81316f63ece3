"""Sizes and steps that are chosen by the series."""

import pytest
from made import tiny

from l2d_jax import configs, sizes
from l2d_jax.configs import base, resolve
from l2d_jax.types import InputError


@pytest.mark.parametrize(
    ("length", "patch", "depth"),
    [(24, 4, 5), (96, 4, 5), (97, 5, 5), (127, 6, 5), (128, 6, 6), (1_000, 42, 8)],
)
def test_sizes_chosen_for_the_length_of_the_series(length, patch, depth):
    config, notes = sizes.with_sizes(configs.own.get_config(), (length, 1))
    assert config.data_stage.patch == patch and config.encoder.depth == depth
    assert config.encoder.decoder_patch == patch // 2
    assert (
        f"steps of a patch of the denoiser {patch}: --config.data_stage.patch" in notes
    )
    # Two convolutions of three taps a block, the dilation doubling from 1.
    reach = 2 * sum(2**i for i in range(depth + 1))
    assert reach >= length - 1 and (depth == 5 or reach / 2 < length)
    given, notes = sizes.with_sizes(base.get_config(), (length, 1))
    assert given.data_stage.patch == 4 and notes == []


@pytest.mark.parametrize(
    ("shape", "asked", "chosen"),
    [
        ((24, 16), "auto", "v"),  # 64 values a token of 128
        ((24, 17), "auto", "x_0"),
        ((24, 17), "v", "v"),
        ((240, 6), "auto", "v"),  # 60, as a patch has 10 steps
        ((240, 7), "auto", "x_0"),
    ],
)
def test_the_prediction_chosen_for_the_size_of_a_token(shape, asked, chosen):
    config = configs.own.get_config()
    config.data_stage.prediction = asked
    config, notes = sizes.with_sizes(resolve(config), shape)
    assert config.data_stage.prediction == chosen
    note = f"the denoiser predicts {chosen}: --config.data_stage.prediction"
    assert (note in notes) == (asked == "auto")


@pytest.mark.parametrize(
    ("series", "overlapping", "latent", "data"),
    [
        (20, True, 40, 79),
        (200, True, 400, 800),
        (300, True, 600, 1_200),
        (640, True, 1_300, 2_500),
        (3_000, True, 5_900, 10_000),
        (10**6, True, 8_000, 10_000),
        (20, False, 40, 79),  # 500 times, which is less than 500 and 1,000 steps
        (200, False, 400, 800),
        (300, False, 500, 1_000),
        (640, False, 500, 1_000),
        (3_000, False, 1_800, 2_300),  # 150 x 3,000 / 256 = 1,758; 100 x 3,000 / 128
        (10**6, False, 8_000, 10_000),
    ],
)
def test_steps_chosen_for_the_number_of_series(series, overlapping, latent, data):
    """500 times through 200: 500 x 200 / 256 = 391 steps, in calls of 100."""
    given = resolve(configs.own.get_config())
    config, notes = sizes.with_steps(given, series, overlapping=overlapping)
    assert config.latent_stage.num_steps == latent
    assert config.data_stage.num_steps == data
    times = f"({round(data * 128 / series)} times through the series)"
    flag = "--config.data_stage.num_steps"
    assert notes[1] == f"training steps of the data stage {data:,} {times}: {flag}"
    again, notes = sizes.with_steps(config, 10, overlapping=overlapping)
    assert again.data_stage.num_steps == data and notes == []


def test_steps_are_chosen_for_what_is_trained():
    given = resolve(configs.own.get_config("data_only"))
    config, notes = sizes.with_steps(given, 20, overlapping=True)
    assert len(notes) == 1 and config.data_stage.num_steps == 79
    config.encoder.num_steps = 0
    with pytest.raises(InputError, match=r"encoder\.num_steps=0: use 1 or more"):
        resolve(config)


def test_equal_size_with_latents_that_are_to_be_chosen():
    config = configs.resolve(tiny("single_stage"))
    sized, _ = sizes.with_equal_size(config, (8, 2))
    config.encoder.update(latent_dim=0, mask_rate=0.0)
    open_sized, _ = sizes.with_equal_size(config, (8, 2))
    assert open_sized.data_stage.width == sized.data_stage.width
