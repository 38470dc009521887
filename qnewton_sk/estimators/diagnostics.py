"""The summary of the Hessian that a fit leaves, within the share of its cost that `diagnostics` allows."""

from dataclasses import dataclass

from qnewton_sk.conditioning import EXACT_FLOPS, hessian_summary
from qnewton_sk.curvature import (
    Hessian,
    assembly_flops,
    curvature_rank,
    gauss_newton_step_cost,
    gradient_flops,
    newton_step_cost,
)
from qnewton_sk.machine import available_memory_bytes

SHARE_OF_FIT, SHARE_FOR_PRODUCTS = 0.2, 0.1
"""Share of the gradients of the fit that a summary from the entries may cost under diagnostics="auto", and that of one
from products, since the products of the closing Newton step cost as much again."""

GRADIENTS_PER_PRODUCT = 1.25
"""Cost of a product with the Hessian: 0.7 to 1.1 gradients for nets of widths 16 to 100, and the Lanczos step."""

MIN_PRODUCTS, MAX_PRODUCTS = 3, 200
"""Minimum number of products of a summary, which fits of fewer than some 50 gradients get, and their maximum, which a
summary without a budget gets if the entries do not fit into memory."""


@dataclass(frozen=True)
class Spent:
    """What a fit has cost, as of a `LoopState`: gradients, Newton steps by factorisation, products of all others."""

    gradients: float
    newton_steps: int
    products: int = 0


def summarise(diagnostics, objective, theta, spent):
    """Return the `hessian_summary_` of a fit, or None.

    Parameters
    ----------
    diagnostics : bool or "auto"
        Whether there is a summary; "auto" allows it a fifth of the gradients that the fit took if it can be exact, and
        otherwise a tenth, but at least three products. It is counted and not timed, so that it is the same in every
        process. A Newton step by factorisation counts as the gradients that its operations are worth, with the cheapest
        of Hessian, Gauss-Newton and a factor of low rank; of all others, the products count.
    objective : Objective
        The training objective.
    theta : ndarray of shape (n_params,)
        The fitted parameters.
    spent : LoopState, Spent or None
        What the fit has cost; None if it did not come to a step.
    """
    if diagnostics is False or spent is None:
        return None
    matrix = Hessian().blocks(objective, theta)[0].matrix
    network, n_samples = objective.network, objective.n_samples
    per_gradient = gradient_flops(network, n_samples)
    rank = float(n_samples * curvature_rank(network))
    low_rank = (rank**2 * matrix.n + rank**3 / 3) / per_gradient  # Woodbury's identity
    step_cost = min(
        newton_step_cost(network, n_samples), gauss_newton_step_cost(network, n_samples), low_rank
    )
    gradients = spent.gradients + spent.newton_steps * step_cost + spent.products * GRADIENTS_PER_PRODUCT
    exact_cost = (assembly_flops(network, n_samples) + EXACT_FLOPS * float(matrix.n) ** 3) / per_gradient
    is_affordable = diagnostics is True or exact_cost <= SHARE_OF_FIT * gradients
    if is_affordable and _fits_into_memory(matrix):
        return hessian_summary(matrix, exact=True)
    if diagnostics is True:
        return hessian_summary(matrix, exact=False, products=MAX_PRODUCTS)
    # a pass over the data, of a gradient's cost, precedes the first product
    affordable = (SHARE_FOR_PRODUCTS * gradients - 1) / GRADIENTS_PER_PRODUCT
    products = int(min(max(affordable, MIN_PRODUCTS), MAX_PRODUCTS))
    return hessian_summary(matrix, exact=False, products=products)


def _fits_into_memory(matrix):
    needed = 4 * matrix.dtype.itemsize * matrix.n**2
    return needed < 2**28 or needed < available_memory_bytes()
