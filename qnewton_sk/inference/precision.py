"""The precision matrix of the Laplace posterior, factorised: determinant, variances, solves and draws."""

import numpy as np
from scipy import linalg

FIRST_JITTER = 1e-12
"""What is added first to a singular matrix, relative to its largest diagonal entry: some thousand rounding errors."""

MIN_PRECISION = 1e-150
"""Smaller precisions are raised, so that variances of predictions stay within the range of double precision."""

MAX_JITTER = 1e-2
"""Relative addition at which a factorisation is given up: nothing of the posterior would be left."""


class DensePrecision:
    """A = H + diag(prior), by a Cholesky factorisation of N x N entries.

    Parameters
    ----------
    H : ndarray of shape (N, N)
        Curvature of the data, symmetric and positive semidefinite up to rounding; not written to.
    prior : ndarray of shape (N,)
        Precision of the prior, nonnegative; 0.0 is a flat prior.

    Attributes
    ----------
    added : float
        Multiple of the identity without which A would be singular to rounding; 0.0 if none was needed.
    """

    def __init__(self, H, prior):
        self.prior = prior
        self._lower, self.added = cholesky_with_jitter(H, prior)

    @property
    def log_determinant(self):
        """log det A."""
        return 2.0 * float(np.log(self._lower.diagonal()).sum())

    def variances(self):
        """Return the diagonal of the inverse of A, shape (N,)."""
        inverse, _ = linalg.lapack.dtrtri(self._lower, lower=1)
        return np.einsum("ij,ij->j", inverse, inverse)

    def solve(self, B):
        """Return the inverse of A times B of shape (N, k)."""
        return linalg.cho_solve((self._lower, True), B, check_finite=False)

    def covariances(self, J):
        """Return J_n A^-1 J_n^T for Jacobians of shape (K, n, N), shape (n, K, K)."""
        K, n, _ = J.shape
        half = linalg.solve_triangular(self._lower, J.reshape(K * n, -1).T, lower=True, check_finite=False)
        half = half.reshape(-1, K, n)
        return np.stack([np.einsum("pn,pln->nl", half[:, k], half) for k in range(K)], axis=1)

    def draw(self, random_state, count):
        """Return draws from N(0, inverse of A), shape (N, count)."""
        normal = random_state.standard_normal((len(self.prior), count))
        return linalg.solve_triangular(self._lower, normal, lower=True, trans="T", check_finite=False)


