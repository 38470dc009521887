"""What another run needs in order to go on from where one has ended."""

import math
from dataclasses import dataclass

import numpy as np

from .records import changed
from .state import LoopState


@dataclass(frozen=True)
class Watch:
    """Watches the loss for lack of progress.

    `reference` is the loss when progress was last seen, `stale` the number of epochs since, `best` the lowest loss.
    """

    reference: float = math.inf
    best: float = math.inf
    stale: float = 0

    def after(self, loss, has_moved, tol):
        """Return the watch after an epoch, which does not count if all of its trials were rejected."""
        best = min(self.best, loss)
        if loss < self.reference - tol * abs(loss):
            return Watch(loss, best)
        return changed(self, best=best, stale=self.stale + 1 if has_moved else self.stale)


@dataclass(frozen=True)
class Resume:
    """What another run needs in order to go on.

    The state is that of the last arrival at its parameters; the `attempts` steps since then, rejected ones and a
    closing one, are taken again, so that no matrix has to be kept. `last_theta` are the parameters that the run has
    handed out.
    """

    state: LoopState
    attempts: int
    watch: Watch
    last_theta: np.ndarray

    def copy(self):
        """Return the same with workspaces of its own."""
        pairs = self.state.pairs
        state = changed(self.state, blocks=None, pairs=None if pairs is None else pairs.copy())
        return changed(self, state=state)

    def without_pairs(self):
        """Return the same without quasi-Newton pairs, which take 40 times the memory of the parameters."""
        return changed(self, state=changed(self.state, blocks=None, pairs=None))
