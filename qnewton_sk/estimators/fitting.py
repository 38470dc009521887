"""One fit: the stages of its loop, what it works on, and the run with everything that watches it."""

import sys
from functools import partial

import numpy as np
from sklearn.utils import check_random_state

from qnewton_sk.conditioning import as_estimator, prepare
from qnewton_sk.curvature import AutoCurvature, resolve_curvature
from qnewton_sk.machine import one_blas_thread
from qnewton_sk.optimize import Journal, Newton, Stopping, drive, resolve_step_control
from qnewton_sk.scheduling import resolve_scheduler
from qnewton_sk.systems import scale_of

from .checkpoint import Checkpoint
from .results import fitted_parameters, loop_settings, print_header, print_steps

SEARCHES = ("sklearn.model_selection", "sklearn.utils.parallel", "joblib.")
"""Modules inside which a fit is one of many: Ctrl-C then has to stop them all."""


class Job:
    """What one fit works on, from the checked data to the journal of the run.

    Parameters
    ----------
    estimator : estimator
        Whose settings hold.
    loop : Newton
        The loop.
    network : Network
        The net.
    source : MemoryData or DaskData
        The checked data.
    validation : MemoryData or None
        The validation set.
    keep : bool
        Whether the last fit is continued.
    incremental : bool
        Whether this is a single pass, as of `partial_fit`.
    """

    def __init__(self, estimator, loop, network, source, validation, keep, incremental):
        self.loop, self.network, self.validation = loop, network, validation
        self.keep, self.incremental = keep, incremental
        self.source = source
        weights = None if source.weight is None else {"sample_weight": source.weight}
        self.data = {"X": source.X, "y": source.y, "metadata": weights}
        self.checkpoint = self.saved = self.inference = None
        if estimator.checkpoint is not None:
            everything = {
                **source.identity,
                "validation": None if validation is None else validation.identity,
                "continued": estimator.coefs_ if keep else None,
            }
            self.checkpoint = Checkpoint(estimator.checkpoint, estimator.get_params(deep=False), everything)
            self.saved = self.checkpoint.load()
        self.random_state = self._random_state(estimator)
        self.resume = self._last_run(estimator) if keep else None
        self.stopping = None
        if estimator.early_stopping:
            self.stopping = Stopping(estimator.n_iter_no_change, estimator.tol)

    def _random_state(self, estimator):
        if self.saved is None:
            random_state = check_random_state(estimator.random_state)
        else:
            random_state = np.random.RandomState()
            random_state.set_state(self.saved.first_random_state)
        self.first_random_state = random_state.get_state()
        return random_state

    def _last_run(self, estimator):
        """The `Resume` of the last fit, whose random numbers go on too; None if the estimator holds none."""
        resume, random_state, settings = getattr(estimator, "_last_run", (None, None, None))
        if settings != loop_settings(estimator):
            return None
        if not isinstance(estimator.random_state, np.random.RandomState):
            self.random_state = np.random.RandomState()
            self.random_state.set_state(random_state)
        return resume

    def begin(self, objective, theta, n_samples):
        """Set what the run starts from: the checkpoint if there is one, else the last run, else `theta`."""
        self.objective, self.theta, self.n_samples = objective, theta, n_samples
        self.journal = Journal(theta, self.stopping)
        if self.saved is not None:
            self.journal, self.resume = self.saved.journal, self.saved.journal.resume
            self.random_state.set_state(self.saved.random_state)
            self.inference.restore(self.resume)
        elif self.resume is not None and not np.array_equal(self.resume.last_theta, theta):
            self.resume = None  # the weights have been changed by hand
        self.epochs_before = len(self.journal.losses)

    def epochs(self):
        """Return the iterator over the epochs of the run."""
        if self.inference.is_evidence:
            resume = None if self.saved is None else self.resume
            return self.inference.epochs(self.loop, self.objective, self.theta, self.random_state, resume)
        return self.loop.run(
            self.objective,
            self.theta,
            self.random_state,
            self.resume,
            first_epoch=self.epochs_before + 1,
            closes=not self.incremental,
        )

    def save(self, journal):
        """Write the checkpoint if there is one."""
        if self.checkpoint is not None:
            ended = journal.stop_reason is not None
            self.checkpoint.save(journal, self.first_random_state, self.random_state, now=ended)


def run_job(estimator, job):
    """Run the loop of a job; its journal receives every epoch and the ending."""
    context = estimator._init_callback_context(max_subtasks=job.inference.max_epochs(job.loop))
    context.call_on_fit_task_begin(estimator=estimator, **job.data)
    if estimator.verbose:
        print_header(estimator.verbose)
    evaluate = None if job.validation is None else partial(evaluate_on, estimator, job)
    watched = dict(evaluate=evaluate, begin_epoch=partial(_begin_epoch, estimator, job, context))
    with one_blas_thread():
        drive(job.epochs(), job.journal, **watched, one_pass=job.incremental, save=job.save)
        job.journal.theta = job.inference.kept(job.journal.theta)
    if job.journal.stop_reason == "interrupted" and _is_inside_a_search():
        raise KeyboardInterrupt
    fitted = partial(fitted_parameters, estimator, job.network, job.journal.theta)
    context.call_on_fit_task_end(estimator=estimator, **job.data, reconstruction_attributes=fitted)


def _begin_epoch(estimator, job, context):
    """Tell the callbacks that an epoch begins; return what tells them that it has ended."""
    epoch = context.subcontext(task_name="epoch")
    epoch.call_on_fit_task_begin(estimator=estimator, **job.data)

    def end_epoch(progress):
        if estimator.verbose:
            print_steps(estimator.verbose, progress.steps)
        fitted = partial(fitted_parameters, estimator, job.network, progress.theta)
        return epoch.call_on_fit_task_end(estimator=estimator, **job.data, reconstruction_attributes=fitted)

    return end_epoch


def evaluate_on(estimator, job, theta):
    """Return mean loss and score on the validation set of a job."""
    X, targets, weight = job.validation.X, job.validation.targets, job.validation.weight
    if weight is not None:
        weight = weight / scale_of(weight)  # sums of weighted losses would overflow
    with np.errstate(over="ignore", invalid="ignore"):
        z = job.network.raw(X, theta)
        loss = float(np.average(job.network.loss.value(z, targets), weights=weight))
    return loss, float(estimator._score_raw(job.network.loss, z, targets, weight))


def _is_inside_a_search():
    """Whether a cross-validation, a search or a parallel ensemble has called: swallowing Ctrl-C would let it go on."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(SEARCHES):
            return True
        frame = frame.f_back
    return False


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
