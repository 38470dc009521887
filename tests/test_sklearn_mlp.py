"""scikit-learn's own tests of its multilayer perceptrons pass with our estimators, but for those that are listed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sklearn.neural_network

SCRIPT = Path(__file__).parent / "sklearn_mlp.py"
SHIPPED = (Path(sklearn.neural_network.__file__).parent / "tests" / "test_mlp.py").exists()


@pytest.mark.skipif(not SHIPPED, reason="scikit-learn comes without its tests")
def test_the_tests_of_scikit_learn_pass_but_for_the_exceptions_listed():
    paths = os.pathsep.join([str(SCRIPT.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    assert done.returncode == 0, done.stdout + done.stderr
