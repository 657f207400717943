"""The first phase of a step in PyTorch's operations, for losses that are on an accelerator.

The limits go there as arguments of operations, and six numbers come back (`Sums`, packed); no loss does. The
arithmetic is that of the kernel's `limits.rs` and `block.rs`, but for the order in which losses are added.
"""

from math import sqrt

import torch
from torch import Tensor

from ._phases import Limits, Sums

MAX_SCALE = 8.0
"""The largest scale that lifting a low loss can give."""

_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}


def clip(limits: Limits, losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The clipped losses, the scales of their gradients, and what `unpack` makes sums of.

    Args:
        limits: Of the same floating-point type as the losses.
        losses: Of any shape.
    """
    is_finite = losses.isfinite()
    is_inside = (losses >= limits.lower) & (losses <= limits.upper)
    is_outside = is_finite & ~is_inside
    clipped = torch.where(is_finite, losses.clamp(limits.lower, limits.upper), 0)
    scales = torch.where(is_inside, 1, torch.where(is_finite, _scales(limits, losses, clipped), 0))
    excess = torch.where(is_outside, (losses - clipped).abs().clamp(max=torch.finfo(losses.dtype).max), 0)
    # An empty tensor has no maximum.
    largest_excess = torch.cat([excess.flatten(), excess.new_zeros(1)]).max()
    mean, squares = _moments(clipped, is_finite)
    counts = torch.stack([is_finite.sum(), is_outside.sum(), (~is_finite).sum()])
    return clipped, scales, _pack(counts, torch.stack([mean, squares, largest_excess]))


def _scales(limits: Limits, losses: Tensor, clipped: Tensor) -> Tensor:
    """For losses that were moved to a limit."""
    # `fmin` passes over the NaN of differences that an accelerator flushes to zero.
    deviation = torch.fmin((clipped - limits.mean) / (losses - limits.mean), torch.ones_like(losses))
    if limits.scaling == "deviation":
        return deviation
    ratio = clipped / losses
    ratio = torch.where(losses < clipped, ratio.clamp(max=MAX_SCALE), ratio.clamp(max=1))
    return torch.where((clipped > 0) & (losses > 0), ratio, deviation)


def _moments(clipped: Tensor, is_finite: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the clipped losses that are finite (the others are 0), and sum of the squares about it."""
    largest = torch.finfo(clipped.dtype).max
    # Larger losses enter the moments as this bound, whose square leaves room for sums.
    bound = sqrt(largest) / 128
    entering = clipped.clamp(-bound, bound)
    count = is_finite.sum().clamp(min=1)
    mean = entering.sum() / count
    distances = torch.where(is_finite, entering - mean, 0)
    # What rounding has left of the mean goes to it, and is taken off the squares.
    distance = distances.sum() / count
    squares = distances.square().sum() - distance.square() * count
    return mean + distance, squares.clamp(0, largest)


def pack(sums: Sums, dtype: torch.dtype) -> Tensor:
    """Sums of the host in the form in which `clip` returns them."""
    counts = torch.tensor([sums.count, sums.clipped, sums.non_finite])
    return _pack(counts, torch.tensor([sums.mean, sums.squares, sums.largest_excess], dtype=dtype))


def unpack(packed: Tensor, dtype: torch.dtype) -> Sums:
    """The sums, from a packed tensor that is on the host."""
    counts, reals = packed[:3], packed[3:].to(_INTEGERS[dtype]).view(dtype)
    return Sums(*counts.tolist(), *reals.tolist())


def _pack(counts: Tensor, reals: Tensor) -> Tensor:
    """All in one tensor of integers, to the bit, so that one copy brings them to the host."""
    return torch.cat([counts, reals.view(_INTEGERS[reals.dtype])])
