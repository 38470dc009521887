"""Curvatures of a function written in autograd.numpy: Hessian, Gauss-Newton, empirical Fisher, and "auto"."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.conditioning import hessian_summary
from qnewton_sk.curvature import (
    MAX_STEP_COST,
    AutoCurvature,
    AutoState,
    Curvature,
    EmpiricalFisher,
    GaussNewton,
    Hessian,
    start_of,
)
from qnewton_sk.systems import Block, SystemMatrix

from .faults import FunctionFault
from .objective import AutogradObjective
from .rows import MAX_FACTOR_BYTES, Factor, FactorMemory, is_recorded, sample_rows
from .tape import Tape

Array = NDArray[Any]

PRODUCT_GRADIENTS = 2.0
"""Cost of a matvec in gradients; it differentiates a gradient, which has twice the operations of the function."""

CHECK_SHARE, MIN_CHECK_PRODUCTS, MAX_CHECK_PRODUCTS = 0.2, 10, 200
"""Cost of the final search for negative curvature as a fraction of the gradients of the run, and the minimum and
maximum number of its products, which are those of the summary at the end of a fit of the estimators."""

OVERHEAD_FLOPS = 1e7
"""Operations in the time that autograd takes for a function of negligible size: 0.2 ms at 5e10 per second."""

CHUNK_BYTES = 2**26
"""Maximum memory of the rows that exist at a time while entries are summed from them, in bytes."""


class _AutogradCurvature(Curvature):
    """One lazy matrix per part of the layout."""

    def blocks(self, objective: AutogradObjective, theta: Array) -> list[Block]:
        """Return one `Block` per linear system of the layout.

        Parameters
        ----------
        objective : AutogradObjective
            The function and the data.
        theta : ndarray of shape (n_params,)
            The parameters; they are copied.
        """
        theta, memory = theta.copy(), FactorMemory()
        return [
            Block(part, self.matrix(objective, theta, part, memory), self._acceleration(objective, theta))
            for part in objective.layout.parts
        ]

    def matrix(
        self, objective: AutogradObjective, theta: Array, part: slice, memory: FactorMemory
    ) -> SystemMatrix:
        """Return the lazy matrix of some parameters, which are those of whole arrays."""
        raise NotImplementedError

    def _acceleration(self, objective: AutogradObjective, theta: Array) -> Callable[[Array], Array] | None:
        return None


class AutogradHessian(_AutogradCurvature):
    """The exact Hessian: products come from one recording of the gradient, entries from one product per column."""

    def matrix(
        self, objective: AutogradObjective, theta: Array, part: slice, memory: FactorMemory
    ) -> SystemMatrix:
        """Return the lazy matrix of some parameters."""
        return _by_products(objective, theta, part, Tape.hessian_product)


class AutogradGaussNewton(_AutogradCurvature):
    """sum_n w J_n^T loss'' J_n over the Jacobians J_n of the outputs; this needs a loss of the outputs.

    Its steps may be corrected for the acceleration of the outputs if the loss is a sum of squares and there is one
    linear system.
    """

    def _acceleration(self, objective: AutogradObjective, theta: Array) -> Callable[[Array], Array] | None:
        whole = objective.layout.parts == (slice(0, objective.n_params),)
        if not (whole and objective.loss.is_sum_of_squares):
            return None
        return partial(_acceleration, objective, theta)

    def matrix(
        self, objective: AutogradObjective, theta: Array, part: slice, memory: FactorMemory
    ) -> SystemMatrix:
        """Return the lazy matrix of some parameters."""
        times, roots_at = Tape.gauss_newton_product, partial(_loss_roots, objective, theta)
        if not objective.loss.is_convex:
            return _by_products(objective, theta, part, times)
        return _by_rows(objective, theta, part, memory, times, roots_at)


class AutogradFisher(_AutogradCurvature):
    """sum_n w g_n g_n^T over the gradients g_n of the samples' losses, plus the penalty on the diagonal."""

    def matrix(
        self, objective: AutogradObjective, theta: Array, part: slice, memory: FactorMemory
    ) -> SystemMatrix:
        """Return the lazy matrix of some parameters."""
        times, roots_at = Tape.fisher_product, partial(_gradient_root, objective, theta)
        return _by_rows(objective, theta, part, memory, times, roots_at, roots=1)


