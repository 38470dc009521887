"""The bend of the outputs along a step, and what it pulls at the parameters: geodesic acceleration of Gauss-Newton."""

import numpy as np


def acceleration(objective, theta, v):
    """Return J^T H_loss z'', with z'' the second derivative of the raw outputs along v.

    Gauss-Newton takes the outputs as linear in the parameters. Along a step v they bend; solving once more, with
    this right-hand side, and going half as far gives the second-order correction of the step (Transtrum and Sethna
    2012, "Improvements to the Levenberg-Marquardt algorithm for nonlinear least-squares minimization",
    arXiv:1201.5885). For losses whose Hessian in the outputs is diagonal.

    Parameters
    ----------
    objective : Objective
        The data and the net.
    theta : ndarray of shape (n_params,)
        Where.
    v : ndarray of shape (n_params,)
        The step.

    Returns
    -------
    ndarray of shape (n_params,)
    """
    out, V = np.zeros_like(theta), objective.network.layers(v)
    for p in objective.passes(theta):
        hessian = p.network.loss.hessian(p.raw, p.y).T
        _add_back(p, hessian * p.weight * _bend(p, V), out)
    return out


def _bend(p, V):
    """Return z'' of the last layer, of shape (K, samples)."""
    slope_along = bend_along = None  # a' and a'' of the layer before
    for l, (W, V_l) in enumerate(zip(p.layers, V)):
        abar = p.inputs[l]
        along = V_l.T @ abar if isinstance(abar, np.ndarray) else np.ascontiguousarray((abar @ V_l).T)
        if l:
            along += W[:-1].T @ slope_along
            bent = 2 * (V_l[:-1].T @ slope_along) + W[:-1].T @ bend_along
        else:
            bent = np.zeros_like(along)
        if l == len(p.layers) - 1:
            return bent
        slope_along = p.slopes[l] * along
        bend_along = p.slopes[l] * bent
        if p.bends[l] is not None:
            bend_along += p.bends[l] * along * along


def _add_back(p, delta, out):
    """Add J^T delta to `out`."""
    for l in range(len(p.layers) - 1, -1, -1):
        abar = p.inputs[l]
        rows = abar if isinstance(abar, np.ndarray) else abar.T
        out[p.network.layer_slices[l]] += (rows @ delta.T).ravel()
        if l:
            delta = (p.layers[l][:-1] @ delta) * p.slopes[l - 1]
