"""Activations with their first and second derivatives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from autograd import elementwise_grad
from scipy.special import erf, expit

_SQRT_HALF = 0.7071067811865476
_INV_SQRT_2PI = 0.3989422804014327


@dataclass(frozen=True)
class Activation:
    """An elementwise activation a = f(z).

    Parameters
    ----------
    name : str
        How a user asks for it.
    value : callable
        ``value(z) -> a``; z is an ndarray of any shape.
    slope : callable
        ``slope(z, a) -> f'(z)``.
    bend : callable or None
        ``bend(z, a, slope) -> f''(z)``; None where f'' is zero almost everywhere.
    """

    name: str
    value: Callable[[Any], Any]
    slope: Callable[[Any, Any], Any]
    bend: Callable[[Any, Any, Any], Any] | None = None


def _tanh_slope(z, a):
    slope = a * a
    return np.subtract(1, slope, out=slope)


def _softplus(z):
    return np.logaddexp(0, z, dtype=z.dtype)


def _silu_slope(z, a):
    s = expit(z)
    return s + a * (1 - s)


def _silu_bend(z, a, slope):
    s = expit(z)
    return s * (1 - s) * (2 + z * (1 - 2 * s))


def _gelu(z):
    return z * (0.5 * (1 + erf(z * _SQRT_HALF)))


def _density(z):
    return _INV_SQRT_2PI * np.exp(-0.5 * z * z)


def _gelu_slope(z, a):
    return 0.5 * (1 + erf(z * _SQRT_HALF)) + z * _density(z)


ACTIVATIONS = {
    a.name: a
    for a in (
        Activation("identity", lambda z: z, lambda z, a: np.ones_like(z)),
        Activation("logistic", expit, lambda z, a: a * (1 - a), lambda z, a, slope: slope * (1 - 2 * a)),
        Activation("tanh", np.tanh, _tanh_slope, lambda z, a, slope: -2 * a * slope),
        Activation("relu", lambda z: np.maximum(z, 0), lambda z, a: (z > 0).astype(z.dtype)),
        Activation("softplus", _softplus, lambda z, a: expit(z), lambda z, a, slope: slope * (1 - slope)),
        Activation("silu", lambda z: z * expit(z), _silu_slope, _silu_bend),
        Activation("gelu", _gelu, _gelu_slope, lambda z, a, slope: (2 - z * z) * _density(z)),
    )
}
"""Activations by name; gelu is the exact one, z Phi(z) (Hendrycks and Gimpel, arXiv:1606.08415)."""


def resolve_activation(activation):
    """Return the `Activation` of a name, or one built by autograd from an elementwise callable.

    Parameters
    ----------
    activation : str, Activation or callable
        A callable must be elementwise and written with autograd.numpy.

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
        return activation
    if isinstance(activation, str) and activation in ACTIVATIONS:
        return ACTIVATIONS[activation]
    if callable(activation):
        return _from_callable(activation)
    raise ValueError(
        f"`activation` must be one of {sorted(ACTIVATIONS)}, a callable written with autograd.numpy, or a "
        f"sequence of these, one per hidden layer; got {activation!r}"
    )


def _from_callable(f):
    # autograd warns where a derivative does not depend on z, as f'' of a linear f; a cubic of weight zero hides it
    first = elementwise_grad(lambda z: f(z) + 0.0 * z**3)
    second = elementwise_grad(first)
    name = getattr(f, "__name__", type(f).__name__)
    return Activation(name, f, lambda z, a: first(z), lambda z, a, slope: second(z))