class AutogradAuto(AutoCurvature):
    """`AutoCurvature` for a function: Gauss-Newton for sums of squares, otherwise L-BFGS and then the Hessian.

    Without a loss of outputs there is no Gauss-Newton matrix, and mini-batches use the Hessian.
    """

    def initial(self, objective: Any, batches: bool = False) -> AutoState:
        """Return the state before the first step."""
        loss = objective.loss
        if loss.is_sum_of_squares or (batches and has_loss(objective) and loss.is_convex):
            return AutoState("gauss_newton")
        if batches:
            return AutoState("hessian")
        start = start_of("hessian", newton_step_cost(objective))
        penalty = 0.5 * float(objective.penalties.sum())
        return start._replace(floor=penalty if objective.n_samples <= objective.n_params else math.inf)

    def next_curvature(self, state: AutoState) -> Curvature | None:
        """Return the curvature of the next step, or None if it is a first-order step."""
        if state.kind == "first_order":
            return None
        return AutogradHessian() if state.kind == "hessian" else AutogradGaussNewton()

    def blocks(self, objective: Any, theta: Array) -> list[Block]:
        """Return the blocks of the exact Hessian."""
        return AutogradHessian().blocks(objective, theta)


KINDS: dict[type, type] = {
    AutoCurvature: AutogradAuto,
    EmpiricalFisher: AutogradFisher,
    GaussNewton: AutogradGaussNewton,
    Hessian: AutogradHessian,
}
"""The curvature of a function for each curvature of nets with the same name."""


def _acceleration(objective: AutogradObjective, theta: Array, v: Array) -> Array:
    """Return the right-hand side of the correction of a step, or zero if the gradient cannot be differentiated."""
    try:
        return objective.over_chunks(theta, lambda tape: tape.acceleration(v))
    except FunctionFault:
        return np.zeros_like(theta)


def has_loss(objective: AutogradObjective) -> bool:
    """Return whether the function returns outputs for which a loss is given."""
    return objective.targets is not None


def gradient_flops(objective: AutogradObjective) -> float:
    """Return the operations of a gradient: 6 per parameter and sample as in a net, and the overhead of autograd."""
    return 6.0 * objective.n_samples * objective.n_params + OVERHEAD_FLOPS * len(objective.chunks)


def newton_step_cost(objective: AutogradObjective) -> float:
    """Return the cost of a Newton step with the exact Hessian, in gradients.

    The cost is that of the entries of each part and 2.5 Cholesky factorisations at half the rate of products. It is
    at most `MAX_STEP_COST`, since an iterative solve costs no more.
    """
    sizes = [part.stop - part.start for part in objective.layout.parts]
    assembly = PRODUCT_GRADIENTS * sum(sizes)
    factorise = 2.5 * 2 * sum(float(n) ** 3 for n in sizes) / 3
    return min(assembly + factorise / gradient_flops(objective), MAX_STEP_COST)


def has_negative_curvature(objective: AutogradObjective, theta: Array, tol: float) -> bool:
    """Return whether the Hessian has an eigenvalue below -sqrt(tol), so that a small gradient is not a minimum.

    This is the second-order condition that corresponds to a gradient of `tol` (Nesterov and Polyak 2006). The products
    of the search cost a fifth of the gradients of the run, or `MIN_CHECK_PRODUCTS` if that is more; they may miss an
    eigenvalue. The answer is False if the gradient cannot be differentiated.
    """
    budget = int(CHECK_SHARE * objective.problem.counts.gradients / PRODUCT_GRADIENTS)
    products = min(max(budget, MIN_CHECK_PRODUCTS), MAX_CHECK_PRODUCTS)
    whole = slice(0, objective.n_params)
    matrix = AutogradHessian().matrix(objective, theta, whole, FactorMemory())
    try:
        found = hessian_summary(matrix, exact=matrix.n <= products, products=products)
    except FunctionFault:
        return False
    return bool(found["smallest_eigenvalue"] < -math.sqrt(tol))


def _product(
    objective: AutogradObjective,
    theta: Array,
    part: slice,
    times: Callable[[Tape, Array], Array],
    v: Array,
) -> Array:
    """Return the block of a matrix, penalty included, times a vector."""
    whole = np.zeros(objective.n_params, objective.dtype)
    whole[part] = v
    return objective.over_chunks(theta, lambda tape: times(tape, whole))[part] + objective.penalties[part] * v


def _entries(
    objective: AutogradObjective, theta: Array, part: slice, times: Callable[[Tape, Array], Array]
) -> Array:
    """Return the block of a matrix, penalty included, from one product per column; every chunk is recorded once."""
    n, unit = part.stop - part.start, np.zeros(objective.n_params, objective.dtype)
    H = np.diag(objective.penalties[part])
    for tape in objective.tapes(theta):
        for k in range(n):
            unit[part.start + k] = 1
            H[k] += times(tape, unit)[part]
            unit[part.start + k] = 0
    return 0.5 * (H + H.T)


