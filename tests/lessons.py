"""What the scores with GRUs would train, without training it."""

import numpy as np


def what_is_asked(monkeypatch, module):
    """Lists the networks and lessons of each score of `module` from now on."""
    asked = []

    def teach(task, repeats, data, *, seed):
        asked.append((task, repeats))
        return {name: np.zeros((len(repeats), 2)) for name in repeats[0]}

    monkeypatch.setattr(module, "teach", teach)
    return asked
