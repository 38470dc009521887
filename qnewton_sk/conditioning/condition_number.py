"""Condition numbers in the 2-norm: exact, bounded or estimated, each with its kind and its cost."""

from typing import Any

from scipy import sparse

from qnewton_sk.systems import SystemMatrix, checked_symmetric, scale_of

from .bounds import DeterminantCondition, OneNormCondition, ShiftCondition, determinant_bound
from .estimators import AutoCondition, ExactCondition, LanczosCondition, ProductsCondition
from .record import ConditionEstimator, ConditionNumber, OwnEstimator


def condition_number(H: Any, method: str = "lanczos") -> ConditionNumber:
    """Return the condition number of a symmetric matrix in the 2-norm.

    Parameters
    ----------
    H : ndarray or scipy.sparse array of shape (n, n), or SystemMatrix
        Symmetric up to sqrt(machine epsilon) times its largest entry. A `SystemMatrix` has its shift, what is
        known of its definiteness, and the factorisations that it keeps.
    method : str or object, default="lanczos"
        - "exact": all eigenvalues, 4/3 n^3 flops.
        - "determinant": the upper bound of Merikoski et al. from the determinant and the Frobenius norm. The
          determinant takes a factorisation of 2/3 n^3 flops (1/3 if definite) unless one is kept, and the
          bound is loose by tens of orders of magnitude from n of about 100 on.
        - "lanczos": an estimate, from below, by Lanczos on the matrix and on its factorised inverse.
        - "one_norm": LAPACK's estimate of the condition number in the 1-norm from a factorisation;
          at least the one in the 2-norm, up to the estimator's slack.
        - "shift": an upper bound in O(n^2) if the matrix is positive semidefinite plus a shift, or diagonally
          dominant; inf if neither gives a bound.
        - "products": an estimate, from below, from a few products.
        - "auto": chosen by size, structure and the factorisations that exist.
        - an object with a method ``estimate(matrix: SystemMatrix) -> ConditionNumber``.

    Returns
    -------
    ConditionNumber
        A float with the attributes `kind` ("exact", "upper bound" or "estimate"), `method` and `flops`.
        inf for a singular matrix.

    Raises
    ------
    ValueError
        If H is empty, not square, not symmetric or not finite, or the method unknown.

    References
    ----------
    Merikoski, Urpala, Virtanen, Tam, Uhlig (1997), A best upper bound for the 2-norm condition number of a
    matrix, Linear Algebra and its Applications 254.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk import condition_number
    >>> kappa = condition_number(np.diag([1.0, -2.0, 10.0]), method="exact")
    >>> float(kappa), kappa.kind
    (10.0, 'exact')
    """
    estimator = as_estimator(method, "method")
    if isinstance(H, SystemMatrix):
        return estimator.estimate(H)
    H = checked_symmetric(H)
    scale = scale_of(H.data if sparse.issparse(H) else H)
    kappa = estimator.estimate(SystemMatrix.from_entries(H / scale if scale != 1.0 else H, check=False))
    return kappa.rescaled(scale)


def as_estimator(method, name="condition_number"):
    """Return the `ConditionEstimator` of a name, or that of an object with a method `estimate`.

    Parameters
    ----------
    method : str or object
        What the user gave.
    name : str, default="condition_number"
        Parameter that the message names.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]
    if isinstance(method, ConditionEstimator):
        return method
    if not isinstance(method, (str, type)) and callable(getattr(method, "estimate", None)):
        return OwnEstimator(method)
    raise ValueError(
        f"`{name}` must be one of {sorted(METHODS)} or an object with a method "
        f"estimate(matrix); got {method!r}"
    )


METHODS = {
    "auto": AutoCondition(),
    "exact": ExactCondition(),
    "determinant": DeterminantCondition(),
    "lanczos": LanczosCondition(),
    "one_norm": OneNormCondition(),
    "shift": ShiftCondition(),
    "products": ProductsCondition(),
}
"""Estimators by the name that a user gives."""

__all__ = [
    "METHODS",
    "AutoCondition",
    "ConditionEstimator",
    "ConditionNumber",
    "DeterminantCondition",
    "ExactCondition",
    "LanczosCondition",
    "OneNormCondition",
    "ProductsCondition",
    "ShiftCondition",
    "as_estimator",
    "condition_number",
    "determinant_bound",
]