def _by_products(
    objective: AutogradObjective,
    theta: Array,
    part: slice,
    times: Callable[[Tape, Array], Array],
    /,
    **changes: Any,
) -> SystemMatrix:
    """Return a matrix whose entries come from its products, one per column."""
    n, flops = part.stop - part.start, PRODUCT_GRADIENTS * gradient_flops(objective)
    settings: dict[str, Any] = {
        "assemble": partial(_entries, objective, theta, part, times),
        "product": partial(_product, objective, theta, part, times),
        "assembly_flops": n * flops,
        "product_flops": flops,
        "dtype": objective.dtype,
    }
    return SystemMatrix(n, **{**settings, **changes})


def _by_rows(
    objective: AutogradObjective,
    theta: Array,
    part: slice,
    memory: FactorMemory,
    times: Callable[[Tape, Array], Array],
    roots_at: Callable[[], Array],
    roots: int | None = None,
) -> SystemMatrix:
    """Return a matrix G^T G plus the penalty, in which the rows of G are gradients per sample.

    Products use G once it exists, or from the start if the linear layers give it at the cost of one gradient.
    """
    diagonal, n = objective.penalties[part], part.stop - part.start
    product = partial(_product, objective, theta, part, times)
    outputs = (objective.targets.shape[1] if has_loss(objective) else 1) if roots is None else roots
    rank = objective.n_samples * outputs
    by_rows, gram = rows_flops(objective, theta, part, outputs), float(rank) * n * n
    by_pass, by_factor = PRODUCT_GRADIENTS * gradient_flops(objective), 4.0 * rank * n
    changes: dict[str, Any] = {"semidefinite": True, "factor_diagonal": diagonal}
    if rank * n * objective.dtype.itemsize <= MAX_FACTOR_BYTES:
        rows = Factor(objective, theta, part, roots_at, memory)
        changes |= {"factor": rows.array, "rank": rank, "factor_flops": by_rows}
        if by_factor < by_pass and is_recorded(objective, theta, part):
            changes |= {"product": rows.product, "product_flops": by_factor}
        else:
            changes |= {"product": partial(_product_by_either, product, rows)}
    if by_rows + gram < n * by_pass:
        changes |= {
            "assemble": lambda: _gram(objective, theta, part, roots_at()) + np.diag(diagonal),
            "assembly_flops": by_rows + gram,
        }
    matrix = _by_products(objective, theta, part, times, **changes)
    if matrix.rank is not None:
        rows.cache = matrix.cache
    return matrix


def _product_by_either(product: Callable[[Array], Array], rows: Factor, v: Array) -> Array:
    """Return the product by the rows if they exist or the gradient cannot be differentiated; else by a pass."""
    if rows.held is None:
        try:
            return product(v)
        except FunctionFault:
            pass  # if the function itself is at fault, the rows raise again
    return rows.product(v)


def rows_flops(objective: AutogradObjective, theta: Array, part: slice, roots: int) -> float:
    """Return the operations of `sample_rows`: one gradient per root, or a loop with an overhead per sample."""
    if is_recorded(objective, theta, part):
        return roots * gradient_flops(objective)
    return roots * (gradient_flops(objective) + objective.n_samples * OVERHEAD_FLOPS)


def _gram(objective: AutogradObjective, theta: Array, part: slice, roots: Array) -> Array:
    """Return G^T G, summed over groups of samples so that few rows exist at a time."""
    n = part.stop - part.start
    size = max(1, int(CHUNK_BYTES // (len(roots) * n * objective.dtype.itemsize)))
    if size >= objective.n_samples:
        G = sample_rows(objective, theta, part, roots)
        return G.T @ G
    total = np.zeros((n, n), objective.dtype)
    for start in range(0, objective.n_samples, size):
        chosen = np.arange(start, min(start + size, objective.n_samples))
        G = sample_rows(objective.batch(chosen), theta, part, roots[:, chosen])
        total += G.T @ G
    return total


def _gradient_root(objective: AutogradObjective, theta: Array) -> Array:
    """Return the gradients of the losses in the outputs, times sqrt(w), of shape (1, n, K)."""
    found = [tape.output_gradient for tape in objective.tapes(theta)]
    return np.concatenate(found)[None] / np.sqrt(objective.n_samples)


def _loss_roots(objective: AutogradObjective, theta: Array) -> Array:
    """Return C of shape (K, n, K) with sum_k C_kn^T C_kn = w loss'' for every sample of a convex loss."""
    z = np.concatenate([tape.z for tape in objective.tapes(theta)])
    loss, weight = objective.loss, 1 / objective.n_samples
    if loss.has_diagonal_hessian:
        h = np.sqrt(weight * loss.hessian(z, objective.targets))
        return np.eye(h.shape[1], dtype=h.dtype)[:, None, :] * h.T[:, :, None]
    L: Any = weight * loss.full_hessian(z, objective.targets)
    eigenvalues, V = np.linalg.eigh(L)
    return (V * np.sqrt(np.maximum(eigenvalues, 0))[:, None, :]).transpose(2, 0, 1)
