"""Condition numbers in the 2-norm: exact, bounded or estimated, each labelled and with what it cost."""

import math

import numpy as np
from scipy import linalg, sparse
from sklearn.base import BaseEstimator

from qnewton_sk.systems import (
    SystemMatrix,
    cholesky_factor,
    cholesky_solve,
    ldl_eigenvalues_of_d,
    ldl_factor,
    ldl_inertia,
    ldl_solve,
    lu_factor,
    lu_solve,
    sparse_lu_factor,
    sparse_lu_flops,
    sparse_lu_solve,
    symmetric_product,
)

from .checks import checked_symmetric
from .lanczos import block_lanczos

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
        How it was found.
    flops : float, default=0.0
        Floating-point operations spent, factorisations that existed before not counted.
    norm : float, default=None
        Spectral norm, as found on the way.
    positive_definite : bool, default=None
        Whether the matrix is, where that came to light.

    Examples
    --------
    >>> from qnewton_sk.conditioning.condition_number import ConditionNumber
    >>> kappa = ConditionNumber(100.0, "upper bound", "mine")
    >>> kappa * 2, kappa.kind
    (200.0, 'upper bound')
    """

    def __new__(cls, value, kind, method="", flops=0.0, norm=None, positive_definite=None):
        """Build the float and attach the labels."""
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}; got {kind!r}")
        self = super().__new__(cls, value)
        self.kind, self.method, self.flops = kind, method, float(flops)
        self.norm, self.positive_definite = norm, positive_definite
        return self

    def __getnewargs__(self):
        """Let copy and pickle rebuild it."""
        return float(self), self.kind, self.method, self.flops, self.norm, self.positive_definite

    def __repr__(self):
        """Value and kind, as in ``ConditionNumber(100.0, 'upper bound')``."""
        return f"ConditionNumber({float(self)!r}, {self.kind!r})"


def condition_number(H, method="lanczos"):
    """Return the condition number of a symmetric matrix in the 2-norm.

    Parameters
    ----------
    H : ndarray or scipy.sparse array of shape (n, n), or SystemMatrix
        Symmetric up to sqrt(machine epsilon) times its largest entry. A `SystemMatrix` brings along its
        shift, what is known of its definiteness and the factorisations that it keeps.
    method : str or object, default="lanczos"
        - "exact": all eigenvalues, 4/3 n^3 flops.
        - "determinant": the upper bound of Merikoski et al. from the determinant and the Frobenius norm. The
          determinant is itself a factorisation of 2/3 n^3 flops (1/3 where definite) unless one is kept, and
          the bound is loose by tens of orders of magnitude from n of about 100 on.
        - "lanczos": an estimate, from below, by Lanczos on the matrix and on its factorised inverse.
        - "one_norm": LAPACK's estimate of the condition number in the 1-norm from a factorisation;
          at least the one in the 2-norm, up to the estimator's slack.
        - "shift": an upper bound in O(n^2) where the matrix is positive semidefinite plus a shift, or
          diagonally dominant; inf where neither gives a bound.
        - "products": an estimate, from below, from a few products alone.
        - "auto": by size, structure and what has been paid for already.
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
    return as_estimator(method).estimate(as_system_matrix(H))


def as_system_matrix(H, name="H"):
    """Check a symmetric matrix and wrap it; a `SystemMatrix` passes as it is.

    Raises
    ------
    ValueError
        If it is empty, not square, not symmetric to sqrt(machine epsilon) times its largest entry, not
        real or not finite.
    """
    return H if isinstance(H, SystemMatrix) else SystemMatrix.from_entries(checked_symmetric(H, name))


