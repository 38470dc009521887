"""The block encoding of a matrix: its factor and its qubits."""

from math import ceil, log2


def block_encoding_factor(facts):
    """Return alpha = d max|A_ij| / ||A||_2 of sparse access, or its bound d where the two are not known.

    Parameters
    ----------
    facts : SystemFacts
        Of which `row_nonzeros`, `max_abs` and `norm` are used.

    Returns
    -------
    float
        At least 1.

    References
    ----------
    Gilyen et al. (2019), arXiv:1806.01838, lemma 48.

    Examples
    --------
    >>> from qnewton_sk.quantum.block_encoding import block_encoding_factor
    >>> from qnewton_sk.systems.linear_system import SystemFacts
    >>> block_encoding_factor(SystemFacts(n=100, row_nonzeros=10, norm=4.0, max_abs=2.0))
    5.0
    """
    if facts.norm and facts.max_abs:
        return max(facts.row_nonzeros * facts.max_abs / facts.norm, 1.0)
    return float(facts.row_nonzeros)


def logical_qubits(n, ancillas=None):
    """Return the logical qubits of one solve, a + 6 + ceil(log2 n).

    Parameters
    ----------
    n : int
        Number of unknowns.
    ancillas : int, default=None
        Ancillas a of the block encoding; by default ceil(log2 n) + 3, those of sparse access (Gilyen et al.
        2019, arXiv:1806.01838, lemma 48), without the working memory of its arithmetic.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `n` < 1 or `ancillas` < 0.

    References
    ----------
    Jennings et al. (2023), arXiv:2305.11352v1, theorem 1.

    Examples
    --------
    >>> from qnewton_sk import logical_qubits
    >>> logical_qubits(13002, ancillas=1)
    21
    """
    if not n >= 1:
        raise ValueError(f"`n` must be >= 1; got {n!r}")
    if ancillas is not None and not ancillas >= 0:
        raise ValueError(f"`ancillas` must be None or >= 0; got {ancillas!r}")
    width = ceil(log2(n))
    return (width + 3 if ancillas is None else ancillas) + 6 + width
