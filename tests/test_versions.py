"""The report that goes into a bug report."""

from importlib import metadata

import numpy as np
import pytest

from qnewton_sk.versions import __version__, show_versions


def test_the_report_has_versions_and_the_calibration(capsys):
    show_versions()
    said = capsys.readouterr().out
    assert f"qnewton_sk: {__version__}" in said
    assert f"numpy: {np.__version__}" in said
    assert "cholesky at N = 1000:" in said


def test_the_version_is_that_of_the_installed_package():
    try:
        installed = metadata.version("qnewton_sk")
    except metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert installed == __version__
