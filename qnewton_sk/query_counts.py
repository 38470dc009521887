"""Expected queries of a quantum linear solver, by the name of a published model."""

from math import isfinite

from .query_models import QUERY_MODELS, QueryModel, jennings2023_single_run, success_probability

__all__ = [
    "QUERY_MODELS",
    "QueryModel",
    "argument_fault",
    "jennings2023_single_run",
    "query_count",
    "query_model",
    "success_probability",
]


def query_model(model):
    """Return the `QueryModel` of a name, or a callable as one.

    Raises
    ------
    ValueError
        If no model has that name; the message lists those that exist.
    """
    if isinstance(model, QueryModel):
        return model
    if callable(model):
        return QueryModel(
            getattr(model, "__name__", type(model).__name__), model, "given by the caller", "numerical"
        )
    if model not in QUERY_MODELS:
        raise ValueError(f"`model` must be one of {sorted(QUERY_MODELS)} or a callable; got {model!r}")
    return QUERY_MODELS[model]


def query_count(kappa, tol, *, alpha=1.0, model="jennings2023"):
    """Return the expected queries to the block encoding for one solution of A x = b.

    Failed runs are included. A is scaled to norm 1 and accessed by a block encoding of factor `alpha`;
    models that their source states for alpha = 1 are evaluated at alpha kappa.

    Parameters
    ----------
    kappa : float
        Condition number of A in the 2-norm, or an upper bound of it; >= 1.
    tol : float
        Allowed l2 error of the normalised solution, in (0, 1).
    alpha : float, default=1.0
        Factor of the block encoding, >= 1; d max|A_ij| / ||A||_2 for sparse access.
    model : str or callable, default="jennings2023"
        A name from `QUERY_MODELS`, or ``model(kappa, tol, alpha) -> float``.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If an argument is out of the range that the model's source allows, or the model is unknown.

    Examples
    --------
    >>> from qnewton_sk import query_count
    >>> f"{query_count(100.0, 1e-12):.3g}"
    '7.43e+04'
    >>> f"{query_count(100.0, 1e-12, model='dalzell2024'):.3g}"
    '8.78e+03'
    >>> query_count(100.0, 1e-2, model=lambda kappa, tol, alpha: alpha * kappa)
    100.0
    """
    chosen = query_model(model)
    reason = argument_fault(kappa, tol, alpha) or chosen.refusal(kappa, tol, alpha)
    if reason:
        raise ValueError(reason)
    return chosen(kappa, tol, alpha)


def argument_fault(kappa, tol, alpha):
    """Return what is wrong with the arguments of any query count, or None."""
    if not (1 <= kappa and isfinite(kappa)):
        return (
            f"`kappa` must be finite and >= 1 (raise `regularization` for a singular matrix); got {kappa!r}"
        )
    if not 0 < tol < 1:
        return f"`tol` must be in (0, 1); got {tol!r}"
    if not (1 <= alpha and isfinite(alpha)):
        return f"`alpha` must be finite and >= 1; got {alpha!r}"
    return None
