"""The packets of a video stream, and which of them show that the file was damaged.

Decoders conceal damage and containers resynchronise after it, mostly without a word. What can
be told from packets alone is told here; what only a decoder notices, in `decode`.

What is noticed: a packet that the demuxer calls corrupt; runs of zeros that no encoder writes,
which is what a hole on a disk or in a download reads as; lengths of NAL units that do not add
up; and, in Matroska and FLV, bytes before a packet that could not be read.

What is not noticed here: bytes that were exchanged for others than zeros inside of a packet.
The decoders of H.264 and MPEG report most of those; those of VP8, VP9, AV1, HEVC and Motion JPEG
decode almost anything without an error, and then nobody can tell. AVI counts its frames
instead of dating them: what follows a loss is dated early, and the coverage alone shows it.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import av

_RUN: Final = bytes(64)
_NAL_RUN: Final = bytes(4)
"""NAL units are written so that not even three zeros follow each other in them."""
_TAIL: Final = 64
"""Zeros at the end of a NAL unit that count as padding, in bytes."""
_STUFFED: Final = re.compile(rb"\x00{64,}[^\x00\x01]")
"""Zeros that do not lead up to a start code, before which any number is allowed."""
_ARITHMETIC: Final = frozenset({"vp8", "vp9", "av1"})
_WITH_START_CODES: Final = frozenset(
    {"h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv1", "vc1", "wmv3", "mjpeg"}
)
"""Codecs whose packets hold no long runs of zeros but before start codes and as padding. Other
codecs, the lossless ones above all, are not looked into."""
_CONTIGUOUS: Final = frozenset({"matroska,webm", "flv"})
"""Containers in which packets lie one after the other, with a few bytes between them."""
_SKIPPED: Final = 1024
"""More bytes than this between two packets hold no header but what could not be read."""


class PacketReader:
    """Reads the packets of one stream up to the end, or up to where the file cannot be read.

    Args:
        container: The open file; it is read from where it stands.
        stream: The video stream.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self.other_seconds = 0.0
        """Where the latest packet of the other streams ended, since the time 0 of the file."""
        self._container = container
        self._stream = stream
        self._shows_damage = _content_check(stream.codec_context)
        self._is_contiguous = container.format.name in _CONTIGUOUS
        self._end: int | None = None
        self._latest: int | None = None
        self._step: int | None = None

    def __iter__(self) -> Iterator[tuple[Any, bool]]:
        """Yield each packet and whether it is damaged, or what it may refer to was lost."""
        packets = self._container.demux()
        has_skipped = False
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return  # shows in the coverage
            if packet is None:
                return
            if not packet.size:  # flushes a decoder, or stands for a frame that was dropped
                continue
            has_skipped |= self._has_skipped(packet)
            if packet.stream_index != self._stream.index:
                self._note_other(packet)
                continue
            is_late = self._is_late(packet)
            yield (
                packet,
                packet.is_corrupt or (has_skipped and is_late) or self._shows_damage(bytes(packet)),
            )
            has_skipped = False

    def _note_other(self, packet: Any) -> None:
        if packet.pts is not None and packet.time_base is not None:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
            self.other_seconds = max(self.other_seconds, end)

    def _has_skipped(self, packet: Any) -> bool:
        """Return whether there are bytes before a packet that nothing accounts for."""
        if not self._is_contiguous or packet.pos is None or packet.pos < 0:
            return False
        end, self._end = self._end, packet.pos + packet.size
        return end is not None and packet.pos - end > _SKIPPED

    def _is_late(self, packet: Any) -> bool:
        """Return whether frames may be missing before a packet.

        A stall alone loses no bytes, and an index between packets loses no frames. Where
        frames are reordered, each may be late. The time of decoding would not be, but after
        a loss demuxers make it up from the frames before.
        """
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is None:
            return True
        step = None if self._latest is None else stamp - self._latest
        if step is not None and step <= 0:
            return False
        self._latest = stamp
        if step is None:
            return False
        self._step = step if self._step is None else min(step, self._step)
        return bool(step > 1.5 * self._step)


def _content_check(codec_context: Any) -> Callable[[bytes], bool]:
    """Return the function that tells from the bytes of a packet whether it is damaged."""
    codec, extradata = codec_context.name, codec_context.extradata or b""
    # The first byte of avcC and hvcC is their version; that of start codes is 0.
    if codec == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return lambda data: _has_broken_units(data, (extradata[4] & 3) + 1)
    if codec == "hevc" and len(extradata) > 21 and extradata[0] == 1:
        return lambda data: _has_broken_units(data, (extradata[21] & 3) + 1)
    if codec in _ARITHMETIC or codec == "libdav1d":
        return lambda data: _RUN in data
    if codec in _WITH_START_CODES:
        return _has_hole
    return lambda data: False


def _has_hole(data: bytes) -> bool:
    return _RUN in data and (_STUFFED.search(data) is not None or not any(data))


def _has_broken_units(data: bytes, prefix_bytes: int) -> bool:
    """Return whether a packet is no sequence of whole NAL units behind their lengths."""
    if not any(data):
        return True
    at = 0
    while at + prefix_bytes <= len(data):
        begin = at + prefix_bytes
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > len(data):
            return True
        if begin == at:
            continue
        is_forbidden = data[begin] & 0x80
        run = data.find(_NAL_RUN, begin, at)
        if is_forbidden or (run >= 0 and (at - run > _TAIL or any(data[run:at]))):
            return True
    return at != len(data)
