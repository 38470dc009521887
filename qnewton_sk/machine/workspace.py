"""Arrays that are reused from step to step, and the cost of writing a number to them."""

import math

import numpy as np

NUMBER_FLOPS = 50.0
"""Operations of a matrix product in the time that it takes to compute or move one number elementwise, about 1
ns at 5e10 flop/s (measured on one core with AVX-512; of the same order on other processors)."""


class Workspace:
    """Named, uninitialised arrays of one dtype; each name keeps the memory of its largest array.

    The first use of newly allocated memory takes 0.1 to 0.5 ns per byte (measured), ten times as long as the
    arithmetic on it; temporaries of some megabytes would cost that again at every step.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        self._buffers = {}

    def array(self, name, *shape):
        """Return an uninitialised array of `shape`, which shares its memory with earlier arrays of the same name."""
        buffer, last = self._buffers.get(name, (None, None))
        if last is not None and last.shape == shape:
            return last
        size = math.prod(shape)
        if buffer is None or buffer.size < size:
            buffer = np.empty(size, self.dtype)
        array = buffer[:size].reshape(shape)
        self._buffers[name] = buffer, array
        return array


def workspaces_of(objective, count):
    """Return `count` workspaces, one per thread, which the objective keeps for its gradients and its curvature."""
    kept = objective.memo.setdefault("workspaces", [])
    kept += [Workspace(objective.dtype) for _ in range(count - len(kept))]
    return kept[:count]
