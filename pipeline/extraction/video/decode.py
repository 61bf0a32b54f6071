"""Decode the wanted frames of a video, bit for bit as a full decode gives them.

Seeking loses: with keyframes 250 frames apart, 16 seeks cost six times one pass. So one
pass goes up to the last wanted frame. On H.264, frames that no other refers to and that
nobody wants are skipped, which changes no other frame and saves a quarter of the time.

Frames that are damaged, or refer to damage, are left out as far as anybody can tell: what
packets show is said in `packets`, and the decoder adds its own errors. Bytes that decode
without an error to something else cannot be told from sound ones.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av

from pipeline.extraction.video.packets import PacketReader
from pipeline.extraction.video.video import open_video

_SKIPS_EXACTLY = frozenset({"h264"})
"""Codecs whose decoder obeys a skip packet by packet; others decode everything (AV1's does
not, and HEVC may drop frames that a higher temporal layer refers to)."""

_DEEPEST: Final = 17
"""No codec shows a frame later than this many packets after its own."""


def iterate_frames(path: Path, codec: str, wanted: Collection[int]) -> Iterator[Any]:
    """Yield the sound frames (`av.VideoFrame`) of the wanted timestamps, in no set order.

    A frame that is damaged, refers to a damaged one or cannot be decoded is left out: who
    asks counts.

    Args:
        path: The file.
        codec: Name of its codec.
        wanted: Timestamps, in the time base of the stream.

    Raises:
        ClipError: If the file cannot be opened.
    """
    missing = set(wanted)
    if codec in _SKIPS_EXACTLY:
        for frame in _one_pass(path, missing, skips=True):
            missing.discard(frame.pts)
            yield frame
    if missing:
        for frame in _one_pass(path, missing, skips=False):
            missing.discard(frame.pts)
            yield frame


def _one_pass(path: Path, wanted: Collection[int], *, skips: bool) -> Iterator[Any]:
    missing = set(wanted)
    with open_video(path) as (container, stream):
        decoder = stream.codec_context
        decoder.thread_count = 1  # workers share the processors, not threads
        soundness = _Soundness(decoder, wanted)
        if not missing:
            return
        for packet, is_damaged in PacketReader(container, stream):
            if skips:
                decoder.skip_frame = "DEFAULT" if packet.pts in missing else "NONREF"
            for frame in soundness.decode(packet, is_damaged=is_damaged):
                missing.discard(frame.pts)
                yield frame
            if not missing:
                return
        yield from soundness.flush()


@dataclass(kw_only=True)
class _Group:
    """A keyframe and what follows it up to the next one, in the order of decoding."""

    shown_from: int | None
    """Timestamp of the keyframe; what is shown before it may refer to the group before."""
    follows_damage: bool
    """Whether the group before is damaged."""
    damaged_from: float = math.inf
    """Number of its first damaged packet in the file; what follows may refer to it."""


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """The packet that a frame was decoded from."""

    number: int
    """Its place in the file, from 0."""
    group: _Group
    latest: float
    """The latest timestamp up to it; inf where packets have none."""


class _Soundness:
    """Decodes, and keeps back what may refer to damage: decoders conceal it.

    After damage, no frame is sound before the next keyframe, in the order of decoding. As
    damage is noticed only when its frame is shown, after others that refer to it, a frame is
    held until all those decoded before it are known.
    """

    def __init__(self, decoder: Any, wanted: Collection[int]) -> None:
        self._decoder = decoder
        decoder.copy_opaque = True  # lets a frame name its packet
        self._wanted = set(wanted)
        self._held: list[tuple[Any, _Origin]] = []
        self._origins: dict[int, _Origin] = {}
        self._last = _Origin(
            number=-1, group=_Group(shown_from=None, follows_damage=False), latest=-math.inf
        )
        self._shown = -math.inf

    def decode(self, packet: Any, *, is_damaged: bool) -> Iterator[Any]:
        """Yield the wanted sound frames that are known to be sound once a packet is decoded."""
        number, group = self._last.number + 1, self._last.group
        if packet.is_keyframe:
            group = _Group(shown_from=packet.pts, follows_damage=math.isfinite(group.damaged_from))
        pts = math.inf if packet.pts is None else packet.pts
        self._last = _Origin(number=number, group=group, latest=max(pts, self._last.latest))
        self._origins[number] = self._last
        self._origins.pop(number - 4 * _DEEPEST, None)
        packet.opaque = number
        if is_damaged:
            self._mark(self._last)
        self._take(packet)
        yield from self._released()

    def flush(self) -> Iterator[Any]:
        """Yield the sound frames that are left at the end."""
        self._take(None)
        self._shown = math.inf
        yield from self._released()

    def _take(self, packet: Any) -> None:
        try:
            frames = self._decoder.decode(packet)
        except EOFError:  # flushed before
            return
        except av.FFmpegError:
            self._mark(self._last)
            return
        for frame in frames:
            origin = self._origins.get(frame.opaque, self._last)
            if frame.is_corrupt:
                self._mark(origin)
            if frame.pts is None:
                continue
            self._shown = max(self._shown, frame.pts)
            if frame.pts in self._wanted:
                self._wanted.discard(frame.pts)
                self._held.append((frame, origin))

    def _mark(self, origin: _Origin) -> None:
        origin.group.damaged_from = min(origin.group.damaged_from, origin.number)

    def _released(self) -> Iterator[Any]:
        still_held = []
        for frame, origin in self._held:
            is_known = self._shown >= origin.latest
            if is_known or self._last.number - origin.number >= _DEEPEST:
                if _is_sound(frame, origin):
                    yield frame
            else:
                still_held.append((frame, origin))
        self._held = still_held


def _is_sound(frame: Any, origin: _Origin) -> bool:
    group = origin.group
    refers_back = (
        group.follows_damage and group.shown_from is not None and frame.pts < group.shown_from
    )
    return origin.number < group.damaged_from and not refers_back
