"""Activations with their first and second derivatives."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import elementwise_grad
from numpy.typing import NDArray
from scipy.special import erf, expit

from .user_functions import UserFunction

Array = NDArray[Any]

_SQRT_HALF = 0.7071067811865476
_INV_SQRT_2PI = 0.3989422804014327


@dataclass(frozen=True)
class Activation:
    """An elementwise activation a = f(z).

    Parameters
    ----------
    name : str
        How a user asks for it; nothing follows from it.
    value : callable
        ``value(z) -> a``; z is an ndarray of any shape.
    derivative : callable
        ``derivative(z, a) -> f'(z)``, a new array.
    second_derivative : callable, default=None
        ``second_derivative(z, a, derivative) -> f''(z)``, where the last argument is the array f'(z); None if f'' is
        zero almost everywhere.
    glorot_factor : float, default=6.0
        The weights of a layer begin uniform in +-sqrt(glorot_factor / (fan_in + fan_out)) (Glorot and Bengio 2010).
    """

    name: str
    value: Callable[[Any], Any]
    derivative: Callable[[Any, Any], Any]
    second_derivative: Callable[[Any, Any, Any], Any] | None = None
    glorot_factor: float = 6.0


SMALL_SIZE = 2**12
"""Numbers up to which numpy's tanh takes less time in double precision than the five calls that replace it."""


def tanh(z: Array, out: Array | None = None) -> Array:
    """Return tanh(z): numpy's, or for large arrays in double precision 1 - 2 / (e^(2 z) + 1), to a rounding of 1.

    Without AVX-512, numpy's takes up to 1.6 times as long for those; in single precision it is up to four times as
    fast (numpy 2.5 on an AMD EPYC). The exponential may overflow, which gives exactly 1; the caller ignores the
    warning.
    """
    if z.dtype != np.float64 or z.size <= SMALL_SIZE:
        return np.tanh(z, out=out)
    out = np.multiply(z, 2.0, out=out)
    np.exp(out, out=out)
    out += 1.0
    np.divide(-2.0, out, out=out)
    out += 1.0
    return out


def tanh_derivative(z: Array, a: Array, out: Array | None = None) -> Array:
    """Return 1 - a^2, the derivative of a = tanh(z)."""
    out = np.multiply(a, a, out=out)
    return np.subtract(1.0, out, out=out)


def _softplus(z: Array) -> Array:
    return np.logaddexp(0, z, dtype=z.dtype)


def _silu_derivative(z: Array, a: Array) -> Array:
    s = expit(z)
    return s + a * (1 - s)


def _silu_second_derivative(z: Array, a: Array, derivative: Array) -> Array:
    s = expit(z)
    return s * (1 - s) * (2 + z * (1 - 2 * s))


def _gelu(z: Array) -> Array:
    return z * (0.5 * (1 + erf(z * _SQRT_HALF)))


def _density(z: Array) -> Array:
    return _INV_SQRT_2PI * np.exp(-0.5 * z * z)


def _gelu_derivative(z: Array, a: Array) -> Array:
    return 0.5 * (1 + erf(z * _SQRT_HALF)) + z * _density(z)


def _gelu_second_derivative(z: Array, a: Array, derivative: Array) -> Array:
    square = np.minimum(z * z, 1e4)  # the density is zero there, and infinity times zero would be NaN
    return (2 - square) * _density(z)


ACTIVATIONS: dict[str, Activation] = {
    f.name: f
    for f in (
        Activation("identity", lambda z: z, lambda z, a: np.ones_like(z)),
        Activation("logistic", expit, lambda z, a: a * (1 - a), lambda z, a, d: d * (1 - 2 * a), 2.0),
        Activation("tanh", tanh, tanh_derivative, lambda z, a, d: -2 * a * d),
        Activation("relu", lambda z: np.maximum(z, 0), lambda z, a: (z > 0).astype(z.dtype)),
        Activation("softplus", _softplus, lambda z, a: expit(z), lambda z, a, d: d * (1 - d)),
        Activation("silu", lambda z: z * expit(z), _silu_derivative, _silu_second_derivative),
        Activation("gelu", _gelu, _gelu_derivative, _gelu_second_derivative),
    )
}
"""Activations by name. The weights of logistic units begin as in scikit-learn's MLP, with a factor of 2 instead of 6;
gelu is the exact one, z Phi(z) (Hendrycks and Gimpel, arXiv:1606.08415)."""


def resolve_activation(activation: str | Activation | Callable[..., Any]) -> Activation:
    """Return the `Activation` of a name, or one built by autograd from an elementwise callable.

    Faults of a function that does not belong to this module are reported as a ValueError that names `activation`.

    Parameters
    ----------
    activation : str, Activation or callable
        A callable must be elementwise and written with autograd.numpy.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        For an unknown name or another type.

    Examples
    --------
    >>> from qnewton_sk.nets.activations import resolve_activation
    >>> resolve_activation("tanh").name
    'tanh'
    """
    if isinstance(activation, Activation):
        return activation if activation in ACTIVATIONS.values() else _checked(activation)
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if callable(activation):
        return _checked(_from_callable(activation))
    raise ValueError(
        f"`activation` must be one of {sorted(ACTIVATIONS)}, a callable written with autograd.numpy, or a "
        f"sequence of these, one per hidden layer; got {activation!r}"
    )


def _from_callable(f: Callable[..., Any]) -> Activation:
    # autograd warns if a derivative does not depend on z, as f'' of a linear f; the sine of weight zero prevents that
    first = elementwise_grad(lambda z: f(z) + 0.0 * anp.sin(z))
    second = elementwise_grad(first)
    name = UserFunction.of("activation", f).name
    return Activation(name, f, lambda z, a: first(z), lambda z, a, derivative: second(z))


def _checked(f: Activation) -> Activation:
    """Return the same activation with every result checked; the derivatives must exist where the value is finite."""
    user = UserFunction("activation", f.name)
    second = f.second_derivative

    def value(z: Array) -> Array:
        return user.call(f.value, z, shape=z.shape, what="one value per argument")

    def derivative(z: Array, a: Array) -> Array:
        return user.call(f.derivative, z, a, shape=z.shape, what="a derivative")

    def second_derivative(z: Array, a: Array, d: Array) -> Array:
        assert second is not None
        return user.call(second, z, a, d, shape=z.shape, what="a second derivative")

    return replace(f, value=value, derivative=derivative, second_derivative=second and second_derivative)
