"""Symmetric matrices with a known spectrum, for the tests of measurements on them."""

import math

import numpy as np

from qnewton_sk.systems.system_matrix import SystemMatrix


def symmetric(n, seed=0, dtype=float):
    B = np.random.default_rng(seed).standard_normal((n, n)).astype(dtype)
    return B + B.T


def with_eigenvalues(values, seed=0):
    n = len(values)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    H = (Q * np.asarray(values, dtype=float)) @ Q.T
    return (H + H.T) / 2


def true_kappa(A):
    magnitudes = np.abs(np.linalg.eigvalsh(A))
    return magnitudes.max() / magnitudes.min() if magnitudes.min() else math.inf


def semidefinite(n, rank, shift, seed=0):
    G = np.random.default_rng(seed).standard_normal((rank, n))
    return SystemMatrix.from_entries(G.T @ G, semidefinite=True).shifted(shift)