def as_estimator(method):
    """Return the estimator of a name, or the object itself where it has a method `estimate`.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(method, str) and method in METHODS:
        return METHODS[method]
    if not isinstance(method, str) and callable(getattr(method, "estimate", None)):
        return method
    raise ValueError(
        f"`condition_number` must be one of {sorted(METHODS)} or an object with a method "
        f"estimate(matrix); got {method!r}"
    )


def _ratio(large, small):
    """large / small as Python floats; inf where `small` is 0 or anything is not finite."""
    large, small = float(large), float(small)
    if not (math.isfinite(large) and small > 0):
        return math.inf
    with np.errstate(over="ignore"):
        return max(1.0, float(np.float64(large) / small))


class ExactCondition(BaseEstimator):
    """Ratio of the extreme magnitudes among all eigenvalues."""

    def estimate(self, matrix):
        """Return the exact condition number, to rounding, for 4/3 n^3 flops."""
        A, flops = matrix.dense(), 4 / 3 * matrix.n**3
        if not np.isfinite(A).all():
            return ConditionNumber(math.inf, "exact", "exact", 0.0)
        values = linalg.eigh(A, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd")
        magnitudes = np.abs(values)
        kappa, norm = _ratio(magnitudes.max(), magnitudes.min()), float(magnitudes.max())
        return ConditionNumber(kappa, "exact", "exact", flops, norm, bool(values[0] > 0))


def determinant_bound(n, log_abs_det, log_size, definite=False, eps=2.0**-52):
    """Upper bound of kappa_2 from the determinant, in logarithms throughout.

    With q = (n / ||A||_F^2)^n |det A|^2 and x = sqrt(1 - q): kappa <= sqrt((1 + x) / (1 - x)) for any
    matrix. With q = (n / tr A)^n det A: kappa <= (1 + x) / (1 - x) for a positive definite one.

    Parameters
    ----------
    n : int
        Order of the matrix.
    log_abs_det : float
        ln |det A|.
    log_size : float
        ln ||A||_F, or ln tr A for the definite form.
    definite : bool, default=False
        Use the definite form.
    eps : float, default=2**-52
        Relative rounding error of the arithmetic that gave the determinant.

    Returns
    -------
    float
        The bound; inf where it overflows.

    References
    ----------
    Merikoski, Urpala, Virtanen, Tam, Uhlig (1997), Linear Algebra and its Applications 254.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.conditioning.condition_number import determinant_bound
    >>> A = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> round(determinant_bound(2, np.linalg.slogdet(A)[1], np.log(np.linalg.norm(A))), 3)
    14.933
    """
    log_q = (
        n * (math.log(n) - log_size) + log_abs_det
        if definite
        else n * (math.log(n) - 2 * log_size) + 2 * log_abs_det
    )
    # What rounding may have added to ln q is taken off, so that the bound holds.
    log_q -= 8 * n * eps * (1 + abs(log_size) + abs(log_abs_det) / n)
    x = math.sqrt(max(-math.expm1(log_q), 0.0)) if log_q < 0 else 0.0
    log_bound = 2 * math.log1p(x) - log_q if definite else math.log1p(x) - log_q / 2
    # The factorisation is that of a matrix closer than n eps ||A||, whose determinant differs by n eps kappa.
    log_bound += min(1.0, 8 * n * eps * math.exp(min(log_bound, 700.0)))
    return math.exp(log_bound) if log_bound < 709 else math.inf


class DeterminantCondition(BaseEstimator):
    """The paper's bound from the determinant, through a kept factorisation or a new one."""

    def estimate(self, matrix):
        """Return an upper bound for the cost of a factorisation, 2/3 n^3 flops (1/3 where definite)."""
        name, payload, flops = factorisation(matrix, "lu", sparse_too=False)
        if payload[-1] != 0:
            return ConditionNumber(math.inf, "upper bound", "determinant", flops)
        log_abs_det = _log_abs_det(name, payload)
        definite = name == "cholesky"
        size = _trace(matrix) if definite else _frobenius(matrix)
        bound = determinant_bound(
            matrix.n, log_abs_det, math.log(size), definite, float(np.finfo(_working(matrix.dtype)).eps)
        )
        return ConditionNumber(bound, "upper bound", "determinant", flops, None, definite or None)


def _log_abs_det(name, payload):
    if name == "ldl":
        d = ldl_eigenvalues_of_d(payload)
    else:
        d = payload[0].diagonal().astype(float)
    return float(np.log(np.abs(d)).sum()) * (2 if name == "cholesky" else 1)


def _frobenius(matrix):
    H = matrix.entries()
    data = H.data if sparse.issparse(H) else H
    unit = max(float(data.max(initial=0)), -float(data.min(initial=0)), abs(matrix.shift)) or 1.0
    if 1e-100 < unit < 1e100:
        unit = 1.0
    else:
        data = data / unit  # its squares would under- or overflow
    shift = matrix.shift / unit
    trace = float(H.diagonal().sum(dtype=float)) / unit
    squares = float(np.vdot(data, data)) + 2 * shift * trace + matrix.n * shift**2
    return unit * math.sqrt(max(squares, 0.0))


