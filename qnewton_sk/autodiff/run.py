"""`minimize`: the Newton loop for any function written in autograd.numpy."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult
from sklearn.utils import check_random_state

from qnewton_sk.curvature import CURVATURES, Curvature
from qnewton_sk.estimators import check_parameters, entries_needed_by, loop_of
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.optimize import Journal, Newton, drive, history_table, resolve_step_control
from qnewton_sk.systems import is_real, must

from .curvatures import KINDS, AutogradAuto, AutogradGaussNewton, has_negative_curvature
from .faults import FunctionFault
from .first_order import WithFirstOrder
from .layout import Layout
from .objective import AutogradObjective
from .problem import check_function, check_memory, objective_of

Array = NDArray[Any]

SADDLE = (
    "The gradient is within `tol`, but the Hessian has a negative eigenvalue there: a saddle. Lower `tol` to go on "
    'with curvature="hessian", or start from another `x0`.'
)

STATUS = {
    "converged": 0,
    "max_iter": 1,
    "no_improvement": 2,
    "stalled": 3,
    "saddle": 4,
    "diverged": 5,
    "solver_failed": 6,
    "interrupted": 7,
    "error": 8,
    "callback": 99,
}
"""The status code of each ending; 99 is that of scipy.optimize for a run that a callback has ended."""


def minimize(
    fun: Callable[..., Any],
    x0: Any,
    data: Any = (),
    *,
    loss: Any = None,
    alpha: Any = 0.0,
    curvature: Any = "auto",
    partition: Any = "full",
    first_order: Any = (),
    first_order_rate: float = 0.1,
    regularization: float = 1e-3,
    oracle_sparsity: Any = None,
    condition_number: Any = "auto",
    scheduler: Any = "auto",
    step_control: Any = "trust_region",
    learning_rate_init: float = 1.0,
    first_order_steps: int = 0,
    batch_size: Any = "auto",
    chunk_size: int | None = None,
    max_iter: int = 200,
    tol: float = 1e-4,
    n_iter_no_change: float = 10,
    shuffle: bool = True,
    callback: Callable[..., Any] | None = None,
    random_state: Any = None,
) -> OptimizeResult:
    """Minimise a function written in autograd.numpy by Newton's method, each step solved by the cheapest backend.

    The objective is the mean of the losses of the samples plus the L2 penalty ``alpha / (2 n_samples)`` times the
    sum of squares, as for the estimators.

    Parameters
    ----------
    fun : callable
        ``fun(params, *data)`` in autograd.numpy returns one loss per sample, shape (n_samples,); a number if `data` is
        empty. With `loss`, ``fun(params, *data[:-1])`` returns the outputs of a model, shape (n_samples,) or
        (n_samples, n_outputs). The result of a sample must not depend on other samples. For a model written with
        `qnewton_sk.nets.linear_layer`, the gradients per sample cost one gradient.
    x0 : nested dicts, lists, tuples and arrays
        The starting point; `fun` gets its parameters nested in the same way. A list of numbers is an array. If all
        arrays are float32, everything is computed in float32.
    data : tuple of arrays, default=()
        Arguments of `fun` after the parameters, with samples along the first axis. Batches are taken from them.
    loss : str, callable or Loss, default=None
        The loss between the outputs and the last array of `data`: "squared_error", "poisson", "huber", "log_loss"
        (one-hot targets), "binary_log_loss", or ``loss(y, outputs) -> (n_samples,)`` in autograd.numpy. Gauss-Newton
        needs it. None means that `fun` returns losses.
    alpha : float or nested like `x0`, default=0.0
        L2 penalty on all parameters, or on each array.
    curvature : {"auto", "hessian", "gauss_newton", "empirical_fisher"} or object, default="auto"
        The matrix of the Newton step. "auto" means Gauss-Newton and then the Hessian for a squared error, otherwise
        L-BFGS (unless the step control is not monotone) and then the Hessian. An object has a method
        ``blocks(objective, theta)``; its objective is a `qnewton_sk.autodiff.AutogradObjective`.
    partition : {"full", "layer"} or dict, default="full"
        One linear system for all parameters, one per array, or one per group: a dict from a name to a key or path, or
        a list of these. A key selects all arrays with this key in their path, a path (tuple) all those below it.
    first_order : str, tuple or list of these, default=()
        Keys and paths of arrays that take first-order steps beside the Newton steps of all others, such as embeddings.
    first_order_rate : float, default=0.1
        Rate of the first-order steps. A step is minus the gradient over (1 / rate + damping), or minus the rate
        times the gradient with ``step_control="fixed"``; `learning_rate_init` is a factor on it too.
    regularization : float, default=1e-3
        Multiple of the identity added to the matrix; for the trust region, the initial damping.
    oracle_sparsity : int or float, default=None
        Number of entries per row that pruning keeps (int), or the fraction that it keeps (float in (0, 1]).
    condition_number : str or object, default="auto"
        Estimator of the condition number, as of the estimators.
    scheduler : {"auto", "classical", "quantum", "paper"} or Scheduler, default="auto"
        Which solvers may be used. Each system goes to the cheapest backend by predicted cost.
    step_control : {"trust_region", "line_search", "fixed"} or StepControl, default="trust_region"
        The rule for the length of a step; only "fixed" lets the loss rise.
    learning_rate_init : float, default=1.0
        Factor on the Newton step.
    first_order_steps : int, default=0
        Gradient steps of all parameters before the first Newton step.
    batch_size : int, default="auto"
        Samples per step; "auto" takes all, so that one epoch is one step.
    chunk_size : int, default=None
        Maximum number of samples that are passed to `fun` at once. What autograd records of them has to fit into
        memory; a smaller number saves memory, but recordings that are not kept are made again. None means all
        samples of a step.
    max_iter : int, default=200
        Maximum number of epochs; with the full batch, one epoch is one step.
    tol : float, default=1e-4
        The run has converged once no entry of the gradient of the whole objective exceeds `tol`, unless a search by
        a few products finds an eigenvalue of the Hessian below -sqrt(tol) there.
    n_iter_no_change : int or float, default=10
        The run ends, without having converged, once this number of epochs together has lowered the objective by less
        than `tol` times its value; ``numpy.inf`` disables this test.
    shuffle : bool, default=True
        Whether to draw new batches in each epoch.
    callback : callable, default=None
        Called after every epoch with the parameters, or with an `OptimizeResult` that holds `x`, `fun` and `nit` if
        its parameter is called ``intermediate_result``. It ends the run by returning True or raising StopIteration.
    random_state : int, RandomState instance or None, default=None
        Seed of the batches.

    Returns
    -------
    OptimizeResult
        The result, with the attributes

        - `x`: the last good parameters, nested like `x0`, whatever the ending
        - `fun`, `jac`: the whole objective and its gradient at `x`, the gradient nested like `x0`
        - `nit`: number of epochs; `nfev`, `njev`: evaluations of `fun` and of gradients, each batch counted
        - `success`: whether the run has converged, which implies that no entry of `jac` exceeds `tol`
        - `status`, `stop_reason`: 0 "converged", 1 "max_iter", 2 "no_improvement", 3 "stalled" (no step lowers the
          objective), 4 "saddle", 5 "diverged", 6 "solver_failed", 7 "interrupted" (by Ctrl-C), 8 "error", 99 "callback"
        - `message`: the ending in words, with advice
        - `history`: a dict of arrays with one entry per step, as `history_` of the estimators

    Raises
    ------
    ValueError
        If a parameter is not as above, before any work; or if `fun` raises an exception, returns anything but one
        finite loss per sample at `x0`, or cannot be differentiated. If `fun` fails during a run, the attribute
        `result` of the error holds the `OptimizeResult` at the last good point.

    See Also
    --------
    QNewtonRegressor, QNewtonClassifier : Multilayer perceptrons, whose curvature is assembled in closed form.
    scipy.optimize.minimize : For functions of a single array, constraints, and functions without derivatives.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from qnewton_sk import minimize
    >>> X = np.linspace(-1, 1, 40)
    >>> def curve(params, x):
    ...     return params["height"] * np.exp(-((x / params["width"]) ** 2))
    >>> x0 = {"height": 1.0, "width": 1.0}
    >>> result = minimize(curve, x0, (X, 2 * np.exp(-((X / 0.5) ** 2))), loss="squared_error", tol=1e-8)
    >>> result.success, round(float(result.x["height"]), 6), round(float(result.x["width"]), 6)
    (True, 2.0, 0.5)
    """
    settings = SimpleNamespace(**locals())
    _check_settings(settings)
    layout = Layout(x0, _partition_of(curvature, partition), first_order)
    objective = objective_of(fun, layout, data, loss, alpha, chunk_size)
    loop = _loop(settings, objective)
    check_memory(layout, entries_needed_by(settings, loop))
    if not objective.data and not isinstance(batch_size, str):
        raise must("batch_size", 'be "auto" if `data` is empty', batch_size)
    with one_blas_thread():
        check_function(objective)
        journal = _run(loop, objective, callback, check_random_state(random_state))
        if journal.converged and has_negative_curvature(objective, journal.theta, tol):
            journal.end("saddle", False, f"step {len(journal.steps)}: {SADDLE}")
        return _result(objective, journal, tol)


def _check_settings(settings: Any) -> None:
    """Check the settings that can be checked one by one, mostly by the checks of the estimators."""
    own = ("alpha", "partition", "loss", "callback")
    check_parameters({name: value for name, value in vars(settings).items() if name not in own})
    rate = settings.first_order_rate
    if not (is_real(rate) and rate > 0):
        raise must("first_order_rate", "be a finite number > 0", rate)
    if settings.callback is not None and not callable(settings.callback):
        raise must("callback", "be None or a function", settings.callback)


def _partition_of(curvature: Any, partition: Any) -> Any:
    """Return the partition, which a curvature object of the package may also set."""
    own = getattr(curvature, "partition", "full") if type(curvature) in KINDS else "full"
    return own if isinstance(partition, str) and partition == "full" else partition


def _loop(settings: Any, objective: AutogradObjective) -> Newton:
    """Return the loop of the estimators with the curvatures of a function and with first-order steps."""
    layout = objective.layout
    curvature = _curvature(settings.curvature, objective)
    control = resolve_step_control(
        settings.step_control,
        regularization=settings.regularization,
        learning_rate_init=settings.learning_rate_init,
    )
    if layout.first_order.stop > layout.first_order.start:
        control = WithFirstOrder(control, layout.first_order, float(settings.first_order_rate))
    changes = dict(curvature=curvature, step_control=control, partition="full", early_stopping=False)
    return loop_of(SimpleNamespace(**{**vars(settings), **changes}))


def _curvature(curvature: Any, objective: AutogradObjective) -> Any:
    """Return the curvature of a function for a name or an object of the package; any other object as it is."""
    if isinstance(curvature, str) and curvature == "auto":
        return AutogradAuto()
    kind = CURVATURES.get(curvature) if isinstance(curvature, str) else type(curvature)
    if kind not in KINDS:
        return curvature
    found: Curvature = KINDS[kind]()
    if isinstance(found, AutogradGaussNewton) and objective.targets is None:
        raise ValueError(
            f"`curvature` must not be {curvature!r} if `fun` returns losses: let it return the outputs of a model and "
            'pass their `loss`, or take "hessian" or "empirical_fisher"'
        )
    return found


def _run(loop: Newton, objective: AutogradObjective, callback: Any, random_state: Any) -> Journal:
    """Run the loop; if the function fails, the error carries the result so far."""
    journal = Journal(objective.layout.start)
    watch = None if callback is None else lambda: _told(callback, objective.layout, journal)
    try:
        drive(loop.run(objective, journal.theta, random_state), journal, begin_epoch=watch)
    except FunctionFault as fault:
        journal.end("error", False, str(fault))
        fault.result = _result_after_fault(objective, journal, loop.tol)
        raise
    return journal


def _told(callback: Callable[..., Any], layout: Layout, journal: Journal) -> Callable[[Any], Any]:
    """Return the call of a callback at the end of an epoch, in one of the two forms of scipy.optimize."""
    try:
        named = list(inspect.signature(callback).parameters) == ["intermediate_result"]
    except (TypeError, ValueError):
        named = False

    def end_epoch(progress: Any) -> Any:
        x = layout.result(progress.theta)
        if not named:
            return callback(x)
        return callback(intermediate_result=OptimizeResult(x=x, fun=progress.loss, nit=len(journal.losses)))

    return end_epoch


def _result_after_fault(objective: AutogradObjective, journal: Journal, tol: float) -> OptimizeResult:
    """Return the result at the last good point; if the function fails there again, the gradient is NaN."""
    try:
        return _result(objective, journal, tol)
    except FunctionFault:
        value = journal.losses[-1] if journal.losses else np.nan
        return _result(objective, journal, tol, value, np.full_like(journal.theta, np.nan))


def _result(
    objective: AutogradObjective,
    journal: Journal,
    tol: float,
    value: float = np.nan,
    gradient: Array | None = None,
) -> OptimizeResult:
    if gradient is None:
        value, gradient = objective.value_and_grad(journal.theta)
    reason, counts = journal.stop_reason or "error", objective.problem.counts
    largest = float(np.abs(gradient).max())
    return OptimizeResult(
        x=objective.layout.result(journal.theta),
        fun=value,
        jac=objective.layout.result(gradient),
        nit=len(journal.losses),
        nfev=counts.functions,
        njev=counts.gradients,
        status=STATUS[reason],
        success=bool(journal.converged and largest <= tol),
        stop_reason=reason,
        message=journal.message or _message(reason, largest, tol),
        history=history_table(journal.steps),
    )


def _message(reason: str, largest: float, tol: float) -> str:
    if reason == "converged":
        return f"converged: the largest gradient entry is {largest:.2g}, and `tol` is {tol:.2g}."
    endings = {"callback": "The callback has ended the run", "interrupted": "The run was interrupted"}
    return f"{endings.get(reason, reason)}; the largest gradient entry is {largest:.2g}."
