"""The page of interactive figures needs no server and no network."""

import pytest
from matplotlib import pyplot as plt

from pipeline.figures.base.spec import FigureSpec
from pipeline.figures.gallery import DrawnFigure, OmittedFigure
from pipeline.search.page import write_page


@pytest.fixture
def make_page(tmp_path):
    """Return a function that writes a page with one figure, and returns its path."""

    def make(text="text"):
        import plotly.graph_objects as go

        plot = go.Figure([go.Bar(x=[1, 10], y=[text, "b"], name=text)])
        texts = {"title": text, "caption": text}
        spec = FigureSpec(name="bars", **texts, data=dict, draw=plt.figure, alt_text=str)
        drawn = DrawnFigure(spec=spec, paths=(), alt_text=text)
        omitted = OmittedFigure(spec=spec, reason=text, is_fault=False)
        path = tmp_path / "page.html"
        write_page(path, title=text, summary=text, figures=[(drawn, plot)], omitted=[omitted])
        return path

    return make


def test_texts_are_escaped_and_plotly_is_included_once(make_page):
    page = make_page('</script><b id="x">').read_text(encoding="utf-8")
    assert '<b id="x">' not in page
    assert page.count("plotly.js v") == 1


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("width", [375, 1280])
def test_a_browser_draws_the_page_from_disk_without_the_network(width, make_page, browser):
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(make_page().as_uri())
    page.wait_for_selector("#bars .bars .point", state="attached", timeout=30_000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
