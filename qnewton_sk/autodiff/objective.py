"""The objective of `minimize`: the mean loss of a user's function on fixed data plus the L2 penalty.

J(theta) = 1/n sum_n loss_n + 1/(2 n) sum_k alpha_k theta_k^2, as for the estimators.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import autograd.numpy as anp
import numpy as np
from numpy.typing import NDArray

from qnewton_sk.nets import Loss

from .faults import FunctionFault, check_outputs, evaluating, name_of
from .layout import Layout
from .tape import GivenLosses, Tape

Array = NDArray[Any]


@dataclass
class Counts:
    """Numbers of evaluations of the function and of its gradient, where every batch counts."""

    functions: int = 0
    gradients: int = 0


@dataclass(frozen=True)
class Problem:
    """The function to minimise and its settings, without the data.

    Parameters
    ----------
    function : callable
        ``function(params, *data)`` in autograd.numpy.
    layout : Layout
        The order of the parameters.
    loss : Loss
        The loss of the outputs; `GivenLosses` if the function returns losses.
    penalties : ndarray of shape (n_params,)
        alpha of each parameter.
    chunk_size : int or None
        Number of samples that are passed to the function at once; None means all.
    counts : Counts
        Counters that the batches share.
    memo : dict
        Facts that have been found out about the function, shared by the batches.
    """

    function: Callable[..., Any]
    layout: Layout
    loss: Loss
    penalties: Array
    chunk_size: int | None = None
    counts: Counts = field(default_factory=Counts)
    memo: dict[str, Any] = field(default_factory=dict)

    def outputs(self, params: Any, data: tuple[Any, ...]) -> Any:
        """Return the outputs (n, K) of some samples for nested parameters, in autograd.numpy.

        Raises
        ------
        FunctionFault
            If the function raises an exception, or its result has another shape.
        """
        with evaluating(self.function):
            z = self.function(params, *data)
        n_samples = data[0].shape[0] if data else None
        check_outputs(z, self.function, n_samples, not isinstance(self.loss, GivenLosses))
        return anp.reshape(z, (n_samples or 1, -1))


class AutogradObjective:
    """J(theta) of a `Problem` on fixed data: value, gradient, and tapes for the curvature.

    None of its parts holds a reference to it, so that its arrays are freed with it.

    Parameters
    ----------
    problem : Problem
        The function and the layout of its parameters.
    data : tuple of arrays
        Arguments of the function after the parameters, with samples along the first axis. Empty if there are none.
    targets : ndarray of shape (n, K) or None, default=None
        Targets of the loss.

    Attributes
    ----------
    n_samples : int
        Number of samples; 1 if there is no data.
    n_params : int
        Number of parameters.
    penalties : ndarray of shape (n_params,)
        Coefficients of theta^2 / 2 in J.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from qnewton_sk.autodiff import AutogradObjective, GivenLosses, Layout, Problem
    >>> layout = Layout({"w": np.array([1.0, 2.0])})
    >>> problem = Problem(lambda p, X: np.dot(X, p["w"]) ** 2, layout, GivenLosses(), np.zeros(2))
    >>> objective = AutogradObjective(problem, (np.eye(2),))
    >>> objective.value_and_grad(layout.start)
    (2.5, array([1., 2.]))
    """

    def __init__(self, problem: Problem, data: tuple[Any, ...], targets: Any = None):
        self.problem, self.data, self.targets = problem, data, targets
        self.layout, self.loss = problem.layout, problem.loss
        self.n_params, self.dtype = problem.layout.n_params, problem.layout.dtype
        self.n_samples = int(data[0].shape[0]) if data else 1
        self.penalties = problem.penalties / self.n_samples
        size = problem.chunk_size or self.n_samples
        self.chunks = [slice(k, min(k + size, self.n_samples)) for k in range(0, self.n_samples, size)]
        self._last: Tape | None = None
        self._last_gradient: tuple[Array, float, Array] | None = None
        self.last_recording: Any = None
        self.last_loop: Any = None

    def batch(self, indices: Array) -> "AutogradObjective":
        """Return the objective on some of the samples."""
        targets = None if self.targets is None else self.targets[indices]
        return AutogradObjective(self.problem, tuple(part[indices] for part in self.data), targets)

    def tape(self, theta: Array, rows: slice) -> Tape:
        """Return the `Tape` of some samples at theta, each with the weight 1 / n_samples."""
        problem, data = self.problem, tuple(part[rows] for part in self.data)

        def outputs(t: Any) -> Any:  # must not refer to the objective, which keeps the tape
            return problem.outputs(problem.layout.unpack(t), data)

        targets = None if self.targets is None else self.targets[rows]
        return Tape(problem.function, outputs, self.loss, targets, 1.0 / self.n_samples, theta)

    def tapes(self, theta: Array) -> Iterator[Tape]:
        """Yield the `Tape` of every chunk; that of a single chunk is kept until theta changes."""
        if self._last is not None and np.array_equal(self._last.theta, theta):
            yield self._last
            return
        self._last, theta = None, theta.copy()
        self.problem.counts.functions += 1
        for rows in self.chunks:
            tape = self.tape(theta, rows)
            if len(self.chunks) == 1:
                self._last = tape
            yield tape

    def over_chunks(self, theta: Array, work: Callable[[Tape], Array]) -> Array:
        """Return the sum over the chunks of ``work(tape)``, arrays of shape (n_params,)."""
        total = np.zeros(self.n_params, self.dtype)
        for tape in self.tapes(theta):
            total += work(tape)
        return total

    def value(self, theta: Array) -> float:
        """Return J(theta), or infinity if it is NaN, so that the step control rejects the step."""
        return self._penalised(sum(tape.value() for tape in self.tapes(theta)), theta)

    def value_and_grad(self, theta: Array) -> tuple[float, Array]:
        """Return J(theta) and its gradient of shape (n_params,).

        Raises
        ------
        FunctionFault
            If the gradient is not finite although J is.
        """
        if self._last_gradient is not None and np.array_equal(self._last_gradient[0], theta):
            return self._last_gradient[1], self._last_gradient[2].copy()
        self.problem.counts.gradients += 1
        with np.errstate(over="ignore", invalid="ignore"):
            total, gradient = 0.0, self.penalties * theta
            for tape in self.tapes(theta):
                total += tape.value()
                gradient += tape.gradient()
        value = self._penalised(total, theta)
        if math.isfinite(value) and not np.isfinite(gradient).all():
            raise self._gradient_fault(gradient)
        self._last_gradient = theta.copy(), value, gradient.copy()
        return value, gradient

    def _penalised(self, total: float, theta: Array) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            value = total + 0.5 * float(theta @ (self.penalties * theta))
        return math.inf if math.isnan(value) else value

    def _gradient_fault(self, gradient: Array) -> FunctionFault:
        first = np.flatnonzero(~np.isfinite(gradient))[0]
        leaf = next(leaf for leaf in self.layout.leaves if leaf.part.start <= first < leaf.part.stop)
        path = "".join(f"[{key!r}]" for key in leaf.path)
        return FunctionFault(
            f"`fun` must have a finite gradient wherever its value is finite; got {gradient[first]} in x0{path} from "
            f"{name_of(self.problem.function)}, such as that of a square root at zero. Let it avoid such points, or "
            "return numpy.inf there"
        )
