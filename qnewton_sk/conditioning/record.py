"""The base class of estimators of the condition number, and the labelled number that they return."""

import math
from abc import abstractmethod
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator

from qnewton_sk.systems import fault_of, must

KINDS = ("exact", "upper bound", "estimate")


class ConditionNumber(float):
    """A condition number that says what it is and what it cost; otherwise a float.

    Parameters
    ----------
    value : float
        The ratio of the largest to the smallest singular value, or a bound or an estimate of it.
    kind : {"exact", "upper bound", "estimate"}
        What `value` is.
    method : str, default=""
        Name of the method.
    flops : float, default=0.0
        Floating-point operations spent, factorisations that existed before not counted.
    norm : float, default=None
        Spectral norm, if the method met it.
    positive_definite : bool, default=None
        Whether the matrix is positive definite, if the method found out.

    Examples
    --------
    >>> from qnewton_sk.conditioning.condition_number import ConditionNumber
    >>> kappa = ConditionNumber(100.0, "upper bound", "mine")
    >>> kappa * 2, kappa.kind
    (200.0, 'upper bound')
    """

    kind: str
    method: str
    flops: float
    norm: float | None
    positive_definite: bool | None

    def __new__(
        cls,
        value: float,
        kind: str,
        method: str = "",
        flops: float = 0.0,
        norm: float | None = None,
        positive_definite: bool | None = None,
    ) -> "ConditionNumber":
        """Build the float and attach the labels."""
        if kind not in KINDS:
            raise must("kind", f"be one of {KINDS}", kind)
        if not isinstance(value, Real):
            raise must("value", "be a number", value)
        self = super().__new__(cls, value)
        self.kind, self.method, self.flops = kind, method, float(flops)
        self.norm, self.positive_definite = norm, positive_definite
        return self

    def rescaled(self, scale: float) -> "ConditionNumber":
        """Return the condition number of the matrix times `scale`: itself, with the norm of that matrix."""
        if scale == 1.0 or self.norm is None:
            return self
        with np.errstate(over="ignore", under="ignore"):
            norm = float(np.float64(self.norm) * scale)
        return ConditionNumber(float(self), self.kind, self.method, self.flops, norm, self.positive_definite)

    def __getnewargs__(self):
        """Let copy and pickle rebuild it."""
        return float(self), self.kind, self.method, self.flops, self.norm, self.positive_definite

    def __repr__(self):
        """Value and kind, as in ``ConditionNumber(100.0, 'upper bound')``."""
        return f"ConditionNumber({float(self)!r}, {self.kind!r})"


def ratio(large, small):
    """Return large / small as Python floats, at least 1; inf if `small` is 0 or anything is not finite."""
    large, small = float(large), float(small)
    if not (math.isfinite(large) and small > 0):
        return math.inf
    with np.errstate(over="ignore"):
        return max(1.0, float(np.float64(large) / small))


class ConditionEstimator(BaseEstimator):
    """An estimator of the condition number of a symmetric matrix: settings, and one method that must be defined."""

    @abstractmethod
    def estimate(self, matrix):
        """Return the `ConditionNumber` of a `SystemMatrix`."""
        raise NotImplementedError(f"{type(self).__name__} must define estimate(matrix)")

    def estimate_in_fit(self, matrix, norm_hint=None, has_radius=False, rhs=None):
        """Return the `ConditionNumber` of the matrix of a step; by default as `estimate` does.

        Parameters
        ----------
        matrix : SystemMatrix
            The damped matrix.
        norm_hint : float, default=None
            Spectral norm, without the shift, that an earlier step has met.
        has_radius : bool, default=False
            Whether a radius bounds the step, so that solvers may leave the shift out.
        rhs : ndarray of shape (n,), default=None
            The right-hand side, for products that conjugate gradients can use again.
        """
        return self.estimate(matrix)


class OwnEstimator(ConditionEstimator):
    """A user's object with a method ``estimate(matrix)`` that returns a number.

    Parameters
    ----------
    own : object
        The object.
    """

    def __init__(self, own):
        self.own = own

    def estimate(self, matrix):
        """Return what the object returns; a plain number counts as an estimate.

        Raises
        ------
        ValueError
            If it is no real number, or NaN.
        """
        with fault_of("the object that `condition_number` holds"):
            kappa = self.own.estimate(matrix)
        if isinstance(kappa, ConditionNumber) and kappa == kappa:
            return kappa
        if not isinstance(kappa, Real) or kappa != kappa:
            raise ValueError(
                f"`condition_number` must have a method estimate(matrix) that returns a number >= 1; {self.own!r} "
                f"returned {kappa!r}"
            )
        return ConditionNumber(max(1.0, float(kappa)), "estimate", type(self.own).__name__)
