"""Levenberg-Marquardt of scipy and of optimistix on the objective of a regression, with the times to target losses."""

import math
import time

import numpy as np
from scipy.optimize import least_squares

from qnewton_sk.curvature.low_rank import jacobian_rows
from qnewton_sk.nets.activations import resolve_activation
from qnewton_sk.nets.losses import resolve_loss
from qnewton_sk.nets.network import Network
from qnewton_sk.nets.objective import Objective


class _Enough(Exception):
    """Raised to end a run of scipy's."""


def _start(X, hidden, seed):
    """Return the net and the initial weights of every side of the benchmark."""
    network = Network(
        [X.shape[1], *hidden, 1], [resolve_activation("tanh")] * len(hidden), resolve_loss("squared_error")
    )
    return network, network.initial(np.random.RandomState(seed))


def scipy_lm(X, y, hidden, alpha, seed, targets, cap_seconds):
    """Return {target: seconds} of scipy.optimize.least_squares(method="lm"), None for a target that was not reached.

    The residuals are sqrt(1/n) (f(x_i) - y_i), then sqrt(alpha/n) w_j; half the sum of their squares is the
    objective. Their Jacobian is that of the package, which is much faster than finite differences.
    """
    network, theta = _start(X, hidden, seed)
    objective = Objective(network, X, y[:, None], None, alpha)
    n, penalised = len(y), np.flatnonzero(network.penalised)
    penalty_rows = np.zeros((len(penalised), network.n_params))
    penalty_rows[np.arange(len(penalised)), penalised] = math.sqrt(alpha / n)
    reached, start = {}, time.perf_counter()

    def residuals(theta):
        errors = (network.raw(X, theta)[:, 0] - y) / math.sqrt(n)
        r = np.concatenate([errors, math.sqrt(alpha / n) * theta[penalised]])
        loss, seconds = 0.5 * (r @ r), time.perf_counter() - start
        for target in targets:
            if loss <= target:
                reached.setdefault(target, seconds)
        if len(reached) == len(targets) or seconds > cap_seconds:
            raise _Enough
        return r

    def jacobian(theta):
        return np.vstack([jacobian_rows(objective, theta), penalty_rows])

    tightest = dict(ftol=1e-15, xtol=1e-15, gtol=1e-15, max_nfev=10**6)
    try:
        least_squares(residuals, theta, jacobian, method="lm", **tightest)
    except _Enough:
        pass
    return {target: reached.get(target) for target in targets}


class Optimistix:
    """optimistix.LevenbergMarquardt, compiled once for each shape of a problem; in float64.

    Raises
    ------
    ImportError
        If jax or optimistix is not installed.
    """

    def __init__(self):
        import jax
        import optimistix

        jax.config.update("jax_enable_x64", True)
        self._compiled = {}
        self._solver_class = _until_loss(jax, optimistix)

    def __call__(self, X, y, hidden, alpha, seed, targets, cap_seconds):
        """Return ({target: seconds}, compile seconds), with None for a target that was not reached."""
        network, theta = _start(X, hidden, seed)
        key = X.shape, hidden
        if key not in self._compiled:
            self._compiled[key] = self._compile(network)
        run, begin = self._compiled[key], time.perf_counter()
        run(theta, X, y, alpha, 0.0, 3)
        first = time.perf_counter()
        run(theta, X, y, alpha, 0.0, 6)
        step_seconds = (time.perf_counter() - first) / 6
        limit = max(6, int(cap_seconds / step_seconds))
        reached = {target: self._seconds(run, (theta, X, y, alpha), target, limit) for target in targets}
        return reached, max(0.0, first - begin - 3 * step_seconds)

    @staticmethod
    def _seconds(run, data, target, limit):
        start = time.perf_counter()
        loss = run(*data, target, limit)
        return time.perf_counter() - start if loss <= target else None

    def _compile(self, network):
        import jax
        import jax.numpy as jnp
        import optimistix

        penalised = np.flatnonzero(network.penalised)

        def residuals(theta, data):
            X, y, alpha = data
            a = X
            for layer, W in enumerate(network.layers(theta)):
                a = a @ W[:-1] + W[-1]
                if layer < network.n_layers - 1:
                    a = jnp.tanh(a)
            errors = (a[:, 0] - y) / math.sqrt(len(y))
            return jnp.concatenate([errors, jnp.sqrt(alpha / len(y)) * theta[penalised]])

        @jax.jit
        def solve(theta, X, y, alpha, target, limit):
            solver = self._solver_class(1e-15, 1e-15, target, limit)
            solution = optimistix.least_squares(
                residuals, solver, theta, args=(X, y, alpha), max_steps=None, throw=False
            )
            return 0.5 * jnp.sum(residuals(solution.value, (X, y, alpha)) ** 2)

        return lambda *arguments: float(solve(*arguments))


def _until_loss(jax, optimistix):
    """LevenbergMarquardt that ends at a loss or a number of steps, both of which are known only at run time."""
    import jax.numpy as jnp

    class UntilLoss(optimistix.LevenbergMarquardt):
        target: object
        limit: object

        def __init__(self, rtol, atol, target, limit):
            super().__init__(rtol=rtol, atol=atol)
            self.target, self.limit = target, limit

        def terminate(self, fn, y, args, options, state, tags):
            loss = 0.5 * jnp.sum(state.f_info.residual**2)
            # Before the first step the residual is still a placeholder.
            done = (state.num_steps > 0) & ((loss <= self.target) | (state.num_steps >= self.limit))
            return done, optimistix.RESULTS.successful

    return UntilLoss
