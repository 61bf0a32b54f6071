"""Decode the sampled frames of a video. Decoding all frames would give identical pixels.

Frames are decoded in one pass up to the last sampled frame. If keyframes are 250 frames apart,
seeking to 16 frames would take six times as long. For H.264, frames that are neither sampled nor
reference frames are skipped. Skipping saves a quarter of the time.

Frames with detectable damage, and frames that depend on damaged frames, are omitted. Damage is
detected by `PacketReader` or reported by the decoder.
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
"""Codecs whose decoders can skip single packets. AV1 is excluded, because its decoders ignore
`skip_frame`. HEVC is excluded, because its decoders may drop frames that other frames need."""

_MAX_DELAY: Final = 17
"""Maximum number of packets by which a decoder of any codec delays a frame."""


def iterate_frames(path: Path, codec: str, wanted: Collection[int]) -> Iterator[Any]:
    """Yield the undamaged frames with the wanted timestamps as `av.VideoFrame`, in any order.

    Raises:
        ClipError: If the file cannot be opened.
    """
    missing = set(wanted)
    for skips in [True, False] if codec in _SKIPS_EXACTLY else [False]:
        if missing:
            for frame in _decode_once(path, frozenset(missing), skips=skips):
                missing.discard(frame.pts)
                yield frame


def _decode_once(path: Path, wanted: Collection[int], *, skips: bool) -> Iterator[Any]:
    missing = set(wanted)
    with open_video(path) as (container, stream):
        decoder = stream.codec_context
        decoder.thread_count = 1  # the worker processes already run in parallel
        safe_decoder = _SafeDecoder(decoder, wanted)
        for packet, is_damaged in PacketReader(container, stream):
            if skips:
                decoder.skip_frame = "DEFAULT" if packet.pts in missing else "NONREF"
            for frame in safe_decoder.decode(packet, is_damaged=is_damaged):
                missing.discard(frame.pts)
                yield frame
            if not missing:
                return
        yield from safe_decoder.flush()


@dataclass(kw_only=True)
class _Group:
    """Packets from a keyframe up to the next keyframe, in decoding order."""

    keyframe_pts: int | None
    """Timestamp of the keyframe. Frames of this group with an earlier timestamp may depend on the
    previous group."""
    follows_damage: bool
    damaged_from: float = math.inf
    """Number of the first damaged packet, counted as in `_Origin`; inf if no packet is damaged.
    Later packets of the group may depend on this packet."""


@dataclass(frozen=True, kw_only=True)
class _Origin:
    """Packet of a decoded frame."""

    number: int
    """Number of the packet in the stream, from 0."""
    group: _Group
    latest: float
    """Latest timestamp of this packet and all earlier packets; inf if a timestamp is missing."""


class _SafeDecoder:
    """Decoder that omits damaged frames. FFmpeg decoders would conceal the damage.

    In decoding order, all frames from damage to the next keyframe may be damaged. The decoder may
    report damage after the output of dependent frames. Therefore a frame is delayed until the
    decoder has returned all frames of earlier packets.
    """

    def __init__(self, decoder: Any, wanted: Collection[int]) -> None:
        self._decoder = decoder
        decoder.copy_opaque = True  # the decoder copies the packet number to the frame
        self._wanted = set(wanted)
        self._delayed: list[tuple[Any, _Origin]] = []
        self._origins: dict[int, _Origin] = {}
        self._last = _Origin(
            number=-1, group=_Group(keyframe_pts=None, follows_damage=False), latest=-math.inf
        )
        self._shown = -math.inf

    def decode(self, packet: Any, *, is_damaged: bool) -> Iterator[Any]:
        number, group = self._last.number + 1, self._last.group
        if packet.is_keyframe:
            follows_damage = math.isfinite(group.damaged_from)
            group = _Group(keyframe_pts=packet.pts, follows_damage=follows_damage)
        pts = math.inf if packet.pts is None else packet.pts
        self._last = _Origin(number=number, group=group, latest=max(pts, self._last.latest))
        self._origins[number] = self._last
        self._origins.pop(number - 4 * _MAX_DELAY, None)
        packet.opaque = number
        if is_damaged:
            self._mark_damage(self._last)
        self._decode_packet(packet)
        yield from self._release()

    def flush(self) -> Iterator[Any]:
        self._decode_packet(None)
        self._shown = math.inf
        yield from self._release()

    def _decode_packet(self, packet: Any) -> None:
        try:
            frames = self._decoder.decode(packet)
        except EOFError:  # the decoder is already flushed
            return
        except av.FFmpegError:
            self._mark_damage(self._last)
            return
        for frame in frames:
            origin = self._origins.get(frame.opaque, self._last)
            if frame.is_corrupt:
                self._mark_damage(origin)
            if frame.pts is None:
                continue
            self._shown = max(self._shown, frame.pts)
            if frame.pts in self._wanted:
                self._wanted.discard(frame.pts)
                self._delayed.append((frame, origin))

    def _mark_damage(self, origin: _Origin) -> None:
        origin.group.damaged_from = min(origin.group.damaged_from, origin.number)

    def _release(self) -> Iterator[Any]:
        still_delayed = []
        for frame, origin in self._delayed:
            is_known = self._shown >= origin.latest
            if is_known or self._last.number - origin.number >= _MAX_DELAY:
                group = origin.group
                uses_previous = group.keyframe_pts is not None and frame.pts < group.keyframe_pts
                is_safe = not (group.follows_damage and uses_previous)
                if is_safe and origin.number < group.damaged_from:
                    yield frame
            else:
                still_delayed.append((frame, origin))
        self._delayed = still_delayed