class LowRankPrecision:
    """A = G^T G + diag(prior) with fewer rows in G than parameters, by the Woodbury identity.

    Parameters without a prior (intercepts of the outputs) are eliminated: with F those parameters, P the others
    and C = I + G_P diag(prior_P)^-1 G_P^T, det A = det(prior_P) det(C) det(G_F^T C^-1 G_F) (Golub and Van Loan,
    4th ed., sections 2.1.4 and 3.2.6).

    Parameters
    ----------
    G : ndarray of shape (rank, N)
        Factor of the curvature of the data.
    prior : ndarray of shape (N,)
        Precision of the prior, nonnegative, 0.0 for a few parameters.

    Attributes
    ----------
    added : float
        As of `DensePrecision`: what was added for the parameters without a prior, or the precision to which smaller
        ones of the others were raised.

    Raises
    ------
    scipy.linalg.LinAlgError
        If G^T G is not finite.
    """

    def __init__(self, G, prior):
        self._free = np.flatnonzero(prior == 0)
        self._kept = np.flatnonzero(prior)
        self.prior, lowest = self._resolved(G, prior)
        self._G = G
        scaled = G[:, self._kept] / np.sqrt(self.prior[self._kept])
        C = scaled @ scaled.T
        C.reshape(-1)[:: len(C) + 1] += 1.0
        self._capacitance, _ = cholesky_with_jitter(C, np.zeros(len(C)))
        self._half = self._whiten(G[:, self._free])  # rows of C^-1/2 G_F
        schur = self._half.T @ self._half
        self._schur, added = cholesky_with_jitter(schur, np.zeros(len(schur)))
        self.added = max(added, lowest)

    def _resolved(self, G, prior):
        """Return the prior that rounding resolves beside the curvature, and what it was raised to, or 0.0."""
        with np.errstate(over="ignore", invalid="ignore"):
            scale = float(np.einsum("ij,ij->j", G, G).max(initial=0.0))
        if not np.isfinite(scale):
            raise linalg.LinAlgError("the curvature is not finite, hence not positive semidefinite")
        lowest = max(FIRST_JITTER * scale, MIN_PRECISION)
        if not (prior[self._kept] < lowest).any():
            return prior, 0.0
        return np.where(prior == 0, 0.0, np.maximum(prior, lowest)), lowest

    def _whiten(self, B):
        return linalg.solve_triangular(self._capacitance, B, lower=True, check_finite=False)

    @property
    def log_determinant(self):
        """log det A."""
        halves = (np.log(factor.diagonal()).sum() for factor in (self._capacitance, self._schur))
        return float(np.log(self.prior[self._kept]).sum() + 2.0 * sum(halves))

    def variances(self):
        """Return the diagonal of the inverse of A, shape (N,)."""
        kept, free, out = self._kept, self._free, np.empty_like(self.prior)
        rows = self._whiten(self._G[:, kept])
        variance = self.prior[kept] - np.einsum("ij,ij->j", rows, rows)
        coupling = linalg.solve_triangular(self._schur, self._half.T @ rows, lower=True)
        out[kept] = (
            (variance + np.einsum("ij,ij->j", coupling, coupling)) / self.prior[kept] / self.prior[kept]
        )
        inverse = linalg.solve_triangular(self._schur, np.eye(len(free)), lower=True)
        out[free] = np.einsum("ij,ij->j", inverse, inverse)
        return out

    def solve(self, B):
        """Return the inverse of A times B of shape (N, k)."""
        kept, free, out = self._kept, self._free, np.empty_like(B)
        rows = self._whiten(self._G[:, kept])
        scaled = B[kept] / self.prior[kept, None]
        seen = self._whiten(self._G[:, kept] @ scaled)
        out[free] = linalg.cho_solve((self._schur, True), B[free] - self._half.T @ seen)
        seen = seen + self._half @ out[free]
        out[kept] = scaled - (rows.T @ seen) / self.prior[kept, None]
        return out

    def covariances(self, J):
        """Return J_n A^-1 J_n^T for Jacobians of shape (K, n, N), shape (n, K, K)."""
        K, n, _ = J.shape
        V = self.solve(J.reshape(K * n, -1).T).reshape(-1, K, n)
        out = np.stack([np.einsum("np,pln->nl", J[k], V, optimize=True) for k in range(K)], axis=1)
        return (out + out.swapaxes(1, 2)) / 2

    def draw(self, random_state, count):
        """Return draws from N(0, inverse of A), shape (N, count)."""
        rank, n = self._G.shape
        right = self._G.T @ random_state.standard_normal((rank, count))
        right += np.sqrt(self.prior)[:, None] * random_state.standard_normal((n, count))
        return self.solve(right)


def cholesky_with_jitter(H, diagonal):
    """Return (lower factor of H + diag(diagonal) + added I, added)."""
    if not len(H):
        return H, 0.0
    scale = float(np.max(H.diagonal() + diagonal)) or 1.0
    if not np.isfinite(scale):
        raise linalg.LinAlgError("the curvature is not finite, hence not positive semidefinite")
    added, lowest = 0.0, 2.0 * MIN_PRECISION  # twice, since the factor's entries are rounded
    while True:
        A = H.T.copy(order="F")
        A.reshape(-1, order="F")[:: len(A) + 1] += diagonal + added
        lower, info = linalg.lapack.dpotrf(A, lower=1, clean=1, overwrite_a=1)
        if info == 0 and np.isfinite(lower.diagonal()).all() and lower.diagonal().min() ** 2 >= MIN_PRECISION:
            return lower, added
        added = max(10.0 * added, FIRST_JITTER * scale, lowest)
        if not added <= max(MAX_JITTER * scale, lowest):
            raise linalg.LinAlgError("the curvature is not positive semidefinite")
