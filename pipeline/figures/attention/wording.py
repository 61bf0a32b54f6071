"""What the figures of attention call maps, streams and clips, and when there are none."""

from typing import Final

from pipeline.figures.base.spec import NothingToDraw
from pipeline.records.attention import (
    LEARNED_TOKENS,
    TRAIT_QUERIES,
    WHOLE,
    AttentionMeasurements,
    queries_and_keys,
)

FOLDER: Final = "attention_visualizations"
"""Where the figures of attention go in a run directory."""

RANKING_NAMES: Final = {"traits": "weight", "rollout": "rollout"}
"""What a ranking of steps goes by."""


def require_attention(attention: AttentionMeasurements) -> None:
    """Refuse measurements that hold no map.

    Raises:
        NothingToDraw: With the reason that the measurements give.
    """
    if not attention.mean_maps:
        reason = attention.missing.get(WHOLE, "it was not measured.")
        raise NothingToDraw(f"no attention to show: {reason}")


def stream_name(attention: AttentionMeasurements, stream: str) -> str:
    """Return what the keys of a stream are called, e.g. `face frames` or `static tokens`."""
    kind = attention.key_kinds[stream]
    return f"{stream} tokens" if kind == LEARNED_TOKENS else kind


def map_name(name: str) -> str:
    """Return a short name of a map, e.g. `block 1, static → dynamic`."""
    prefix, _, direction = name.rpartition("/")
    if direction == TRAIT_QUERIES:
        return f"traits → {prefix}" if prefix else "traits"
    return f"{prefix.replace('_', ' ')}, {direction.replace('_to_', ' → ')}"


def map_heading(attention: AttentionMeasurements, name: str) -> str:
    """Return in words who looks at what in a map, and where in the picture."""
    query, streams = queries_and_keys(name, attention.streams)
    keys = [stream_name(attention, stream) for stream in streams]
    if query != TRAIT_QUERIES:
        block = name.split("/", maxsplit=1)[0].replace("_", " ").capitalize()
        return f"{block}: {stream_name(attention, query)} (down) look at {keys[0]} (across)"
    if len(keys) == 1:
        return f"The traits look at {keys[0]}"
    return f"The traits look at {keys[0]} (left of the line) and {keys[1]} (right)"


def shortened(clip_id: str, max_length: int = 20) -> str:
    """Return a clip's name without its middle where it is too long for its place.

    Both ends stay: names often begin with the video and end with the number of the clip.
    """
    if len(clip_id) <= max_length:
        return clip_id
    kept = max_length - 1
    return f"{clip_id[: kept - kept // 2]}…{clip_id[-(kept // 2) :]}"
