"""The scores of privacy as a run reports them, with or without held-out series.

The comparisons with held-out series say something only where these are like the
training series. A later part of a recording often isn't. There, and where nothing was
held out, each training series compared with the others stands in for a fresh one, which
can show copies but no finer leak: the other scores are undefined.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from l2d_jax.metrics.floors import choose, summary
from l2d_jax.metrics.neighbours import nearest
from l2d_jax.metrics.privacy import (
    accuracy,
    adversarial_accuracy,
    closer_to_train,
    closest_record,
    copies,
    distance_ratio,
    exact_copies,
    membership_inference,
)

MAX_COMPARED = 5000  # training series that stand in for fresh ones
DRIFT_SDS = 2.0  # standard deviations, at most, that two sets seem to differ by chance
NOTHING_HELD_OUT = (
    "it takes held-out series (test=, or --config.data.protocol=held_out)"
)

Points = Float[np.ndarray, "_ d"]


def privacy_scores(
    train: Points, held_out: Points | None, generated: Points, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """The privacy scores, by the names in `catalog.SCORES`.

    Their "floor" is what held-out points score, or the stand-ins, or what a generator
    that copies nothing has. The first one, "exact_copies", carries the "warning" of
    `privacy.copies`.
    """
    undefined = NOTHING_HELD_OUT if held_out is None else drift(train, held_out, seed)
    if held_out is None or undefined:
        reference, fresh = "training series among the others do", stand_ins(train, seed)
    else:
        reference, fresh = "held-out series do", nearest(held_out, train, 2).distances
    near = nearest(generated, train, 2).distances
    found: dict[str, Any] = {
        "exact_copies": exact_copies(train, fresh, near),
        "distance_ratio": distance_ratio(fresh, near),
    }
    scores = {
        "exact_copies": of_counts(found["exact_copies"]),
        "closest_record": of_distances(fresh, near),
        "distance_ratio": of_ratios(found["distance_ratio"]),
    }
    if held_out is None or undefined:
        nothing = {**summary([np.nan], num_samples=len(generated)), "floor": None}
        for name in ("closer_to_train", "membership_inference", "privacy_loss"):
            scores[name] = {**nothing, "undefined": undefined}
    else:
        sets = (train, held_out, generated)
        found["closer_to_train"] = closer_to_train(*sets, seed=seed)
        found["membership_inference"] = membership_inference(*sets, seed=seed)
        scores |= {
            "closer_to_train": of_chance(found["closer_to_train"], "share"),
            "membership_inference": of_chance(found["membership_inference"], "auc"),
            "privacy_loss": of_loss(adversarial_accuracy(*sets, seed=seed)),
        }
    warning = copies(found, reference)
    if warning:
        scores["exact_copies"]["warning"] = warning
    return scores


def drift(train: Points, held_out: Points, seed: int) -> str:
    """Why the two can't stand for one another; "" where a neighbour can't tell.

    The leave-one-out accuracy of a nearest-neighbour classifier among n of each is .5
    for sets of one distribution. Its standard deviation is at most .5 / sqrt(n): 2 n
    indicators of variance 1 / 4, which agree for points that are each other's nearest
    at most. `DRIFT_SDS` of these are allowed: in 1 % of cases, sets of one distribution
    differ by more. With 4 of them, a drift that isn't seen has perfect generators
    accused of copies; with 2, hardly ever (tests/test_copying.py).
    """
    rng, n = np.random.default_rng(seed), min(len(train), len(held_out), MAX_COMPARED)
    one, other = choose(rng, train, n), choose(rng, held_out, n)
    told = accuracy(one, other, nearest(other, other, exclude_self=True))
    if told <= 0.5 + DRIFT_SDS * 0.5 / np.sqrt(n):
        return ""
    return (
        f"held-out series differ from training ones (a nearest neighbour tells "
        f"{told:.0%} of them apart): a comparison with them says nothing of copying"
    )


def stand_ins(train: Points, seed: int) -> Float[np.ndarray, "_ 2"]:
    """Distances from training points to the two nearest others."""
    some = choose(np.random.default_rng(seed), train, MAX_COMPARED)
    return nearest(some, train, 3).distances[:, 1:]  # the first is the point itself


# --- as scores ------------------------------------------------------------------------


def of_counts(found: dict[str, Any]) -> dict[str, Any]:
    """Shares of copies."""

    def share(counts: dict[str, Any]) -> dict[str, Any]:
        n = counts["num_samples"]
        return summary([counts["count"] / n], num_samples=n)

    return {**share(found), "floor": share(found["held_out"])}


def of_distances(
    fresh: Float[np.ndarray, "H 2"], near: Float[np.ndarray, "M 2"]
) -> dict[str, Any]:
    """The median distances, and other quantiles under "quantiles"."""
    quantiles = closest_record(fresh, near)

    def median(name: str, count: int) -> dict[str, Any]:
        found = summary([quantiles[name]["0.5"]], num_samples=count)
        return {**found, "quantiles": quantiles[name]}

    return {
        **median("generated", len(near)),
        "floor": median("held_out", len(fresh)),
    }


def of_ratios(found: dict[str, Any]) -> dict[str, Any]:
    """The median ratios."""

    def median(one: dict[str, Any]) -> dict[str, Any]:
        return summary([one["median"]], num_samples=one["num_samples"])

    return {**median(found), "floor": median(found["held_out"])}


def of_chance(found: dict[str, Any], name: str) -> dict[str, Any]:
    """A share whose ideal is .5; the floor's interval is what chance gives, 95 %."""
    n, sd = found["num_records"], found["chance_sd"]
    chance = {"interval": [0.5 - 1.96 * sd, 0.5 + 1.96 * sd], "chance_sd": sd}
    floor = {**summary([0.5], num_samples=n), **chance}
    return {**summary([found[name]], num_samples=n), "floor": floor}


def of_loss(found: dict[str, Any]) -> dict[str, Any]:
    """Privacy loss, ideally 0; its parts under "parts"."""
    n = found["num_records"]
    return {
        **summary([found["privacy_loss"]], num_samples=n),
        "floor": summary([0.0], num_samples=n),
        "parts": {"train": found["train"], "held_out": found["held_out"]},
    }
