"""The summary of the Hessian that a fit leaves, within the share of its cost that `diagnostics` allows."""

import math
from dataclasses import dataclass

from qnewton_sk.conditioning import EXACT_FLOPS, hessian_summary
from qnewton_sk.curvature import Hessian, assembly_flops, gradient_flops, newton_step_cost
from qnewton_sk.machine import available_memory_bytes

SHARE_OF_FIT = 0.2
"""Share of the gradients of the fit that the summary may cost under diagnostics="auto"."""

GRADIENTS_PER_PRODUCT = 2.0
"""A product with the Hessian passes over the data twice forward and twice backward."""

MAX_PRODUCTS = 200
"""Products of a summary without a budget, if the entries do not fit into memory."""


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
        worth.
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
    gradients = spent.gradients + spent.newton_steps * newton_step_cost(network, n_samples)
    budget = math.inf if diagnostics is True else SHARE_OF_FIT * gradients
    flops = assembly_flops(network, n_samples) + EXACT_FLOPS * float(matrix.n) ** 3
    exact = flops <= budget * gradient_flops(network, n_samples) and _fits_into_memory(matrix)
    return hessian_summary(
        matrix, exact=exact, products=int(min(budget / GRADIENTS_PER_PRODUCT, MAX_PRODUCTS))
    )


def _fits_into_memory(matrix):
    needed = 4 * matrix.dtype.itemsize * matrix.n**2
    return needed < 2**28 or needed < available_memory_bytes()
