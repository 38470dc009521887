"""The summary of the Hessian that a fit leaves, within the share of its cost that `diagnostics` allows."""

from dataclasses import dataclass

from qnewton_sk.conditioning import EXACT_FLOPS, hessian_summary
from qnewton_sk.curvature import (
    Hessian,
    assembly_flops,
    gauss_newton_step_cost,
    gradient_flops,
    newton_step_cost,
)
from qnewton_sk.machine import available_memory_bytes

SHARE_OF_FIT, SHARE_FOR_PRODUCTS = 0.2, 0.1
"""Share of the gradients of the fit that a summary from the entries may cost under diagnostics="auto", and that of one
from products, since the products of the closing Newton step cost as much again."""

GRADIENTS_PER_PRODUCT = 1.25
"""Cost of a product with the Hessian: 0.7 to 1.1 gradients for nets of widths 16 to 100, and the Lanczos step's own."""

MIN_PRODUCTS, MAX_PRODUCTS = 3, 200
"""Minimum number of products of a summary, for fits of fewer than some 50 gradients, and their number without a budget
if the entries do not fit into memory."""


@dataclass(frozen=True)
class Spent:
    """What a fit has cost, as of a `LoopState`: gradients computed and Newton steps taken."""

    gradients: float
    newton_steps: int


def summarise(diagnostics, objective, theta, spent):
    """Return the `hessian_summary_` of a fit, or None.

    Parameters
    ----------
    diagnostics : bool or "auto"
        Whether there is a summary; "auto" allows it a fifth of the gradients that the fit took. It is counted and not
        timed, so that it is the same in every process. A Newton step counts as the gradients that its operations are
        worth, with the cheaper one of Hessian and Gauss-Newton.
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
    step_cost = min(cost(network, n_samples) for cost in (newton_step_cost, gauss_newton_step_cost))
    gradients = spent.gradients + spent.newton_steps * step_cost
    flops = assembly_flops(network, n_samples) + EXACT_FLOPS * float(matrix.n) ** 3
    is_affordable = diagnostics is True or flops <= SHARE_OF_FIT * gradients * gradient_flops(
        network, n_samples
    )
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
