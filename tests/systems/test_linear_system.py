"""Facts about a system: defaults and impossible values."""

import numpy as np
import pytest

from qnewton_sk import SystemFacts


def test_facts_fill_in_what_follows():
    assert SystemFacts(n=7).row_nonzeros == 7
    assert SystemFacts(n=7).product_flops == 2 * 49
    assert SystemFacts(n=7, nnz=9).product_flops == 18
    assert SystemFacts(n=7, nnz=9, product_flops=1.0).product_flops == 1.0


@pytest.mark.parametrize(
    "wrong, message",
    [
        (dict(n=0), "`n` must be an int >= 1; got 0"),
        (dict(n=3, kappa=0.5), "`kappa` must be >= 1"),
        (dict(n=3, kappa=np.nan), "`kappa` must be >= 1"),
        (dict(n=3, row_nonzeros=4), "`row_nonzeros` must be between 1 and n=3; got 4"),
        (dict(n=3, row_nonzeros=0), "`row_nonzeros` must be between 1 and n=3; got 0"),
    ],
)
def test_impossible_facts_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SystemFacts(**wrong)
