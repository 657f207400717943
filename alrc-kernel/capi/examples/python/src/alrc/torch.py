"""Adaptive learning rate clipping as a layer of PyTorch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, distributed
from torch.autograd.function import FunctionCtx

from . import _accelerator
from ._alrc import Alrc
from ._phases import Limits, Sums

__all__ = ["ALRC"]

_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


class ALRC(torch.nn.Module):
    """Clips losses, and scales their gradients accordingly.

        alrc = ALRC(num_stddev=3)
        loss = alrc(torch.nn.functional.cross_entropy(output, target, reduction="none")).mean()
        loss.backward()

    A call is one step: every loss is limited to `num_stddev` standard deviations above the running mean, then the
    running moments move by the clipped losses. The gradient of a clipped loss is not 0 but that which comes in times
    limit/loss. A NaN or an infinite loss becomes 0 and sends back a gradient of 0 (which a network that computed NaN on
    the way still multiplies by NaN: skip the optimiser's step where `sums.non_finite` is not 0).

    In evaluation mode (`eval()`) losses pass unchanged and the moments stay.

    **Accelerators.** Losses stay where they are. Of each step, the limits go there and six numbers come back, for
    which the host waits.

    **Distributed training.** Where `torch.distributed` is initialised, the losses of all processes of the group are one
    batch: every process must call the layer in every step, its losses on a device that the group's backend serves.
    States that begin equal stay equal to the bit.

    **Mixed precision.** Losses of a smaller type are clipped as `dtype` and returned as they came. Clip before a
    gradient scaler multiplies.

    `state_dict` holds parameters and moments as the bytes of a snapshot, which any language can read.

    Args:
        dtype: Of the moments: float32, or float64 for losses of float64.
        process_group: Of distributed training; None for the default one.
        synchronize: False for moments that belong to this process alone.
        **parameters: `num_stddev`, `decay` and all others of `alrc.Alrc`.
    """

    alrc: Alrc
    """Parameters and moments."""
    sums: Sums | None
    """Of the last step, over all processes: how many losses were clipped or not finite, and more."""

    def __init__(
        self,
        *,
        dtype: torch.dtype = torch.float32,
        process_group: distributed.ProcessGroup | None = None,
        synchronize: bool = True,
        **parameters: Any,
    ):
        super().__init__()
        if dtype not in _DTYPES:
            raise TypeError(f"dtype must be torch.float32 or torch.float64, not {dtype}")
        self.alrc = Alrc(dtype=_DTYPES[dtype], **parameters)
        self.sums = None
        self.dtype = dtype
        self.process_group = process_group
        self.synchronize = synchronize

    @torch.compiler.disable
    def forward(self, losses: Tensor) -> Tensor:
        """The losses, of any shape, within the limits.

        Raises:
            TypeError: The losses are not of a floating-point type, or of one with more digits than the moments.
        """
        if not losses.is_floating_point() or torch.promote_types(losses.dtype, self.dtype) != self.dtype:
            raise TypeError(
                f"losses are {losses.dtype}, the moments {self.dtype}: make ALRC(dtype=torch.float64)"
            )
        if not self.training:
            return losses
        clipped: Tensor = _ScaleGradient.apply(losses, self._step)
        return clipped

    def _step(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """One step: the clipped losses, and the scales of their gradients."""
        losses = losses.detach().to(self.dtype)
        limits = self.alrc.limits()
        clipped, scales, packed = self._clip(limits, losses)
        parts = (_accelerator.unpack(part, self.dtype) for part in self._gather(packed))
        self.sums = self.alrc.update(*parts)
        if limits.non_finite == "reject" and self.sums.non_finite > 0:
            clipped.zero_()
            scales.zero_()
        return clipped, scales

    def _clip(self, limits: Limits, losses: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The clipped losses, the scales of their gradients, and their packed sums."""
        if losses.device.type != "cpu":
            return _accelerator.clip(limits, losses)
        part = limits.clip(losses.numpy())
        packed = _accelerator.pack(part.sums, self.dtype)
        return torch.from_numpy(part.clipped), torch.from_numpy(part.scales), packed

    def _gather(self, packed: Tensor) -> Tensor:
        """The packed sums of all processes, in the order of their ranks, on the host."""
        if not (self.synchronize and distributed.is_available() and distributed.is_initialized()):
            return packed.cpu()[None]
        parts = [torch.empty_like(packed) for _ in range(distributed.get_world_size(self.process_group))]
        distributed.all_gather(parts, packed, group=self.process_group)
        return torch.stack(parts).cpu()

    def get_extra_state(self) -> Tensor:
        """The snapshot, for `state_dict`."""
        return torch.frombuffer(bytearray(self.alrc.to_bytes()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Parameters and moments from a `state_dict`.

        Raises:
            alrc.Error: The bytes are not a snapshot, or are damaged.
            ValueError: The snapshot is of moments of another type.
        """
        alrc = Alrc.from_bytes(bytes(state.tolist()))
        if alrc.dtype != self.alrc.dtype:
            raise ValueError(f"the snapshot is of {alrc.dtype} moments, this layer's are {self.alrc.dtype}")
        self.alrc = alrc

    def extra_repr(self) -> str:
        return repr(self.alrc)


class _ScaleGradient(torch.autograd.Function):
    """The clipped losses; backwards, the gradient that comes in times the scales."""

    @staticmethod
    def forward(ctx: FunctionCtx, losses: Tensor, step: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        clipped, scales = step(losses)
        ctx.save_for_backward(scales)
        return clipped.to(losses.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (scales,) = ctx.saved_tensors
        return (gradient * scales).to(gradient.dtype), None
