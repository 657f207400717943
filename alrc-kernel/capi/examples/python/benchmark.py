"""What calls from Python cost: a scalar step, and a batch of a million losses beside the library's own function.

The library's function is that of Rust (`cargo bench -p alrc-benches --bench capi` compares the two); called by addresses
that are looked up beforehand, it takes less than a microsecond longer. The calls of a batch take turns, and write to the
same arrays. Printed are medians and, in brackets, quartiles.
"""

from math import isclose
from random import sample
from statistics import quantiles
from time import perf_counter_ns
from timeit import repeat

import numpy as np

from alrc import Alrc

STEPS = 100_000
BATCH = 1 << 20
ROUNDS = 60
REPEATS = 6


def report(what, times, unit, scale):
    lower, median, upper = (quartile / scale for quartile in quantiles(times, n=4))
    print(f"{what}: {median:.3f} ({lower:.3f} to {upper:.3f}) {unit}")
    return median


for dtype in ("float32", "float64"):
    alrc = Alrc(dtype=dtype)
    assert alrc.step(25.0) == (25.0, 1.0)
    times = repeat(lambda step=alrc.step: step(25.0), number=STEPS, repeat=25)
    report(f"step, {dtype}", times, "microseconds", STEPS * 1e-6)

losses = (20 + np.arange(BATCH) * 7 % 10).astype(np.float32)
clipped, scales = np.zeros_like(losses), np.zeros_like(losses)
python, library, fresh = (Alrc(dtype="float32") for _ in range(3))

interface = library._interface
addresses = [array.__array_interface__["data"][0] for array in (losses, clipped, scales)]


def call_library():
    assert interface.step_batch(library._state, *addresses, BATCH, None) == 0


calls = {
    "library": call_library,
    "Python, into arrays": lambda: python.step_batch(losses, clipped, scales),
    "Python, into new arrays": lambda: fresh.step_batch(losses),
}
batch_times = {name: [] for name in calls}
for _ in range(ROUNDS):
    # In any order: what one call leaves in the caches is the next one's gain or loss.
    for name, call in sample(list(calls.items()), len(calls)):
        for turn in range(REPEATS):
            start = perf_counter_ns()
            call()
            # The first of a turn brings memory into the caches.
            if turn > 0:
                batch_times[name].append(perf_counter_ns() - start)
assert python.to_bytes() == library.to_bytes() and isclose(python.mu1, 24.5, rel_tol=0.1)
for call in (call_library, calls["Python, into arrays"]):
    clipped[:] = scales[:] = np.nan
    call()
    assert np.array_equal(clipped, losses) and (scales == 1).all()
medians = {name: report(f"2^20 losses, {name}", times, "ms", 1e6) for name, times in batch_times.items()}
print(f"Python takes {medians['Python, into arrays'] / medians['library']:.3f} times as long as the library")
