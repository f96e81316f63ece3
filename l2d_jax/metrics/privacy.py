"""Whether a generator gives its training data away.

Three sets of points [N, d]: what the generator was trained on, held-out records of the
same distribution that it didn't see, and what it generated. Sources:

- distance to the closest record and nearest-neighbour distance ratio: Zhao et al.,
  "CTAB-GAN", 2021; share closer to train than to held-out records: Platzer and
  Reutterer, "Holdout-based empirical assessment of mixed-type synthetic data", 2021;
- adversarial accuracy and privacy loss: Yale et al., "Generation and evaluation of
  privacy preserving synthetic health data", 2020;
- membership inference by distance: Chen et al., "GAN-Leaks", 2020.

Each score stands beside what chance gives. That rests on train and held-out records
being independent draws of one distribution. Where they aren't, the scores show that
too: a drift between them (a split by time) looks like copying, and windows that overlap
count as more records than they are.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from l2d_jax.metrics.floors import choose
from l2d_jax.metrics.neighbours import Neighbours, nearest

SAME = 1e-5  # of the range of the training data: rows nearer than this are one record
CLOSE = 0.5  # a ratio d1 / d2 below it: much nearer to one record than to the next
LEVELS = (0.01, 0.05, 0.25, 0.5)  # quantiles of the distance to the closest record
COPIES = "COPIES OF TRAINING DATA"  # how a warning of them begins
CHANCE_SDS = 4.0  # standard deviations that chance goes
CHANCE = 3e-5  # probability that it goes so far: of a Gaussian beyond 4, on one side

# --- distances to the training data ---------------------------------------------------
#
# `held_out` and `generated` are here the distances of each point to its two nearest
# training records, as `nearest(points, train, 2).distances` gives them.


def exact_copies(
    train: Float[np.ndarray, "N d"],
    held_out: Float[np.ndarray, "H 2"],
    generated: Float[np.ndarray, "M 2"],
) -> dict[str, Any]:
    """Generated rows that are a training row.

    Two rows are the same if their root mean square difference is at most `SAME` times
    the range of all training values: files with five digits keep a copy a copy.

    Returns:
      "count", 0 to M, ideally 0; "num_samples", M; and the same two numbers under
      "held_out": more than 0 where the data itself repeats, as flat series do. Where
      there are copies and no held-out row repeats, also under "train": training rows
      that are another one.
    """
    span = float(train.max()) - float(train.min())
    same = SAME * span * math.sqrt(train.shape[1])

    def counted(distances):
        return count_and_size(distances[:, 0] <= same)

    copied, repeated = counted(generated), counted(held_out)
    found = {**copied, "held_out": repeated}
    if copied["count"] and not repeated["count"]:
        own = nearest(train, train, exclude_self=True).distances
        return {**found, "train": counted(own)}
    return found


def closest_record(
    held_out: Float[np.ndarray, "H 2"], generated: Float[np.ndarray, "M 2"]
) -> dict[str, Any]:
    """Quantiles of the distance to the closest training record.

    Returns:
      "generated" and "held_out", each by level ("0.01" to "0.5"); 0 or more. Ideally
      the two are alike. Low quantiles of the generated ones far below: copies, or, if
      they are as near to held-out records, samples too typical.
    """
    return {
        name: {str(q): float(np.quantile(distances[:, 0], q)) for q in LEVELS}
        for name, distances in {"generated": generated, "held_out": held_out}.items()
    }


def distance_ratio(
    held_out: Float[np.ndarray, "H 2"], generated: Float[np.ndarray, "M 2"]
) -> dict[str, Any]:
    """d1 / d2, the distances to the nearest and second nearest training record.

    0 for a copy, also of a record that is there twice; 1 midway. How dense the data
    is around a point cancels, so that samples that are merely typical stay near 1.

    Returns:
      "median", 0 to 1; "count", how many are below `CLOSE`; "num_samples"; and the
      same three under "held_out". Ideally the two are alike; lower: copies.
    """

    def described(distances):
        ratios = ratios_of(distances)
        return {
            "median": float(np.median(ratios)),
            **count_and_size(ratios < CLOSE),
        }

    return {**described(generated), "held_out": described(held_out)}


def ratios_of(distances: Float[np.ndarray, "M 2"]) -> Float[np.ndarray, " M"]:
    """d1 / d2, and 0 where both are 0."""
    first, second = distances.T
    return np.divide(first, second, out=np.zeros_like(first), where=second > 0.0)


def count_and_size(hits: np.ndarray) -> dict[str, int]:
    """How many are true, and of how many."""
    return {"count": int(hits.sum()), "num_samples": len(hits)}


# --- train against held-out records, as many of each ----------------------------------


def closer_to_train(
    train: Float[np.ndarray, "N d"],
    held_out: Float[np.ndarray, "H d"],
    generated: Float[np.ndarray, "M d"],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Share of generated points closer to train than to held-out records.

    Among n = min(N, H) records of each, chosen at random; points as near to one of
    either count half. 0 to 1, .5 is ideal, 1 says that all are copies.

    Returns:
      "share"; "chance_sd", the standard deviation about .5 of a generator that copies
      nothing; and "num_records", n.

    For such a generator train and held-out records are exchangeable, and the share is
    a sum over records of the weight w (share of generated points nearest to it) of
    those in train. Over all ways to deal 2 n records into halves its variance is
    2 n / (2 n - 1) sum (w - mean w)^2 / 4. The binomial 1 / 4 M is less, as it takes
    the records for fixed. Ties have no part in it: they come of records that are there
    many times, of which both halves have some, however they are dealt.
    """
    rng, n = np.random.default_rng(seed), min(len(train), len(held_out))
    to_train = nearest(generated, choose(rng, train, n))
    to_held_out = nearest(generated, choose(rng, held_out, n))
    gap = (to_held_out.distances - to_train.distances)[:, 0]
    share = float((0.5 + 0.5 * np.sign(gap)).mean())
    record = np.where(gap >= 0.0, to_train.indices[:, 0], n + to_held_out.indices[:, 0])
    weights = np.bincount(record, gap != 0.0, minlength=2 * n) / len(generated)
    return {
        "share": share,
        "chance_sd": float(0.5 * math.sqrt(2 * n) * weights.std(ddof=1)),
        "num_records": n,
    }