def _trace(matrix):
    return float(matrix.entries().diagonal().sum(dtype=float)) + matrix.n * matrix.shift


SOLVES = {"cholesky": cholesky_solve, "ldl": ldl_solve, "lu": lu_solve, "sparse_lu": sparse_lu_solve}
FACTORS = {"cholesky": cholesky_factor, "ldl": ldl_factor, "lu": lu_factor, "sparse_lu": sparse_lu_factor}

SUPERLU_SLOWDOWN = 6.0
"""Rate of a dense LDL^T over that of SuperLU, per flop (measured, n = 2000 to 4000)."""


def factorisation(matrix, otherwise="ldl", sparse_too=True):
    """Return (name, payload, flops spent) of a factorisation: a kept one before a new one.

    A new one is a Cholesky factorisation where the structure says definite, a sparse LU where that is
    predicted to be faster, else the one named.
    """
    for name in SOLVES:
        if name in matrix.kept and (sparse_too or name != "sparse_lu"):
            payload = FACTORS[name](matrix)
            if payload[-1] == 0:
                return name, payload, 0.0
    name = _new_factorisation(matrix, otherwise, sparse_too)
    payload, flops = FACTORS[name](matrix), _factor_flops(name, matrix)
    if payload[-1] > 0 and name == "cholesky":
        return otherwise, FACTORS[otherwise](matrix), flops + _factor_flops(otherwise, matrix)
    return name, payload, flops


def _new_factorisation(matrix, otherwise, sparse_too):
    if sparse_too and matrix.is_sparse:
        if SUPERLU_SLOWDOWN * _factor_flops("sparse_lu", matrix) < matrix.n**3 / 3:
            return "sparse_lu"
    return (
        "cholesky"
        if matrix.semidefinite and matrix.shift > 0 and "cholesky" not in matrix.kept
        else otherwise
    )


def _factor_flops(name, matrix):
    if name == "sparse_lu":
        return sparse_lu_flops(matrix.n, matrix.entries().nnz)
    return (2 / 3 if name == "lu" else 1 / 3) * float(matrix.n) ** 3


def block_product(matrix):
    """Return the function V -> A V for V of shape (n, k): one product of matrices where entries exist."""
    if not matrix.assembled:
        return lambda V: np.stack([matrix.product(v) for v in V.T], axis=1)
    H, shift = matrix.entries(), matrix.shift

    def product(V):
        HV = symmetric_product(H, np.ascontiguousarray(V[:, 0]))[:, None] if V.shape[1] == 1 else H @ V
        return HV + shift * V if shift else HV

    return product


SKETCH, LEADING = 64, 16
"""Rows whose random sum starts a Lanczos iteration for the norm, and how many of them have the largest
diagonal entries: two products then give 0.9 to 1 of the norm on Hessians of digits, else 0.4 to 1."""


def norm_start(matrix):
    """Return a vector of shape (n, 1) rich in the eigenvectors of large magnitude, or None without entries.

    The product with a sparse random vector: a power step for the price of reading a few rows, among them
    those of the largest diagonal entries.
    """
    if not matrix.assembled or matrix.is_sparse:
        return None
    H, rng = matrix.entries(), np.random.default_rng(0)
    chosen = rng.permutation(matrix.n)[:SKETCH]
    chosen[:LEADING] = np.argsort(-np.abs(H.diagonal()))[: min(LEADING, chosen.size)]
    with np.errstate(invalid="ignore", over="ignore"):
        v = rng.standard_normal(chosen.size) @ H[chosen]
        size = np.linalg.norm(v)
    return (v / size)[:, None] if np.isfinite(size) and size > 0 else None


