import base64
import hashlib
import html.parser
import re

import pytest

from pipeline.cli import parse
from pipeline.core.run_directory import RunDirectory
from pipeline.report.loading import load_records
from pipeline.report.page import commands, write_page
from tests.report.conftest import make_image, make_missing_image, make_png, make_scores

ATTACK = '<script>alert("x")</script>'
VOID = {"meta", "img", "br", "line", "link", "input"}
CHECKOUT = "git checkout 0123456789abcdef0123456789abcdef01234567"


class Outline(html.parser.HTMLParser):
    """Elements of a page. The parser fails if elements are not nested correctly."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.headings = [], [], [], []
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
def render(tmp_path, records_with):
    """Write a page, of the example run by default, and return its text."""

    def build(records=None, **options):
        path = tmp_path / "report.html"
        write_page(path, records or records_with(), **options)
        return path.read_text(encoding="utf-8")

    return build


@pytest.fixture
def page(render):
    images = [make_image(), make_image(folder="training_time_analysis")]
    return render(images=images, missing_images=[make_missing_image()])


def test_every_part_has_a_heading(page):
    assert ", ".join(Outline(page).headings) == (
        "example, Contents, Summary, What to distrust, Scores, Baselines, Training and traits, "
        "Attention, Time, Model card, Configuration, Environment, Repeat the run"
    )
    assert "An example run." in page
    assert "Entropy" in page  # a figure without data is not a problem


def test_only_the_key_figures_are_outside_of_folded_parts(render):
    names = ("train_val_loss", "scores_and_baselines")
    text = render(images=[make_image(name=name, alt_text=name) for name in names])
    unfolded = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert re.findall(r'alt="(\w+)"', unfolded) == ["scores_and_baselines"]
    assert sorted(re.findall(r'alt="(\w+)"', text)) == sorted(names)


def test_scores_of_several_splits_are_side_by_side(render, records_with):
    validation = records_with(evaluation={"split": "validation"}).evaluation
    text = render(records_with(others=[validation]))
    assert '<th scope="row">test clips</th>' in text
    assert '<th scope="row">validation clips</th>' in text
    assert '<th scope="row">validation clips</th>' not in render()


def test_nothing_is_loaded_from_other_files(page):
    outline = Outline(page)
    assert all(value.startswith("data:image/png;base64,") for value in outline.values("src"))
    assert not {"link", "iframe", "object", "base"} & set(outline.tags)
    assert "@import" not in page
    assert "url(" not in page


def test_links_have_targets_and_ids_are_unique(page):
    outline = Outline(page)
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    for target in outline.values("href"):
        assert target.removeprefix("#") in ids or target.startswith("https://arxiv.org/abs/")


def test_every_image_has_an_alt_text_and_a_size(page):
    outline = Outline(page)
    alts = [value for tag, name, value in outline.attributes if (tag, name) == ("img", "alt")]
    assert alts == ["The loss falls from 0.2 to 0.1."] * 2
    assert outline.values("height") == ["6", "6"]


def test_the_page_blocks_the_network_and_other_scripts(page):
    (policy,) = [value for value in Outline(page).values("content") if "default-src" in value]
    (script,) = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    script_hash = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{script_hash}'" in policy


def test_text_from_files_is_escaped(contents, records_with, render):
    contents["config.yaml"]["name"] = ATTACK
    contents["config.yaml"]["description"] = ATTACK
    contents["data.json"]["encoder"] = {ATTACK: ATTACK}
    contents["data.json"]["sources"] = [f"{ATTACK}.csv"]
    contents["environment.json"]["command"] = ATTACK
    contents["environment.json"]["packages"] = {ATTACK: ATTACK}
    contents["summary.json"]["monitor"] = f"val_{ATTACK}"
    contents["evaluation.json"]["baselines"][ATTACK] = make_scores()
    contents["evaluation.json"]["by"] = {
        ATTACK: {ATTACK: {"num_clips": 1, "num_groups": 1, "metrics": make_scores()}}
    }
    advice = dict.fromkeys(("issue", "details", "expected_gain"), ATTACK)
    files = ("config.yaml", "summary.json", "evaluation.json", "environment.json", "data.json")
    text = render(
        records_with(
            **{file.partition(".")[0]: contents[file] for file in files},
            times={"breakdown": {ATTACK: 1.0}},
            advice=[advice | {"recommendation": f"`{ATTACK}`"}],
        ),
        images=[make_image(title=ATTACK, caption=f"`{ATTACK}`", alt_text=f'"><b>{ATTACK}')],
        missing_images=[make_missing_image(title=ATTACK, reason=ATTACK, folder=ATTACK)],
        problems=[ATTACK],
    )
    assert Outline(text).tags.count("script") == 1
    assert "b" not in Outline(text).tags
    assert text.count("&lt;script&gt;") > 20


def test_words_in_backticks_are_code_and_template_tags_are_rendered(page):
    assert "<code>training.cache</code>" in page
    assert not re.search(r"`|{{|{%|}}|%}|Undefined|None", page)


def test_an_empty_run_directory_has_a_report(tmp_path, render):
    text = render(load_records(RunDirectory(tmp_path / "a-run")))
    headings = ["a-run", "Contents", "Summary", "Missing data", "Model card"]
    assert Outline(text).headings == headings
    assert "summary.json: the run does not have this file." in text


def test_figures_missing_for_one_fault_are_one_problem(render):
    reason = "time_logs.json: cannot be read as JSON."
    fault = {"reason": reason, "is_fault": True}
    missing = [make_missing_image(title=title, **fault) for title in ("Epochs", "Steps")]
    text = render(missing_images=missing, problems=["No run log."])
    assert f"<li>{reason} Not drawn: Epochs and Steps.</li>" in text
    assert "<li>No run log.</li>" in text


def test_speed_advice_is_shown_if_it_was_computed(render, records_with):
    assert "do not suggest a faster setting" in render(records_with(advice=[]))
    assert "Speed advice" not in render(records_with(advice=None))
    assert 'href="#time"' not in render(records_with(advice=None, times=None))


def test_the_same_run_gives_the_same_small_page(render):
    noise = b"\n".join([make_png(), bytes(150_000), make_png()])  # 40 images have 6 MB
    images = [make_image(data=noise)] * 40
    text = render(images=images)
    assert render(images=images) == text
    assert len(text) < 10_000_000


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("__main__.py train --config a.yaml", "python -m pipeline train --config a.yaml"),
        ("ocean-pipeline train", "ocean-pipeline train"),
    ],
)
def test_the_original_command_can_be_repeated(records_with, command, expected):
    found = commands(records_with(environment={"command": command}))
    assert found["Original command"] == (CHECKOUT, expected)


def test_the_saved_configuration_can_be_trained_again(records_with):
    _, lines = commands(records_with(directory="runs/a run")).values()
    assert lines == (CHECKOUT, "python -m pipeline train --config 'runs/a run/config.yaml'")
    _, lines = commands(records_with()).values()
    assert str(parse(lines[-1].split()[3:]).config) == "a-run/config.yaml"


def test_commands_need_an_environment_and_a_checkout_needs_a_commit(records_with):
    assert commands(records_with(environment=None)) == {}
    original, _ = commands(records_with(environment={"git": {}})).values()
    assert len(original) == 1
