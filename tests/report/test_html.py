"""The page is one file, whole, and safe to open."""

import base64
import hashlib
import html.parser
import re

import pytest

from pipeline.core.run_directory import RunDirectory
from pipeline.report.content import report_content
from pipeline.report.html import render_html, write_html
from pipeline.report.loading import load_records

ATTACK = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "line", "link", "input"}


class Outline(html.parser.HTMLParser):
    """Collects what a page is made of, and checks that its elements are nested."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.headings: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in {"h1", "h2"}:
            self.headings.append(data)

    def values(self, attribute):
        return [value for _, name, value in self.attributes if name == attribute]


@pytest.fixture
def page(records_with, picture_with, missing_picture_with):
    content = report_content(
        records_with(),
        pictures=[picture_with(), picture_with(name="b", folder="training_time_analysis")],
        missing_pictures=[missing_picture_with()],
    )
    return render_html(content)


def test_the_elements_are_nested_and_every_part_has_a_heading(page):
    assert Outline(page).headings == [
        "example",
        "Contents",
        "Summary",
        "What to distrust",
        "Scores",
        "Baselines",
        "Training and traits",
        "Attention",
        "Time",
        "Model card",
        "Configuration",
        "Environment",
        "Run it again",
    ]


def test_nothing_is_loaded_from_elsewhere(page):
    outline = Outline(page)

    assert all(value.startswith("data:image/png;base64,") for value in outline.values("src"))
    assert not {"link", "iframe", "object", "base"} & set(outline.tags)
    assert "@import" not in page
    assert "url(" not in page


def test_links_lead_into_the_page_or_to_whole_addresses(page):
    outline = Outline(page)
    anchors = {f"#{value}" for value in outline.values("id")}

    for target in outline.values("href"):
        assert target in anchors or target.startswith("https://arxiv.org/abs/")


def test_ids_are_given_once(page):
    ids = Outline(page).values("id")

    assert len(ids) == len(set(ids))


def test_every_picture_has_words_and_a_size(page):
    outline = Outline(page)
    alts = [value for tag, name, value in outline.attributes if (tag, name) == ("img", "alt")]

    assert alts == ["The loss falls from 0.2 to 0.1."] * 2
    assert outline.values("height") == ["6", "6"]


def test_the_page_forbids_itself_the_network_and_every_script_but_its_own(page):
    (policy,) = [value for value in Outline(page).values("content") if "default-src" in value]
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()

    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_what_comes_from_files_is_escaped(
    contents, scores, records_with, picture_with, missing_picture_with
):
    contents["config.yaml"]["name"] = ATTACK
    contents["config.yaml"]["description"] = ATTACK
    contents["data.json"]["encoder"] = {ATTACK: ATTACK}
    contents["data.json"]["sources"] = [f"{ATTACK}.csv"]
    contents["environment.json"]["command"] = ATTACK
    contents["environment.json"]["packages"] = {ATTACK: ATTACK}
    contents["summary.json"]["monitor"] = f"val_{ATTACK}"
    contents["evaluation.json"]["baselines"][ATTACK] = scores()
    contents["evaluation.json"]["by"] = {
        ATTACK: {ATTACK: {"num_clips": 1, "num_groups": 1, "metrics": scores()}}
    }
    contents["time_tracking/time_logs.json"]["breakdown"] = {ATTACK: 1.0}
    advice = "training_time_analysis/training_speedup_recommendations.json"
    contents[advice] = [
        {
            "issue": ATTACK,
            "details": ATTACK,
            "recommendation": f"`{ATTACK}`",
            "expected_gain": ATTACK,
        }
    ]
    content = report_content(
        records_with(
            config=contents["config.yaml"],
            summary=contents["summary.json"],
            evaluation=contents["evaluation.json"],
            environment=contents["environment.json"],
            data=contents["data.json"],
            times=contents["time_tracking/time_logs.json"],
            advice=contents[advice],
        ),
        pictures=[picture_with(title=ATTACK, caption=f"`{ATTACK}`", alt_text=f'"><b>{ATTACK}')],
        missing_pictures=[missing_picture_with(title=ATTACK, reason=ATTACK, folder=ATTACK)],
        problems=[ATTACK],
    )

    page = render_html(content)

    assert Outline(page).tags.count("script") == 1
    assert "b" not in Outline(page).tags
    assert page.count("&lt;script&gt;") > 20


def test_words_in_backticks_are_set_as_code(records_with):
    page = render_html(report_content(records_with()))

    assert "<code>training.cache</code>" in page
    assert "`" not in page


def test_a_damaged_run_names_what_is_missing(tmp_path):
    page = render_html(report_content(load_records(RunDirectory(tmp_path))))

    assert "What is missing" in Outline(page).headings
    assert "summary.json: the run does not have this file." in page


def test_measured_times_that_call_for_nothing_are_said_to(records_with):
    assert "Nothing in the measured times" in render_html(report_content(records_with(advice=[])))
    assert "would make it faster" not in render_html(report_content(records_with(advice=None)))


def test_the_same_run_gives_the_same_file(records_with, picture_with):
    pages = {
        render_html(report_content(records_with(), pictures=[picture_with()])) for _ in range(2)
    }

    assert len(pages) == 1


def test_the_page_is_hardly_larger_than_its_pictures(records_with, picture_with, png):
    noise = b"\n".join([png(), bytes(150_000), png()])  # 40 of these make 6 MB
    pictures = [picture_with(name=f"figure-{number}", data=noise) for number in range(40)]

    page = render_html(report_content(records_with(), pictures=pictures))

    assert len(page) < 10_000_000


def test_no_tag_is_left_of_the_template(page):
    assert not re.search(r"{{|{%|}}|%}|Undefined|None", page)


def test_the_file_is_written_as_it_is_rendered(tmp_path, records_with):
    content = report_content(records_with())

    write_html(tmp_path / "report.html", content)

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(content)
