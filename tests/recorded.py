"""What the scores with GRUs would train, without training it."""

import numpy as np


def recorded_training(monkeypatch, module):
    """Lists the networks and rows of each score of `module` from now on."""
    recorded = []

    def train_and_measure(task, repeats, data, *, seed):
        recorded.append((task, repeats))
        return {name: np.zeros((len(repeats), 2)) for name in repeats[0]}

    monkeypatch.setattr(module, "train_and_measure", train_and_measure)
    return recorded
