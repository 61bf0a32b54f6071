"""The site of the documentation builds without warnings, and its pages need no network."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def site(repository, tmp_path_factory):
    """Path -> HTML of each page of the site."""
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    directory = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", directory],
        cwd=repository,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return {path.name: path.read_text(encoding="utf-8") for path in directory.glob("*.html")}


def test_each_page_is_in_the_site_and_its_internal_links_are_valid(site, repository):
    # `--strict` makes an invalid internal link an error.
    pages = {path.stem for path in repository.glob("docs/*.md")}
    assert {f"{name}.html" for name in pages} <= {*site}


def test_no_page_loads_a_file_from_a_server(site):
    loaded = re.compile(r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"?https?://[^\s\">]+")
    assert loaded.search('<script src="https://unpkg.com/x.js">')
    # A canonical link is not loaded.
    found = [tag for html in site.values() for tag in loaded.findall(html) if "canon" not in tag]
    assert found == []


def test_equations_are_mathml(site):
    page = site["model.html"]
    assert '<math display="block">' in page
    assert "\\mathrm" not in page
