import pytest

from pipeline.report.page import write_page
from tests.report.conftest import make_image, make_missing_image, make_png, make_scores

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PHONE, DESKTOP = 375, 1280
LONG = "a-name-that-no-line-break-fits-into-" * 6


@pytest.fixture
def report_path(tmp_path, contents, records_with):
    """Path of a report with wide and narrow figures, all kinds of tables, and long names."""
    contents["config.yaml"]["name"] = LONG
    subgroup = {"num_clips": 300, "num_groups": 6, "metrics": make_scores()}
    records = records_with(
        config=contents["config.yaml"],
        data={"encoder": "random", "sources": [f"/data/{LONG}/static.npy"]},
        evaluation={"num_groups": 12, "by": {"gender": {"women": subgroup, LONG: subgroup}}},
        environment={"command": f"__main__.py train --config {LONG}.yaml"},
    )
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10"></svg>'
    images = [
        make_image(data=make_png(704, 420)),
        make_image(data=make_png(1100, 500), title=LONG),
        make_image(media_type="image/svg+xml", data=drawing),
        make_image(folder="training_time_analysis", data=make_png(1100, 500)),
    ]
    path = tmp_path / "report.html"
    write_page(path, records, images=images, missing_images=[make_missing_image(reason=LONG)])
    return path


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize(
    ("scheme", "paper"), [("light", "rgb(253, 253, 252)"), ("dark", "rgb(20, 23, 27)")]
)
def test_the_page_opens_from_disk_without_errors(browser, report_path, width, scheme, paper):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    faults = []
    requests = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))

    page.goto(report_path.as_uri())

    assert faults == []
    assert requests == [report_path.as_uri()]
    assert page.evaluate("[...document.images].length") == 4
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    sheet = page.evaluate("getComputedStyle(document.querySelector('.sheet')).backgroundColor")
    assert sheet == "rgb(255, 255, 255)"  # figures are drawn on white
    context.close()


def test_the_page_works_in_the_sandboxed_frame_of_a_tracking_server(browser, report_path):
    page = browser.new_page(viewport={"width": DESKTOP, "height": 800})
    faults = []
    page.on("console", lambda message: faults.append(message.text))
    page.set_content('<iframe sandbox="allow-scripts" width="1000" height="700"></iframe>')
    page.evaluate(
        """html => {
            const blob = new Blob([html], { type: "text/html" });
            document.querySelector("iframe").src = URL.createObjectURL(blob);
        }""",
        report_path.read_text(encoding="utf-8"),
    )
    frame = page.frame_locator("iframe")

    frame.get_by_role("link", name="Model card").click()

    heading = frame.get_by_role("heading", name="Model card")
    assert heading.is_visible()
    assert frame.get_by_text("Research on first impressions").is_visible()
    assert 0 <= heading.evaluate("heading => heading.getBoundingClientRect().top") < 100
    assert faults == []
    page.close()


def test_a_printed_page_contains_the_folded_parts(browser, report_path):
    page = browser.new_page()
    page.goto(report_path.as_uri())
    card = page.get_by_text("Research on first impressions")
    assert not card.is_visible()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert card.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert not card.is_visible()
    page.close()


def test_a_link_to_a_folded_part_opens_it(browser, report_path):
    page = browser.new_page()
    page.goto(f"{report_path.as_uri()}#model-card")
    assert page.get_by_text("Research on first impressions").is_visible()
    page.close()


def test_figures_and_headings_are_accessible(browser, report_path):
    page = browser.new_page()
    page.goto(report_path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")

    assert page.get_by_role("img", name="The loss falls from 0.2 to 0.1.").count() == 4
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("table").count() == page.locator("table").count() > 5
    page.close()
