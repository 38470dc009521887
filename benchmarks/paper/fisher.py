"""The empirical Fisher matrix of one array of parameters, from the gradients of B sequences, without an N x N matrix.

With G of shape (B, N), F = G^T G / B has a rank of at most B, and everything follows from the smaller of
G G^T and G^T G.
"""

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from qnewton_sk import oracle_sparsity

SAMPLED_ROWS = 64
"""Maximum number of rows of F whose sparsity is counted; F of 16,384 parameters would take 2 GB."""

TINY = 1e-10
"""Added to max|F| before it scales the damping, as in the paper's published code."""


@dataclass(frozen=True)
class FisherFigures:
    """Facts about F + shift I for the cost models and the tables."""

    n: int
    shift: float
    kappa: float
    largest_entry: float
    largest_eigenvalue: float
    effective_rank: float
    row_sparsity: int


class Fisher:
    """F = G^T G / B of gradients per sequence G of shape (B, N), with the damping eps (max|F| + 1e-10)."""

    def __init__(self, gradients, eps):
        self.G = np.asarray(gradients)
        self.B, self.n = self.G.shape
        # the largest entry of a positive semidefinite matrix lies on its diagonal
        self.largest_entry = float(np.einsum("bn,bn->n", self.G, self.G).max()) / self.B
        self.shift = eps * (self.largest_entry + TINY)
        self._gram = None

    @property
    def gram(self):
        """G G^T or G^T G, whichever is smaller, in double precision."""
        if self._gram is None:
            product = self.G @ self.G.T if self.B < self.n else self.G.T @ self.G
            self._gram = product.astype(float)
        return self._gram

    def solve(self, v):
        """Return (F + shift I)^-1 v by a Cholesky factorisation of order min(B, N) (Woodbury if B < N)."""
        damped = self.gram + self.B * self.shift * np.eye(len(self.gram))
        factor = linalg.cho_factor(damped, overwrite_a=True)
        if self.B >= self.n:
            return self.B * linalg.cho_solve(factor, v)
        return (v - linalg.cho_solve(factor, self.G @ v).astype(self.G.dtype) @ self.G) / self.shift

    def figures(self, rng):
        """Return `FisherFigures`; kappa is exact, the row sparsity is that of the sampled rows."""
        values = np.clip(np.linalg.eigvalsh(self.gram) / self.B, 0, None)
        smallest = 0.0 if self.B < self.n else values[0]
        norm = max(float(values[-1]), np.finfo(float).tiny)
        rows = rng.permutation(self.n)[:SAMPLED_ROWS]
        F = (self.G[:, rows].T @ self.G).astype(float) / self.B
        F[np.arange(len(rows)), rows] += self.shift
        return FisherFigures(
            self.n,
            self.shift,
            float((values[-1] + self.shift) / (smallest + self.shift)),
            self.largest_entry,
            norm,
            float(np.sum((values / norm) ** 2)),
            int(oracle_sparsity(F, 0.5).max()),
        )
