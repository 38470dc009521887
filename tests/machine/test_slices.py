"""Slices of samples: those of scikit-learn, on which the bits of sums over chunks depend."""

from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils import gen_even_slices

from qnewton_sk.machine import even_slices


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_even_slices_are_those_of_scikit_learn(case):
    assert even_slices(*case) == list(gen_even_slices(*case))
