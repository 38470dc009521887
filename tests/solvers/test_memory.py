"""Large arrays go as soon as nothing uses them, without the help of Python's cyclic collector."""

import gc
import weakref

import cases
import numpy as np
import pytest
from scipy import sparse

from qnewton_sk import EmpiricalFisher, GaussNewton, Hessian, QNewtonRegressor, SystemMatrix
from qnewton_sk.conditioning import condition_number, prepare, spectrum_table
from qnewton_sk.scheduling import classical_backends

SOLVERS = {backend.name: backend.solver for backend in classical_backends()}
N = 40


@pytest.fixture(autouse=True)
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def low_rank(semidefinite=True):
    G = np.random.default_rng(0).standard_normal((5, N))
    return SystemMatrix(
        N,
        assemble=lambda: G.T @ G,
        product=lambda v: G.T @ (G @ v),
        factor=lambda: G,
        rank=5,
        semidefinite=semidefinite,
        assembly_flops=1e5,
        product_flops=100.0,
    )


def held_sparse():
    return SystemMatrix.from_entries(sparse.diags_array(np.arange(1.0, N + 1), format="csr"))


@pytest.mark.parametrize("radius", [None, 0.1])
@pytest.mark.parametrize("name", SOLVERS)
def test_a_solve_leaves_nothing_behind(name, radius):
    matrix = held_sparse() if name.startswith("sparse") else low_rank()
    system = prepare(matrix, np.ones(N), 1e-8, 0.5, radius=radius)
    if SOLVERS[name].rejection_reason(system.facts) is None:
        assert SOLVERS[name].solve(system).status.usable
        assert SOLVERS[name].solve(system).status.usable
    gone = [weakref.ref(matrix.cache), weakref.ref(matrix.entries()), weakref.ref(system.matrix)]
    del matrix, system
    assert [reference() for reference in gone] == [None] * 3


@pytest.mark.parametrize("settings", [{}, {"oracle_sparsity": 4}, {"condition_number": "lanczos"}])
def test_measuring_leaves_nothing_behind(settings):
    matrix = low_rank(semidefinite=False)
    prepare(matrix, np.ones(N), 1e-8, 0.5, **settings)
    condition_number(matrix, "one_norm")
    spectrum_table(matrix, {"first": slice(0, 3)})
    gone = weakref.ref(matrix.cache), weakref.ref(matrix.entries())
    del matrix
    assert [reference() for reference in gone] == [None] * 2


@pytest.mark.parametrize("kind", [Hessian, GaussNewton, EmpiricalFisher])
@pytest.mark.parametrize("partition", ["full", "layer"])
def test_the_blocks_of_a_curvature_leave_nothing_behind(kind, partition):
    case = cases.NETS[3]
    objective, theta = case.objective(), case.theta()
    gone = []
    for block in kind(partition).blocks(objective, theta):
        matrix = block.matrix
        system = prepare(matrix, np.ones(matrix.n), 1e-3, 0.5, radius=1.0)
        SOLVERS["cg"].solve(system)
        SOLVERS["more_sorensen_single"].solve(system)
        gone += [weakref.ref(matrix._product), weakref.ref(matrix.cache), weakref.ref(matrix.entries())]
        del block, matrix, system
    assert [reference() for reference in gone] == [None] * len(gone)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_fit_leaves_no_large_array_behind(monkeypatch):
    seen = []
    blocks = Hessian.blocks

    def watched(self, objective, theta):
        found = blocks(self, objective, theta)
        seen.extend(weakref.ref(block.matrix.cache) for block in found)
        return found

    monkeypatch.setattr(Hessian, "blocks", watched)
    X = np.random.default_rng(0).standard_normal((60, 4))
    QNewtonRegressor((5,), curvature="hessian", max_iter=8, tol=0.0, random_state=0).fit(X, np.sin(X[:, 0]))
    assert len(seen) > 2
    assert [reference() for reference in seen] == [None] * len(seen)
