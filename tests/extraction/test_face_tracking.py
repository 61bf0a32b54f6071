"""The main face of a clip is tracked."""

import numpy as np

from pipeline.extraction.faces.detection import Face
from pipeline.extraction.faces.face_tracking import track_main_face


def face(x, y=0.3, size=0.1):
    box = np.array([x - size / 2, y - size / 2, size, size])
    return Face(box=box, landmarks=np.zeros((5, 2)), confidence=1.0)


def test_the_larger_of_two_faces_is_tracked_in_any_order():
    left = [face(0.2 + step / 200, size=0.10) for step in range(6)]
    right = [face(0.7 - step / 200, size=0.12) for step in range(6)]
    faces = [[left[step], right[step]][:: 1 if step % 2 else -1] for step in range(6)]
    assert track_main_face(faces) == right


def test_a_permanent_face_is_preferred_to_a_larger_face_that_appears_briefly():
    stays = [face(0.3, size=0.1) for _ in range(10)]
    passes = face(0.8, size=0.3)
    faces = [[stays[step]] + ([passes] if step in (4, 5) else []) for step in range(10)]
    assert track_main_face(faces) == stays


def test_another_face_does_not_replace_a_missing_main_face():
    main = [face(0.3, size=0.2) for _ in range(6)]
    other = [face(0.8, size=0.1) for _ in range(6)]
    faces = [[main[step], other[step]] if step != 3 else [other[step]] for step in range(6)]
    tracked = track_main_face(faces)
    assert tracked[3] is None
    assert tracked[:3] + tracked[4:] == main[:3] + main[4:]


def test_a_face_is_tracked_across_a_gap():
    faces = [[face(0.4)], [], [], [face(0.45)]]
    assert track_main_face(faces) == [faces[0][0], None, None, faces[3][0]]


def test_a_zoom_and_a_small_move_keep_the_track():
    faces = [[face(0.4, size=0.1)], [face(0.5, size=0.15)], [face(0.42, size=0.1)]]
    assert None not in track_main_face(faces)


def test_a_distant_face_or_another_size_starts_a_new_track():
    assert track_main_face([[face(0.2)], [face(0.9)], [face(0.2)]])[1] is None
    rest = [[face(0.2)]] * 3
    assert track_main_face([[face(0.2)], [face(0.2, size=0.3)], *rest])[1] is None


def test_without_faces_every_step_is_empty():
    assert track_main_face([[], [], []]) == [None, None, None]
    assert track_main_face([]) == []
