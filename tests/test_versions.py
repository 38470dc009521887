"""The report that goes into a bug report."""

from importlib import metadata

import numpy as np
import pytest

from qnewton_sk.versions import __version__, documentation_template, show_versions


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


def test_pages_are_those_that_the_metadata_name(tmp_path, monkeypatch):
    info = tmp_path / "qnewton_sk-0.1.0.dist-info"
    info.mkdir()
    urls = (
        "Project-URL: Source, https://a.example\nProject-URL: Documentation, https://docs.example/stable/\n"
    )
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qnewton_sk\nVersion: 0.1.0\n{urls}")
    monkeypatch.syspath_prepend(tmp_path)
    page = documentation_template().format(estimator_name="QNewtonClassifier")
    assert page == "https://docs.example/stable/generated/qnewton_sk.QNewtonClassifier.html"


def test_pages_that_were_built_in_a_clone_are_found(tmp_path, monkeypatch):
    nothing = tmp_path / "qnewton_sk-0.1.0.dist-info"
    nothing.mkdir()
    (nothing / "METADATA").write_text("Metadata-Version: 2.1\nName: qnewton_sk\nVersion: 0.1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert documentation_template(tmp_path / "qnewton_sk") == ""
    pages = tmp_path / "docs" / "_build" / "html" / "generated"
    pages.mkdir(parents=True)
    page = documentation_template(tmp_path / "qnewton_sk").format(estimator_name="QNewtonRegressor")
    assert page == (pages / "qnewton_sk.QNewtonRegressor.html").as_uri()
