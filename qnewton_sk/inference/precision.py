"""The precision matrix of the Laplace posterior, factorised: determinant, variances, solves and draws."""

from functools import cached_property

import numpy as np
from scipy import linalg
from sklearn.utils import gen_batches

FIRST_JITTER = 1e-12
"""What is added first to a singular matrix, relative to its largest diagonal entry: some thousand rounding errors."""

MIN_PRECISION = 1e-150
"""Smaller precisions are raised, so that variances of predictions stay within the range of double precision."""

MAX_JITTER = 1e-2
"""Relative addition at which a factorisation is given up: nothing of the posterior would be left."""

INVERSE_COST = 2 / 3
"""Operations of an inverse in units of N^3, where a triangular solve takes N^2 a row and a contraction N^2 a sample."""

MAX_PIVOT_RATIO = 1e5
"""Ratio of the Cholesky factor's pivots up to which the inverse is used, whose entries cancel in the variance of an
output: a condition number of 1e10 leaves six digits."""

JACOBIAN_BYTES = 2**24
"""Memory for the Jacobians of the samples that are solved with at a time."""

CONTRACTED_BYTES = 2**22
"""Memory for samples times the block of the inverse that they are contracted with."""


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
        return self._variances

    @cached_property
    def _variances(self):
        inverse, _ = linalg.lapack.dtrtri(self._lower, lower=1)
        return np.einsum("ij,ij->j", inverse, inverse)

    def solve(self, B):
        """Return the inverse of A times B of shape (N, k)."""
        return linalg.cho_solve((self._lower, True), B, check_finite=False)

    def covariances(self, layers):
        """Return J_n A^-1 J_n^T for the samples' Jacobians, whose rows are given layer by layer; shape (n, K, K).

        By a triangular solve with all rows, or by the inverse of A, which the inputs of a sample contract before its K
        outputs come in: N^2 operations a sample in place of K N^2.
        """
        N, (K, n) = len(self.prior), layers[0].derivatives.shape[1:]
        if INVERSE_COST * N + n < K * n and not self.added and self._is_even:
            with np.errstate(over="ignore", invalid="ignore"):  # beyond the range, infinity times zero
                out = self._contracted(layers)
            if np.isfinite(out).all():
                return out
        return _in_batches(self._solved, layers)

    def _solved(self, layers):
        half = linalg.solve_triangular(self._lower, jacobian(layers).T, lower=True, check_finite=False)
        return squares(half, layers[0].derivatives.shape[1])

    @property
    def _is_even(self):
        pivots = self._lower.diagonal()
        return pivots.max() <= MAX_PIVOT_RATIO * pivots.min()

    def _contracted(self, layers):
        K, n = layers[0].derivatives.shape[1:]
        upper = linalg.lapack.dpotri(self._lower, lower=1)[0].T
        ends = np.cumsum([len(layer.inputs) * len(layer.derivatives) for layer in layers])
        parts, out = [slice(a, b) for a, b in zip([0, *ends], ends)], np.zeros((n, K, K))
        for j, right in enumerate(layers):
            for left, part in zip(layers[: j + 1], parts):
                block = upper[part, parts[j]]
                if left is right:
                    block = block + np.triu(block, 1).T
                    out += _contracted_block(block, left, right)
                else:
                    term = _contracted_block(block, left, right)
                    out += term + term.swapaxes(1, 2)
        return out

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
        return self._variances

    @cached_property
    def _variances(self):
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

    def covariances(self, layers):
        """Return J_n A^-1 J_n^T for the samples' Jacobians, whose rows are given layer by layer; shape (n, K, K)."""
        return _in_batches(self._solved, layers)

    def _solved(self, layers):
        K, kept = layers[0].derivatives.shape[1], self._kept
        J = jacobian(layers).T
        root = np.sqrt(self.prior[kept])[:, None]
        right = J[kept] / root
        seen = self._whiten((self._G[:, kept] / root.T) @ right)
        free = linalg.solve_triangular(self._schur, J[self._free] - self._half.T @ seen, lower=True)
        with np.errstate(over="ignore", invalid="ignore"):
            of_prior = squares(right, K)
            # positive, since the prior has been raised to what rounding resolves
            out = of_prior - squares(seen, K) + squares(free, K)
        return np.where(np.isfinite(out), out, of_prior)  # beyond the range, the prior's infinity

    def draw(self, random_state, count):
        """Return draws from N(0, inverse of A), shape (N, count)."""
        rank, n = self._G.shape
        right = self._G.T @ random_state.standard_normal((rank, count))
        right += np.sqrt(self.prior)[:, None] * random_state.standard_normal((n, count))
        return self.solve(right)


def jacobian(layers):
    """Return the rows of all layers side by side, shape (K n, N); outputs first, then samples."""
    return np.concatenate([layer.columns() for layer in layers]).T


def _in_batches(covariances, layers):
    """Return the covariances of all samples, from batches whose Jacobians take `JACOBIAN_BYTES`."""
    K, n = layers[0].derivatives.shape[1:]
    n_params = sum(len(layer.inputs) * len(layer.derivatives) for layer in layers)
    out = np.empty((n, K, K))
    for rows in gen_batches(n, max(JACOBIAN_BYTES // (8 * K * n_params), 1)):
        out[rows] = covariances([layer.samples(rows) for layer in layers])
    return out


def squares(half, K):
    """Return half_n^T half_n for the columns of each sample, shape (n, K, K), of an array of shape (rows, K n)."""
    half = half.reshape(len(half), K, half.shape[1] // K)
    out = np.empty((half.shape[2], K, K))
    for k in range(K):
        for l in range(k + 1):
            out[:, k, l] = out[:, l, k] = np.einsum("pn,pn->n", half[:, k], half[:, l])
    return out


def _contracted_block(block, left, right):
    """Return J_n B J_n^T, shape (n, K, K), for the block B of the inverse with rows and columns of two layers."""
    P, (h, K, n), Q, q = len(left.inputs), left.derivatives.shape, len(right.inputs), len(right.derivatives)
    out, block = np.empty((n, K, K)), np.ascontiguousarray(block).reshape(P, -1)
    for rows in gen_batches(n, max(1, CONTRACTED_BYTES // (8 * block.shape[1]))):
        of_left = (left.inputs[:, rows].T @ block).reshape(-1, h, Q, q)
        of_units = np.einsum("nrjq,jn->nrq", of_left, right.inputs[:, rows])
        halves = left.derivatives[..., rows].transpose(2, 1, 0) @ of_units
        out[rows] = halves @ right.derivatives[..., rows].transpose(2, 0, 1)
    return out


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
