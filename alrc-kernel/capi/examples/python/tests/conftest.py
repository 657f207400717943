"""Losses with known results, and losses that are hard."""

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

CAPI = Path(__file__).resolve().parents[3]
GOLDEN = sorted((CAPI.parent / "tests" / "golden").glob("*.csv"))
assert GOLDEN
# float32 rounding differs between implementations by this much, relatively.
TOLERANCE = 1e-5
CONFIGURATIONS = [
    {},
    {"scaling": "deviation", "non_finite": "reject"},
    {"num_stddev_below": 1.0, "decay2": 0.99},
    {"warm_up_steps": 20},
]


class Step(NamedTuple):
    """What the published implementation returned for the losses of one step."""

    losses: np.ndarray
    clipped: np.ndarray
    scales: np.ndarray
    mu1: float
    mu2: float


def golden(path):
    """The parameters, and the steps in order."""
    header, _, *rows = path.read_text().splitlines()
    words = dict(word.split("=") for word in header.replace(",", " ").split() if "=" in word)
    parameters = {name: float(value) for name, value in words.items() if name != "batch"}
    numbers = np.array([row.split(",") for row in rows], dtype=float)
    steps = []
    for _, group in groupby(numbers, key=lambda row: row[0]):
        _, _, losses, clipped, scales, mu1, mu2 = np.array(list(group)).T
        steps.append(Step(losses, clipped, scales, mu1[0], mu2[0]))
    return parameters, steps


def assert_step(step, limit, clipped, scales, mu1, mu2):
    """That results are those of the published implementation."""
    np.testing.assert_allclose(clipped, step.clipped, rtol=TOLERANCE)
    # Within the tolerance of the limit either side is right.
    is_clear = np.abs(step.losses / limit - 1) > TOLERANCE
    np.testing.assert_allclose(scales[is_clear], step.scales[is_clear], rtol=TOLERANCE)
    np.testing.assert_allclose([mu1, mu2], [step.mu1, step.mu2], rtol=TOLERANCE)


def hard_cases():
    """The losses of each step, float64."""
    _, _, *rows = (CAPI / "tests" / "hard_cases.csv").read_text().splitlines()
    numbers = (row.split(",") for row in rows)
    return [
        np.array([float(loss) for *_, loss in group]) for _, group in groupby(numbers, lambda row: row[0])
    ]
