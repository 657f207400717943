#!/usr/bin/env python3
"""Training steps of the published network: alrc-train beside PyTorch on the same cores, or on the same GPU.

    cargo build --release
    python3 benches/vs_pytorch.py --width 128 --batches 1 4 16 64 --threads 2
    python3 benches/vs_pytorch.py --simd avx2 portable --batches 16
    cargo build --release --features wgpu
    python3 benches/vs_pytorch.py --backend wgpu --batches 1 4 16 64 256 --steps 50

Needs a Python with torch; installs nothing. For each batch size PyTorch, which chooses its instructions itself, and
alrc-train on each instruction set of `--simd` take turns, `--rounds` times, and never run at once. A figure is the
median over rounds of images a second, and of each round's ratio; the ratios' range says how steady the machine was.
PyTorch does what alrc-train does in a step: bilinear resampling down and up, forward, loss, backward, Adam;
channels_last, float32. It is spared the reading of records and the augmentation.
With `--backend wgpu` PyTorch uses CUDA, without TF32 and with cuDNN's benchmark mode; both read the losses of each step.
alrc-train reports the median over steps, the first five left out; so does this script for PyTorch.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 5


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/alrc-train")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--backend", choices=["cpu", "wgpu"], default="cpu")
    parser.add_argument("--simd", nargs="+", default=["auto"], help="instruction sets of alrc-train")
    parser.add_argument("--steps", type=int, default=10, help="timed steps a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pytorch-round", type=int, metavar="BATCH", help=argparse.SUPPRESS)
    return parser.parse_args()


def pytorch_round(width, batch, threads, steps, device):
    """Images a second of PyTorch on `device`: the median over `steps` steps."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(0)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            half = width // 2
            self.first = nn.ModuleList([nn.Conv2d(3, half, 5, padding=2), nn.Conv2d(half, width, 3, padding=1)])
            self.blocks = nn.ModuleList(
                nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in range(2)]) for _ in range(3)
            )
            self.down = nn.Conv2d(width, half, 3, padding=1)
            self.out = nn.Conv2d(half, 3, 5, padding=2)

        def forward(self, x):
            for layer in self.first:
                x = functional.relu(layer(x))
            for first, second in self.blocks:
                x = x + functional.relu(second(functional.relu(first(x))))
            return self.out(functional.relu(self.down(x)))

    network = Network().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1 / 1280)
    target = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    resize = lambda x, side: functional.interpolate(x, size=(side, side), mode="bilinear", align_corners=True)
    seconds = []
    for _ in range(WARM_UP + steps):
        start = time.perf_counter()
        losses = 25 * (network(resize(resize(target, 16), 32)) - target).square().mean(dim=(1, 2, 3))
        loss = torch.where(losses >= 50, losses.sqrt(), losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # Waits for the device, as alrc-train does.
        losses.tolist()
        seconds.append(time.perf_counter() - start)
    return batch / statistics.median(seconds[WARM_UP:])


def output_of(command, environment):
    """What a program writes; where it fails, so does this one, with its words."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"error: {' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def run_pytorch(options, batch):
    """A round in a process of its own, so that neither program's memory or threads linger in the other's turn."""
    command = [sys.executable, __file__, "--pytorch-round", str(batch), "--width", str(options.width)]
    command += ["--threads", str(options.threads), "--steps", str(options.steps), "--backend", options.backend]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    return float(output_of(command, environment))


def run_alrc(options, batch, variant):
    """(Images a second, peak memory in MB) of one run of alrc-train."""
    with tempfile.TemporaryDirectory() as folder:
        command = [options.program, "run", "--data", "builtin", "--out", f"{folder}/run"]
        command += ["--width", str(options.width), "--batch-size", str(batch), *variant.split()]
        command += ["--threads", str(options.threads), "--steps", str(WARM_UP + options.steps)]
        output_of(command, os.environ)
        summary = json.loads(Path(folder, "run", "summary.json").read_text())
    return summary["images_per_second"], summary["peak_rss_bytes"] / 1e6


def tell(measurement, images_per_second):
    """Progress, on standard error."""
    print(f"{measurement}: {images_per_second:.1f} images/s", file=sys.stderr, flush=True)


def row(batch, variant, rounds, theirs):
    """A row of the table, from (images a second, peak MB) of each round, and PyTorch's images a second."""
    ours, memory = zip(*rounds)
    ratios = [a / b for a, b in zip(ours, theirs)]
    figures = [f"{statistics.median(values):.{digits}f}" for values, digits in ((ours, 1), (theirs, 1), (ratios, 2))]
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    return f"| {' | '.join([str(batch), variant, *figures, spread, f'{max(memory):.0f}'])} |"


def main():
    options = arguments()
    if options.pytorch_round:
        device = "cuda" if options.backend == "wgpu" else "cpu"
        print(pytorch_round(options.width, options.pytorch_round, options.threads, options.steps, device))
        return
    if importlib.util.find_spec("torch") is None:
        sys.exit(f"error: {sys.executable} has no torch; install it, or run this with a Python that has it")
    if not options.program.exists():
        sys.exit(f"error: there is no {options.program}; build it (cargo build --release), or give --program")
    variants = ["--backend wgpu"] if options.backend == "wgpu" else [f"--simd {simd}" for simd in options.simd]
    print("| batch | alrc-train with | alrc-train, images/s | PyTorch, images/s | ratio | range of ratios | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for batch in options.batches:
        ours = {variant: [] for variant in variants}
        theirs = []
        for number in range(1, options.rounds + 1):
            measurement = f"batch {batch}, round {number} of {options.rounds}"
            for variant, rounds in ours.items():
                rounds.append(run_alrc(options, batch, variant))
                tell(f"{measurement}, alrc-train {variant}", rounds[-1][0])
            theirs.append(run_pytorch(options, batch))
            tell(f"{measurement}, PyTorch", theirs[-1])
        for variant, rounds in ours.items():
            print(row(batch, variant, rounds, theirs), flush=True)


if __name__ == "__main__":
    main()
