"""Linear systems with their exact facts, or with none measured, for the tests of the solvers."""

import numpy as np

from qnewton_sk import LinearSystem, SystemFacts, SystemMatrix
from qnewton_sk.conditioning.prepare import known_facts


def system_of(A, b, tol=1e-3, **facts):
    """The system of a matrix with its exact facts, those given overridden."""
    size = np.abs(np.linalg.eigvalsh(A)) if np.isfinite(A).all() else np.array([1.0])
    measured = {"n": len(b), "kappa": size.max() / size.min() if size.min() else None, "norm": size.max()}
    measured.update(max_abs=np.abs(A).max() or None, **facts)
    return LinearSystem(SystemMatrix.from_entries(A), b, tol, SystemFacts(**measured))


def random_system(n, kappa, seed, tol=1e-3, definite=False, scale=1.0):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.geomspace(1 / kappa, 1, n) if n > 1 else np.ones(1)
    if not definite:
        values = values * rng.choice([-1, 1], n)
    A = scale * (Q * values) @ Q.T
    return system_of((A + A.T) / 2, rng.standard_normal(n), tol)


def error(solution, system):
    x = np.linalg.solve(system.matrix.dense(), system.rhs)
    return np.linalg.norm(solution.x - x) / np.linalg.norm(x)


def unmeasured(matrix, b, tol, shift=0.0, **facts):
    """The system (H + shift I) x = b with the facts that are known without measuring, those given overridden."""
    A = matrix.shifted(shift)
    return LinearSystem(A, b, tol, SystemFacts(**(known_facts(A) | facts)))
