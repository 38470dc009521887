"""Memory that is used again: arrays of the shapes asked for, in the memory of the largest of the same name."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.machine import Workspace

REQUESTS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=20
)


@given(REQUESTS)
def test_arrays_have_their_shape_and_names_do_not_share_memory(requests):
    workspace, last = Workspace(np.float32), {}
    for name, *shape in requests:
        array = last[name] = workspace.array(name, *shape)
        assert array.shape == tuple(shape)
        assert array.dtype == np.float32 and array.flags.c_contiguous
    assert len(last) == 1 or not np.shares_memory(last["a"], last["b"])


def test_a_smaller_array_and_one_of_the_same_shape_take_the_same_memory():
    workspace = Workspace(float)
    first = workspace.array("a", 4, 3)
    for shape in ((2, 3), (4, 3), (3, 4), (3, 4)):
        assert workspace.array("a", *shape).ctypes.data == first.ctypes.data
    assert not np.shares_memory(workspace.array("a", 5, 5), first)
