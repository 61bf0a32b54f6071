"""Damaged packets are detected. `test_decode` tests whole files."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from pipeline.extraction.video.packets import PacketReader

AVCC = bytes([1, 100, 0, 31, 0xFF])  # lengths of four bytes
UNIT = b"\x65\x88\x84\x21\xa0" * 20


def unit(content, length=None):
    return (len(content) if length is None else length).to_bytes(4, "big") + content


class Packet(SimpleNamespace):
    """Fake packet with the attributes that the reader uses."""

    def __bytes__(self):
        return self.data


def packet(data, *, stream=0, pts=0, pos=None, is_corrupt=False):
    return Packet(
        data=data,
        size=len(data),
        stream_index=stream,
        pts=pts,
        dts=pts,
        duration=1,
        pos=pos,
        is_corrupt=is_corrupt,
        time_base=Fraction(1, 10),
    )


def read(*packets, codec="h264", extradata=AVCC, container="mov,mp4"):
    context = SimpleNamespace(name=codec, extradata=extradata)
    reader = PacketReader(
        SimpleNamespace(demux=lambda: iter(packets), format=SimpleNamespace(name=container)),
        SimpleNamespace(index=0, codec_context=context),
    )
    return reader, [is_damaged for _, is_damaged in reader]


@pytest.mark.parametrize(
    ("data", "is_damaged"),
    [
        (unit(UNIT), False),
        (unit(UNIT) + unit(UNIT + bytes(3)), False),
        (unit(UNIT, length=len(UNIT) + 1), True),
        (unit(UNIT) + b"\x00\x00", True),
        (unit(UNIT[:50] + bytes(8) + UNIT[50:]), True),
        (unit(b"\xe5" + UNIT), True),
        (bytes(400), True),
    ],
    ids=["a unit", "two, padded", "too long", "cut", "with a hole", "forbidden bit", "all zeros"],
)
def test_broken_nal_units_are_damage(data, is_damaged):
    assert read(packet(data))[1] == [is_damaged]


@pytest.mark.parametrize(
    ("codec", "data", "is_damaged"),
    [
        ("vp9", UNIT + bytes(64) + UNIT, True),
        ("vp9", UNIT + bytes(20) + UNIT, False),
        ("mpeg2video", UNIT + bytes(100) + b"\x01" + UNIT, False),
        ("mpeg2video", UNIT + bytes(100) + UNIT, True),
        ("mpeg2video", bytes(100), True),
        ("ffv1", bytes(1000), False),
    ],
)
def test_long_runs_of_zeros_are_damage(codec, data, is_damaged):
    assert read(packet(data), codec=codec, extradata=None)[1] == [is_damaged]


def test_a_packet_that_the_demuxer_marks_as_corrupt_is_damaged():
    assert read(packet(unit(UNIT), is_corrupt=True))[1] == [True]


def test_unread_bytes_before_a_late_frame_are_damage():
    size = len(unit(UNIT))
    places = [0, size, 2 * size + 5000, 3 * size + 5000]
    for times, expected in (
        ([0, 1, 5, 6], [False, False, True, False]),
        ([0, 1, 2, 3], [False] * 4),  # no frame is missing: the bytes are an index
    ):
        packets = [
            packet(unit(UNIT), pts=time, pos=pos) for time, pos in zip(times, places, strict=True)
        ]
        assert read(*packets, container="matroska,webm")[1] == expected
        assert read(*packets, container="mov,mp4")[1] == [False] * 4


def test_the_end_of_other_streams_is_recorded():
    reader, damaged = read(packet(b""), packet(unit(UNIT)), packet(b"sound", stream=1, pts=70))
    assert damaged == [False]
    assert reader.other_seconds == pytest.approx(7.1)
