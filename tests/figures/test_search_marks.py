from pipeline.figures.layout import build_panels
from pipeline.figures.search_marks import (
    STATE_COLOURS,
    STATE_LABELS,
    dot_handle,
    draw_ticks,
    mark_special,
    special_handles,
    special_lines,
    tick_handles,
)
from pipeline.figures.search_study import LOST, STATES, parse_study
from pipeline.figures.style import SCREEN
from tests.figures.search_studies import study, study_content


def drawn(draw):
    with SCREEN.applied():
        _, (axes,) = build_panels(SCREEN, title="t")
        draw(axes)
    return axes


def best_and_default(*, are_one):
    content = study_content(4, share_pruned=0.0, share_failed=0.0)
    return parse_study(content | {"best": {"number": 0 if are_one else 3}})


def test_every_state_has_a_colour_and_a_label():
    states = {*STATES.values(), LOST}

    assert STATE_COLOURS.keys() == STATE_LABELS.keys() == states
    assert len(set(STATE_COLOURS.values())) == len(states)


def test_best_and_default_are_marked_where_they_are():
    places = {0: (0.0, 5.0), 3: (3.0, 4.0)}

    axes = drawn(lambda axes: mark_special(axes, best_and_default(are_one=False), places))

    found = {line.get_marker(): line.get_xydata().tolist() for line in axes.lines}
    assert found == {"D": [[0.0, 5.0]], "*": [[3.0, 4.0]]}


def test_a_trial_that_has_no_place_is_not_marked():
    axes = drawn(lambda axes: mark_special(axes, best_and_default(are_one=False), {0: (0, 5)}))

    assert [line.get_marker() for line in axes.lines] == ["D"]


def test_a_default_that_is_the_best_is_seen_behind_the_star():
    axes = drawn(lambda axes: mark_special(axes, best_and_default(are_one=True), {0: (0, 5)}))

    diamond, star = axes.lines
    assert diamond.get_markersize() == star.get_markersize()


def test_the_legend_names_what_there_is():
    labels = [handle.get_label() for handle in special_handles(best_and_default(are_one=False))]
    as_lines = [handle.get_label() for handle in special_lines(best_and_default(are_one=False))]

    assert labels == as_lines == ["best: trial 3", "default configuration"]
    assert [each.get_label() for each in special_handles(best_and_default(are_one=True))] == [
        "best: trial 0, the default"
    ]
    assert special_handles(study(3, share_failed=1.0)) == []


def test_with_two_objectives_the_legend_says_what_the_best_is_best_in():
    handles = special_handles(study(9, objectives=("accuracy", "weights"), with_default=False))

    assert handles[0].get_label().startswith("best in accuracy: trial ")


def test_ticks_are_drawn_in_one_row_a_state():
    axes = drawn(lambda axes: draw_ticks(axes, {"pruned": [1.0, 2.0], "failed": [], "lost": [3]}))

    rows = [(line.get_xdata(), line.get_ydata()[0]) for line in axes.lines]
    assert [list(places) for places, _ in rows] == [[1.0, 2.0], [3]]
    assert rows[0][1] < rows[1][1] < 0.2


def test_the_legend_of_ticks_holds_the_states_that_occur():
    labels = [handle.get_label() for handle in tick_handles(study(60))]

    assert labels == ["pruned, no value", "failed, no value"]


def test_a_dot_can_have_another_colour():
    assert dot_handle("complete").get_color() == STATE_COLOURS["complete"]
    assert dot_handle("complete", colour="red").get_color() == "red"
