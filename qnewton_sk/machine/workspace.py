"""Arrays that are used again from step to step, and what a number in them costs."""

import math

import numpy as np

NUMBER_FLOPS = 50.0
"""Operations of a matrix product in the time that one number takes to be built or moved: about 1 ns at
5e10 flop/s (measured on one core with AVX-512; of the same order elsewhere)."""


class Workspace:
    """Named arrays without contents, of one dtype; each name keeps the memory of its largest array.

    Memory that the system has just handed out costs 0.1 to 0.5 ns a byte at its first use (measured), ten
    times the arithmetic on it; temporaries of some megabytes would pay that anew at every step.
    """

    def __init__(self, dtype):
        self.dtype = dtype
        self._buffers = {}

    def array(self, name, *shape):
        """Return an array of `shape`; it shares its memory with the last one of the same name."""
        size = math.prod(shape)
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size < size:
            buffer = self._buffers[name] = np.empty(size, self.dtype)
        return buffer[:size].reshape(shape)


def workspaces_of(objective, count):
    """Return `count` workspaces, one a thread, that an objective keeps for its curvature."""
    kept = objective.memo.setdefault("workspaces", [])
    kept += [Workspace(objective.dtype) for _ in range(count - len(kept))]
    return kept[:count]