class LanczosCondition(BaseEstimator):
    """Extreme magnitudes by block Lanczos on the matrix and on its factorised inverse.

    Parameters
    ----------
    tol : float, default=0.005
        Stop either iteration once a step adds no more than this share; 0 for all steps.
    patience : int, default=3
        For so many steps in a row: a step alone may add little while another eigenvalue comes up.
    max_steps : int, default=60
        Block steps at most; two less for the norm where tol is 0, which then starts from a sketch of A.
    block : int, default=4
        Vectors a step; with a few at once, an eigenvalue is harder to miss.
    """

    def __init__(self, tol=0.005, patience=3, max_steps=60, block=4):
        self.tol = tol
        self.patience = patience
        self.max_steps = max_steps
        self.block = block

    def estimate(self, matrix):
        """Return an estimate from below for one factorisation, unless kept, and some 10 products."""
        start = norm_start(matrix) if self.tol == 0 else None
        high = self._run(block_product(matrix), matrix, start)
        if not np.isfinite(high.values).all():
            return ConditionNumber(math.inf, "estimate", "lanczos", high.products * matrix.product_flops)
        name, payload, flops = factorisation(matrix, "ldl")
        flops += high.products * matrix.product_flops
        norm = high.largest_magnitude
        if payload[-1] != 0:
            return ConditionNumber(math.inf, "estimate", "lanczos", flops, norm)
        low = self._run(lambda V: SOLVES[name](payload, V), matrix)
        flops += low.products * 2.0 * matrix.n**2
        definite = _definite(name, payload, min(low.values[0], high.values[0]))
        kappa = _ratio(norm, 1 / low.largest_magnitude)
        return ConditionNumber(kappa, "estimate", "lanczos", flops, norm, definite)

    def _run(self, apply, matrix, start=None):
        return block_lanczos(
            apply,
            matrix.n,
            block=self.block,
            max_steps=self.max_steps if start is None else max(2, self.max_steps - 2),
            tol=self.tol,
            patience=self.patience,
            start=start,
            dtype=_working(matrix.dtype),
        )


def _definite(name, payload, lowest):
    """Whether a matrix is positive definite: known from symmetric pivots, else False or unknown (None)."""
    if name == "cholesky":
        return True
    if name == "ldl":
        inertia = ldl_inertia(payload)
        return inertia.negative == 0 and inertia.zero == 0
    if name == "sparse_lu" and np.array_equal(payload[0].perm_r, payload[0].perm_c):
        return bool((payload[0].U.diagonal() > 0).all())  # pivots on the diagonal: A = L U with U = D L^T
    return None if lowest > 0 else False


def _working(dtype):
    return np.float32 if dtype == np.float32 else np.float64


class OneNormCondition(BaseEstimator):
    """LAPACK's estimate in the 1-norm (gecon, pocon, sycon), through a kept factorisation or a new one."""

    def estimate(self, matrix):
        """Return an estimate that lies above kappa_2 up to the slack of the estimator."""
        name, payload, flops = factorisation(matrix, "lu", sparse_too=False)
        if payload[-1] != 0:
            return ConditionNumber(math.inf, "estimate", "one_norm", flops)
        norm = _one_norm(matrix)
        reciprocal = _reciprocal(name, payload, norm)
        flops += 12.0 * matrix.n**2
        return ConditionNumber(
            _ratio(1.0, reciprocal), "estimate", "one_norm", flops, None, name == "cholesky" or None
        )


def _one_norm(matrix):
    H, shift = matrix.entries(), matrix.shift
    diagonal = H.diagonal()
    sums = np.asarray(abs(H).sum(axis=0)).ravel()
    return float((sums - np.abs(diagonal) + np.abs(diagonal + shift)).max())


def _reciprocal(name, payload, norm):
    routine = {"lu": "gecon", "cholesky": "pocon", "ldl": "sycon"}[name]
    estimate = linalg.get_lapack_funcs(routine, (payload[0],))
    if name == "lu":
        return float(estimate(payload[0], norm)[0])
    if name == "cholesky":
        return float(estimate(payload[0], norm, uplo="L")[0])
    return float(estimate(payload[0], payload[1], norm, lower=1)[0])


