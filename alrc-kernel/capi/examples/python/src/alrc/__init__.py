"""Adaptive learning rate clipping (Ede and Beanland, arXiv 1906.09060).

Limits each training loss to a number of standard deviations above its running mean, and scales its gradient
accordingly, so that loss spikes do not wreck a network:

    alrc = Alrc(num_stddev=3)
    clipped, scale = alrc.step(loss)  # multiply the loss's gradient by the scale

`alrc.torch.ALRC` does it in PyTorch.
"""

from ._alrc import Alrc, Batch, Report
from ._library import Error, version
from ._phases import Limits, Part, Sums

__version__ = version()
__all__ = ["Alrc", "Batch", "Error", "Limits", "Part", "Report", "Sums"]
