"""From the settings of an estimator to the stages of the loop."""

from functools import partial

from qnewton_sk.conditioning import as_estimator, prepare
from qnewton_sk.curvature import AutoCurvature, resolve_curvature
from qnewton_sk.optimize import Newton, resolve_step_control
from qnewton_sk.scheduling import resolve_scheduler


def loop_of(estimator):
    """Return the `Newton` loop of an estimator's settings, every part resolved and thereby checked."""
    e = estimator
    is_auto = isinstance(e.curvature, str) and e.curvature == "auto"
    condition_number = as_estimator(e.condition_number)
    control = resolve_step_control(
        e.step_control, regularization=e.regularization, learning_rate_init=e.learning_rate_init
    )
    return Newton(
        AutoCurvature(e.partition) if is_auto else resolve_curvature(e.curvature, e.partition),
        resolve_scheduler(e.scheduler),
        control,
        partial(prepare, oracle_sparsity=e.oracle_sparsity, condition_number=condition_number),
        first_order_steps=e.first_order_steps,
        batch_size=None if isinstance(e.batch_size, str) else e.batch_size,
        max_iter=e.max_iter,
        tol=e.tol,
        n_iter_no_change=e.max_iter if e.early_stopping else e.n_iter_no_change,
        shuffle=e.shuffle,
    )


def entries_needed_by(estimator, loop):
    """Return the setting that needs the entries of the matrix, such as 'scheduler="paper"', or None."""
    if estimator.oracle_sparsity is not None:
        return f"oracle_sparsity={estimator.oracle_sparsity!r}"
    condition_number = estimator.condition_number
    if isinstance(condition_number, str) and condition_number not in ("auto", "products"):
        return f"condition_number={condition_number!r}"
    is_fisher = isinstance(estimator.curvature, str) and estimator.curvature == "empirical_fisher"
    enough = {"products", "factor"} if is_fisher else {"products"}
    if any(backend.solver.needs in enough for backend in loop.scheduler.available_backends()):
        return None
    return f"scheduler={estimator.scheduler!r}"
