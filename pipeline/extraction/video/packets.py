"""Read the packets of a video stream, and detect damaged packets.

Most decoders conceal damage without an error, and demuxers skip damaged bytes without an error.
This module detects:

- packets that the demuxer marks as corrupt;
- sequences of zeros that encoders never write (holes in a file);
- inconsistent lengths of NAL units;
- unreadable bytes before a packet in Matroska and FLV files.

This module does not detect other damage within a packet. The H.264 and MPEG decoders report most
of this damage. The VP8, VP9, AV1, HEVC and Motion JPEG decoders do not report this damage. AVI
files store frame numbers instead of times. Therefore, after lost frames, frame times are too
early, and only a low coverage shows the loss.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import av

_RUN: Final = bytes(64)
_NAL_RUN: Final = bytes(4)
"""Zeros that are invalid in a NAL unit. Encoders never write even three successive zeros."""
_TAIL: Final = 64
"""Maximum number of padding zeros at the end of a NAL unit."""
_STUFFED: Final = re.compile(rb"\x00{64,}[^\x00\x01]")
"""Zeros without a start code after them. Before a start code, any number of zeros is valid."""
_ARITHMETIC: Final = frozenset({"vp8", "vp9", "av1"})
_WITH_START_CODES: Final = frozenset(
    {"h264", "hevc", "mpeg4", "mpeg1video", "mpeg2video", "h263", "flv1", "vc1", "wmv3", "mjpeg"}
)
"""Codecs whose packets contain long sequences of zeros only before start codes and as padding.
Packets of lossless codecs can contain such sequences anywhere, so these packets are not checked."""
_CONTIGUOUS: Final = frozenset({"matroska,webm", "flv"})
"""Container formats with only a few bytes between packets."""
_MAX_HEADER: Final = 1024
"""Maximum number of header bytes between two packets. Longer sections count as unreadable data."""


class PacketReader:
    """Iterator over the packets of a stream, up to the end or the first read error."""

    def __init__(self, container: Any, stream: Any) -> None:
        self.other_seconds = 0.0
        """Latest end time of packets in all other streams, in seconds from time 0 of the file."""
        self._container = container
        self._stream = stream
        self._has_damage = _content_check(stream.codec_context)
        self._is_contiguous = container.format.name in _CONTIGUOUS
        self._end: int | None = None
        self._latest: int | None = None
        self._step: int | None = None

    def __iter__(self) -> Iterator[tuple[Any, bool]]:
        """Yield each packet with a flag: True if the packet is damaged or follows lost packets."""
        packets = self._container.demux()
        has_skipped = False
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                return  # the coverage will show the loss
            if packet is None:
                return
            if not packet.size:  # an empty packet flushes the decoder or marks a dropped frame
                continue
            has_skipped |= self._has_skipped(packet)
            if packet.stream_index != self._stream.index:
                if packet.pts is not None and packet.time_base is not None:
                    end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                    self.other_seconds = max(self.other_seconds, end)
                continue
            follows_loss = self._is_late(packet) and has_skipped
            yield packet, packet.is_corrupt or follows_loss or self._has_damage(bytes(packet))
            has_skipped = False

    def _has_skipped(self, packet: Any) -> bool:
        if not self._is_contiguous or packet.pos is None or packet.pos < 0:
            return False
        end, self._end = self._end, packet.pos + packet.size
        return end is not None and packet.pos - end > _MAX_HEADER

    def _is_late(self, packet: Any) -> bool:
        # If bytes were skipped but no frame is late, the bytes can be an index of the file. If a
        # frame is late but no bytes were skipped, the camera can have paused. After a loss,
        # demuxers compute decoding times from earlier frames. These times are wrong, so
        # presentation times are used.
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
    codec, extradata = codec_context.name, codec_context.extradata or b""
    # If `extradata` has the format avcC or hvcC, its first byte is the version, 1. If it has start
    # codes, its first byte is 0.
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
