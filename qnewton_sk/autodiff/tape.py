"""The recording that autograd makes of a chunk of samples at one point, and the derivatives that follow from it.

With the outputs z(theta) of shape (n, K), their Jacobian J, the loss of each sample as a function of its outputs, and
the weight w of every sample: the gradient is J^T w loss', the Hessian J^T w loss'' J + sum_nk w loss'_nk z_nk''.
Only reverse mode is used, so that a user's own primitives need no forward rule: J v is the transpose of the linear
map u -> J^T u, and is computed by recording that map in turn.
"""

import warnings
from collections.abc import Callable
from functools import cached_property
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from numpy.typing import NDArray

from qnewton_sk.nets import Loss

from .faults import TWICE, FunctionFault, evaluating, name_of

Array = NDArray[Any]


class GivenLosses(Loss):
    """The loss of a function whose outputs already are the losses of the samples."""

    name, has_diagonal_hessian = "given", True

    def value(self, z: Array, y: Array) -> Array:
        """Return the outputs."""
        return z[:, 0]

    def gradient(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return ones."""
        return np.ones_like(z)

    def hessian(self, z: Array, y: Array, p: Array | None = None) -> Array:
        """Return zeros."""
        return np.zeros_like(z)


class Tape:
    """The outputs of a chunk of samples at one point, and what autograd needs for their derivatives.

    Parameters
    ----------
    function : callable
        The user's function, which messages name.
    outputs : callable
        ``outputs(theta) -> z`` of shape (n, K) in autograd.numpy.
    loss : Loss
        The loss of the outputs.
    targets : ndarray or None
        Its targets, of shape (n, K).
    weight : float
        Weight of every sample.
    theta : ndarray of shape (n_params,)
        The point; it must not be written to.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        outputs: Callable[[Any], Any],
        loss: Loss,
        targets: Any,
        weight: float,
        theta: Array,
    ):
        self.function, self.outputs, self.loss = function, outputs, loss
        self.targets, self.weight, self.theta = targets, weight, theta
        self._pull, self.z = self._recorded(outputs, theta)

    def _recorded(
        self, function: Callable[[Any], Any], at: Array, times: str = ""
    ) -> tuple[Callable[[Array], Array], Array]:
        """Return the map from a gradient in the result to the gradient in the argument, and the result."""
        quiet = np.errstate(over="ignore", invalid="ignore", divide="ignore")
        with warnings.catch_warnings(), evaluating(self.function, times), quiet:
            # the derivative of a constant is zero, which needs no warning
            warnings.filterwarnings("ignore", message="Output seems independent of input")
            return make_vjp(function)(at)

    def _applied(self, linear: Callable[[Array], Array], v: Array) -> Array:
        """Apply a recorded map, in the precision of the parameters."""
        with evaluating(self.function), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray(linear(v), self.theta.dtype)

    @property
    def depends_on_parameters(self) -> bool:
        """Whether the outputs depend on the parameters through autograd."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with evaluating(self.function):
                make_vjp(self.outputs)(self.theta)
        return not any("independent of input" in str(warning.message) for warning in caught)

    @cached_property
    def losses(self) -> Array:
        """The loss of each sample, shape (n,)."""
        values = self.loss.value(self.z, self.targets)
        return np.asarray(values)

    @cached_property
    def output_gradient(self) -> Array:
        """Gradient of each sample's loss in its outputs, shape (n, K)."""
        return np.asarray(self.loss.gradient(self.z, self.targets))

    def value(self) -> float:
        """Return the weighted sum of the losses."""
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.weight * np.sum(self.losses))

    def gradient(self) -> Array:
        """Return the gradient of the weighted sum of the losses, of shape (n_params,)."""
        return self.pull(self.weight * self.output_gradient)

    def pull(self, u: Array) -> Array:
        """Return J^T u for u of shape (n, K)."""
        return self._applied(self._pull, u)

    def push(self, v: Array) -> Array:
        """Return J v of shape (n, K)."""
        with evaluating(self.function), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return np.asarray(self._push(v), self.z.dtype)

    @cached_property
    def _push(self) -> Callable[[Array], Array]:
        return self._recorded(self._pull, np.zeros_like(self.z), TWICE)[0]

    @cached_property
    def _second(self) -> Callable[[Array], Array]:
        """The map v -> (sum_nk w loss'_nk z_nk'') v."""
        fixed = self.weight * self.output_gradient

        def gradient(theta: Any) -> Any:
            pull = make_vjp(lambda t: anp.sum(fixed * self.outputs(t)))(theta)[0]
            return pull(np.ones((), self.z.dtype))

        return self._recorded(gradient, self.theta, TWICE)[0]

    def hessian_product(self, v: Array) -> Array:
        """Return the Hessian of the weighted sum of the losses times v."""
        product = self._applied(self._second, v)
        return product if isinstance(self.loss, GivenLosses) else product + self.gauss_newton_product(v)

    def gauss_newton_product(self, v: Array) -> Array:
        """Return J^T w loss'' J v."""
        change = self.loss.curvature_product(self._curvature, self.push(v))
        return self.pull(self.weight * change)

    @cached_property
    def _curvature(self) -> Array:
        return self.loss.curvature(self.z, self.targets)

    def fisher_product(self, v: Array) -> Array:
        """Return sum_n w g_n (g_n . v) over the gradients g_n of the samples' losses."""
        g = self.output_gradient
        along = np.sum(g * self.push(v), axis=1, keepdims=True)
        return self.pull(self.weight * along * g)

    def acceleration(self, v: Array) -> Array:
        """Return J^T w loss'' z'', where z'' is the second derivative of the outputs along v."""
        second = self._derivative(self._derivative(lambda t: self.outputs(self.theta + t * v)))
        with evaluating(self.function), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Output seems independent of input")
            along = np.asarray(second(np.zeros((), self.theta.dtype)), self.z.dtype)
        return self.pull(self.weight * self.loss.curvature_product(self._curvature, along))

    def _derivative(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the derivative of a function from a number to arrays of the shape of the outputs."""
        zeros, one = np.zeros_like(self.z), np.ones((), self.theta.dtype)

        def derivative(t: Any) -> Any:
            pull = make_vjp(function)(t)[0]
            return make_vjp(pull)(zeros)[0](one)

        return derivative

    def fault_at_start(self) -> FunctionFault | None:
        """Return the fault of losses that are not finite, if there are any."""
        if np.isfinite(self.losses).all():
            return None
        rows = np.flatnonzero(~np.isfinite(self.losses))
        return FunctionFault(
            f"`fun` must be finite at `x0`; got {self.losses[rows[0]]} for sample {rows[0]} from "
            f"{name_of(self.function)}. Start from another `x0`, or check the data"
        )
