"""What calls from Python cost; the losses are those of `cargo bench -p alrc-benches --bench capi`, to compare with Rust."""

from statistics import median
from timeit import repeat

import numpy as np

from alrc import Alrc

STEPS = 100_000
BATCH = 1 << 20


def report(what, call, number, unit):
    seconds = median(repeat(call, number=number, repeat=15)) / number
    print(f"{what}: {seconds / unit:.3f} {'ns' if unit == 1e-9 else 'ms'}")


for dtype in ("float32", "float64"):
    step = Alrc(dtype=dtype).step
    report(f"step, {dtype}", lambda step=step: step(25.0), STEPS, 1e-9)

losses = (20 + np.arange(BATCH) * 7 % 10).astype(np.float32)
clipped, scales = np.zeros_like(losses), np.zeros_like(losses)
alrc = Alrc(dtype="float32")
report("a million losses, into arrays", lambda: alrc.step_batch(losses, clipped, scales), 20, 1e-3)
report("a million losses, into new arrays", lambda: alrc.step_batch(losses), 20, 1e-3)