class ShiftCondition(BaseEstimator):
    """(upper bound of the norm) / (lower bound of the smallest magnitude), in O(n^2).

    For H positive semidefinite by structure and A = H + shift I, the smallest eigenvalue is at least the
    shift; for any matrix it is at least what Gershgorin's discs leave. The norm is bounded by the trace, the
    Frobenius norm, and max_i (|H| x)_i / x_i with x = |H| 1 (Collatz, Wielandt).
    """

    def estimate(self, matrix):
        """Return an upper bound, inf where nothing bounds the smallest eigenvalue away from 0."""
        H, shift, n = matrix.entries(), matrix.shift, matrix.n
        diagonal, magnitudes = H.diagonal().astype(float), abs(H)
        sums = np.asarray(magnitudes.sum(axis=1, dtype=float)).ravel()
        if not np.isfinite(sums).all():
            return ConditionNumber(math.inf, "upper bound", "shift", n**2)
        norm = min(_frobenius(matrix.shifted(0.0)), _collatz(magnitudes, sums))
        low = float((np.abs(diagonal + shift) - (sums - np.abs(diagonal))).min())
        definite = True if low > 0 and (diagonal + shift > 0).all() else None
        slack = 4 * n * float(np.finfo(matrix.dtype).eps)  # rounding of the sums and of H itself
        norm *= 1 + slack
        if matrix.semidefinite and shift > 0:
            norm = min(norm, float(diagonal.sum()) * (1 + slack))
            low, definite = max(low, shift), True
        low -= slack * norm
        norm += abs(shift)
        return ConditionNumber(_ratio(norm, low), "upper bound", "shift", 6.0 * n**2, norm, definite)


def _collatz(magnitudes, sums):
    positive = sums > 0
    if not positive.any():
        return 0.0
    return float(((magnitudes @ sums)[positive] / sums[positive]).max())


class ProductsCondition(BaseEstimator):
    """Estimate from below by a few products alone; never assembles.

    Parameters
    ----------
    products : int, default=24
        How many; more only sharpen the estimate.
    """

    def __init__(self, products=24):
        self.products = products

    def estimate(self, matrix):
        """Return max ||A x|| max 1/||A x|| over unit vectors of the Krylov space, at most kappa.

        For a semidefinite matrix plus shift: max ||A x|| / shift, as the smallest eigenvalue is at least the
        shift.
        """
        ritz = block_lanczos(
            block_product(matrix), matrix.n, block=1, max_steps=self.products, dtype=_working(matrix.dtype)
        )
        flops = ritz.products * matrix.product_flops
        if not np.isfinite(ritz.values).all():
            return ConditionNumber(math.inf, "estimate", "products", flops)
        definite = False if ritz.values[0] < 0 else None
        norm = ritz.largest_magnitude
        if matrix.semidefinite and matrix.shift > 0:
            return ConditionNumber(_ratio(norm, matrix.shift), "estimate", "products", flops, norm, True)
        kappa = math.inf if norm == 0 else _ratio(norm * ritz.inverse_bound, 1.0)
        return ConditionNumber(kappa, "estimate", "products", flops, norm, definite)


class AutoCondition(BaseEstimator):
    """The cheapest of the others that serves, by size, structure and what has been paid for.

    A few steps of Lanczos give 0.8 to 1 of the truth where measured: enough to choose a solver by.

    Kept factorisation: a few steps of "lanczos" with it. Semidefinite plus shift with entries: "shift". No
    entries: "products". Up to order `exact_up_to`: "exact". Else a few steps of "lanczos" with a new
    factorisation that the solver uses again.

    Parameters
    ----------
    exact_up_to : int, default=64
        Largest order for which all eigenvalues are computed.
    steps : int, default=4
        Products, and substitutions, of the quick "lanczos"; half as many more up to order 1000, where they
        cost less beside the factorisation's overhead.
    """

    def __init__(self, exact_up_to=64, steps=4):
        self.exact_up_to = exact_up_to
        self.steps = steps

    def choose(self, matrix):
        """Return the estimator that `estimate` would use."""
        if any(name in matrix.kept for name in SOLVES):
            return self._quick(matrix)
        if matrix.semidefinite and matrix.shift > 0:
            return METHODS["shift"] if matrix.assembled else METHODS["products"]
        if not matrix.assembled:
            return METHODS["products"]
        return METHODS["exact"] if matrix.n <= self.exact_up_to else self._quick(matrix)

    def _quick(self, matrix):
        steps = self.steps if matrix.n > 1000 else math.ceil(1.5 * self.steps)
        return LanczosCondition(tol=0.0, max_steps=steps, block=1)

    def estimate(self, matrix):
        """Return what the chosen estimator says."""
        return self.choose(matrix).estimate(matrix)


METHODS = {
    "auto": AutoCondition(),
    "exact": ExactCondition(),
    "determinant": DeterminantCondition(),
    "lanczos": LanczosCondition(),
    "one_norm": OneNormCondition(),
    "shift": ShiftCondition(),
    "products": ProductsCondition(),
}
