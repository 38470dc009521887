"""Cutting a number of samples into slices, without the check of arguments that scikit-learn's generators begin with."""


def even_slices(n: int, count: int) -> list[slice]:
    """Return `count` slices that make up range(n), as even as can be; the first ones are longer by one.

    They are those of `sklearn.utils.gen_even_slices`, whose check of its arguments takes up to 0.1 ms.

    Parameters
    ----------
    n : int
        The number of samples.
    count : int
        The number of slices, at most n.

    Examples
    --------
    >>> from qnewton_sk.machine import even_slices
    >>> even_slices(7, 3)
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    size, longer = divmod(n, count)
    ends = [k * size + min(k, longer) for k in range(count + 1)]
    return [slice(start, end) for start, end in zip(ends, ends[1:])]
