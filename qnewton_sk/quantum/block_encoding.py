"""The block encoding of a matrix: its normalisation factor and its qubits."""

from math import inf
from numbers import Integral

from qnewton_sk.systems import SystemFacts


def block_encoding_factor(facts: SystemFacts) -> float:
    """Return alpha = d max|A_ij| / ||A||_2 of sparse access, or its bound d if the two are not known.

    Parameters
    ----------
    facts : SystemFacts
        Only `row_nonzeros`, `max_abs` and `norm` are used.

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
    d = float(facts.n if facts.row_nonzeros is None else facts.row_nonzeros)
    norm, max_abs = float(facts.norm or 0.0), float(facts.max_abs or 0.0)
    if 0 < norm < inf and 0 < max_abs < inf:
        return max(d * (max_abs / norm), 1.0)
    return d


def logical_qubits(n: int, ancillas: int | None = None) -> int:
    """Return the number of logical qubits of one solve, a + 6 + ceil(log2 n).

    Parameters
    ----------
    n : int
        Number of unknowns.
    ancillas : int, default=None
        Number a of ancillas of the block encoding. The default is that of sparse access, ceil(log2 n) + 3
        (Gilyen et al. 2019, arXiv:1806.01838, lemma 48), without the working memory of its arithmetic.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If `n` is not an int >= 1 or `ancillas` not an int >= 0.

    References
    ----------
    Jennings et al. (2023), arXiv:2305.11352v1, theorem 1.

    Examples
    --------
    >>> from qnewton_sk import logical_qubits
    >>> logical_qubits(13002, ancillas=1)
    21
    """
    if not (isinstance(n, Integral) or isinstance(n, float) and float(n).is_integer()) or n < 1:
        raise ValueError(f"`n` must be an int >= 1; got {n!r}")
    if ancillas is not None and not (isinstance(ancillas, Integral) and ancillas >= 0):
        raise ValueError(f"`ancillas` must be None or an int >= 0; got {ancillas!r}")
    width = (int(n) - 1).bit_length()  # ceil(log2 n), exact for integers of any size
    return (width + 3 if ancillas is None else int(ancillas)) + 6 + width