def adversarial_accuracy(
    train: Float[np.ndarray, "N d"],
    held_out: Float[np.ndarray, "H d"],
    generated: Float[np.ndarray, "M d"],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """How well a nearest-neighbour adversary tells real records from generated ones.

    AA(R, G) = (mean over R of 1[d(r, G) > d(r, R without r)]
                + mean over G of 1[d(g, R) > d(g, G without g)]) / 2,
    among n points of each set, chosen at random; n is the size of the smallest.

    Returns:
      "train" and "held_out", AA with these as R: 0 to 1, near .5 is ideal (a set's own
      points are n - 1 and the others n, so (n - 1) / (2 n - 1) is expected), 0 for
      copies, 1 for points that resemble nothing; "privacy_loss", AA of held_out less
      AA of train: -1 to 1, 0 is ideal, more says that the generator is nearer to what
      it saw; and "num_records", n.
    """
    rng = np.random.default_rng(seed)
    n = min(len(train), len(held_out), len(generated))
    train, held_out, generated = (
        choose(rng, points, n) for points in (train, held_out, generated)
    )
    own = nearest(generated, generated, exclude_self=True)
    on_train = accuracy(train, generated, own)
    on_held_out = accuracy(held_out, generated, own)
    return {
        "train": on_train,
        "held_out": on_held_out,
        "privacy_loss": on_held_out - on_train,
        "num_records": n,
    }


def accuracy(
    real: Float[np.ndarray, "n d"], generated: Float[np.ndarray, "n d"], own: Neighbours
) -> float:
    """AA(R, G); `own`: the nearest neighbours of `generated` in itself."""
    of_real = nearest(real, real, exclude_self=True)
    real_told = nearest(real, generated).distances > of_real.distances
    generated_told = nearest(generated, real).distances > own.distances
    return float((real_told.mean() + generated_told.mean()) / 2)


def membership_inference(
    train: Float[np.ndarray, "N d"],
    held_out: Float[np.ndarray, "H d"],
    generated: Float[np.ndarray, "M d"],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """How well an attacker tells which records the generator was trained on.

    A record's score is minus its distance to the nearest generated point; members are
    n = min(N, H) training records at random, the others as many held-out ones.

    Returns:
      "auc", the chance that a member scores above another record, ties counted half:
      0 to 1, .5 is ideal, 1 gives all away; "chance_sd", sqrt((2 n + 1) / (12 n^2)),
      its standard deviation about .5 for a generator that copies nothing (Mann and
      Whitney 1947; at most that where there are ties); and "num_records", n.
    """
    from sklearn.metrics import roc_auc_score  # takes seconds to import

    rng, n = np.random.default_rng(seed), min(len(train), len(held_out))
    members = nearest(choose(rng, train, n), generated).distances[:, 0]
    others = nearest(choose(rng, held_out, n), generated).distances[:, 0]
    return {
        "auc": float(roc_auc_score(np.repeat([1, 0], n), -np.append(members, others))),
        "chance_sd": math.sqrt((2 * n + 1) / (12 * n**2)),
        "num_records": n,
    }


# --- the verdict ----------------------------------------------------------------------


def copies(scores: dict[str, Any], reference: str = "held-out series do") -> str | None:
    """One loud line where the scores of this file say that a set fails, else None.

    Scores that are missing have no say. `reference`: what the "held_out" ones are.

    A set fails where a generator that copies nothing would score so with a chance of
    some 3 in 100,000 at most (4 standard deviations of a Gaussian), in any of:

    - exact copies: more of them, by Fisher's exact test, than held-out rows that repeat
      a training row, or, where none does, than training rows that repeat another;
      where none does that either, any at all;
    - d1 / d2 below `CLOSE`: more often than for held-out rows, by the same test. Fresh
      samples are to train what held-out rows are, so the test is exact, if samples are
      independent: of a generator that makes one sample only, it may say too much. It
      sees copies that are blurred, or few among many samples that aren't;
    - share closer to train, more than 4 `chance_sd` above .5;
    - AUC of membership inference, more than 4 `chance_sd` above .5.

    Only "any at all" has no such level: it takes data whose training and held-out rows
    don't repeat themselves for data that never do. If one series of 500 is flat, 2,000
    fresh ones beside 2,000 training and 300 held-out ones are accused in 4 % of cases,
    if one of 2,000 is, in 20 %: where one training series is flat, no held-out one, and
    one or more of the fresh ones.

    Distances to the closest record and privacy loss have no part in it: the first are
    low for samples that are merely typical, the second has no known spread.
    """
    found = []
    exact, ratio = scores["exact_copies"], scores["distance_ratio"]
    if more_than_repeats(exact):
        found.append(
            f"{exact['count']} of {exact['num_samples']} samples are training series"
        )
    if more_than_chance(ratio):
        held_out = ratio["held_out"]
        found.append(
            f"{ratio['count'] / ratio['num_samples']:.1%} lie at one training series, "
            f"less than half as far as the next "
            f"({held_out['count'] / held_out['num_samples']:.1%} of {reference})"
        )
    closer = scores.get("closer_to_train")
    if closer and closer["share"] > 0.5 + CHANCE_SDS * closer["chance_sd"]:
        found.append(
            f"{closer['share']:.1%} are closer to training than to held-out series "
            f"(chance: 50% +- {2 * closer['chance_sd']:.1%})"
        )
    attack = scores.get("membership_inference")
    if attack and attack["auc"] > 0.5 + CHANCE_SDS * attack["chance_sd"]:
        found.append(
            f"training series can be told from held-out ones, AUC {attack['auc']:.3f} "
            f"(chance: 0.5 +- {2 * attack['chance_sd']:.3f})"
        )
    return f"{COPIES}: {'; '.join(found)}" if found else None


def more_than_repeats(exact: dict[str, Any]) -> bool:
    """True where samples are training rows, but not as the data repeats itself."""
    if not exact["count"]:
        return False
    own = exact["held_out"] if exact["held_out"]["count"] else exact["train"]
    return not own["count"] or more_than_chance({**exact, "held_out": own})


def more_than_chance(counts: dict[str, Any]) -> bool:
    """True where "count" of "num_samples" is more than that of "held_out" by chance.

    Fisher's exact test, one-sided: all hits being dealt to the two sets at random.
    """
    from scipy import stats  # takes a second to import

    held_out = counts["held_out"]
    hits = counts["count"] + held_out["count"]
    total = counts["num_samples"] + held_out["num_samples"]
    p = stats.hypergeom.sf(counts["count"] - 1, total, hits, counts["num_samples"])
    return bool(p < CHANCE)
