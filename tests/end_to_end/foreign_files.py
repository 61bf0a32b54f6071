"""Feature files as other tools write them, with random values."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

Write = Callable[[Path, Sequence[str]], Path]
"""Write the clips with these ids below a directory; return the path for `--stream`."""

BLENDSHAPE_NAMES = [
    "_neutral",
    *(
        f"{part}{number}{side}"
        for part in ("browDown", "cheekPuff", "eyeBlink", "jawOpen", "mouthSmile", "noseSneer")
        for number in range(4)
        for side in ("Left", "Right")
    ),
]

_rng = np.random.default_rng(0)


def random_frames(clip_ids: Sequence[str], width: int = 3) -> dict[str, np.ndarray]:
    """Return 6 to 20 frames per clip."""
    return {clip: _rng.normal(size=(_rng.integers(6, 20), width)) for clip in clip_ids}


def write_tables(
    directory: Path, tables: dict[str, pd.DataFrame], suffix: str = ".csv", separator: str = ","
) -> Path:
    directory.mkdir()
    for clip, table in tables.items():
        path = directory / f"{clip}{suffix}"
        if suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False, sep=separator)
    return directory


def write_array_folder(directory: Path, clip_ids: Sequence[str], name: str = "arrays") -> Path:
    (directory / name).mkdir()
    for clip, frames in random_frames(clip_ids).items():
        np.save(directory / name / f"{clip}.npy", frames)
    return directory / name


def write_archive(directory: Path, clip_ids: Sequence[str]) -> Path:
    arrays = random_frames(clip_ids).values()
    named = {f"v_{number}": array for number, array in enumerate(arrays)}
    np.savez(directory / "all.npz", keys=np.array(clip_ids), **named)
    return directory / "all.npz"


def write_hdf5(directory: Path, clip_ids: Sequence[str]) -> Path:
    with h5py.File(directory / "all.h5", "w") as file:
        for clip, frames in random_frames(clip_ids).items():
            file[clip] = frames
    return directory / "all.h5"


def table_writer(suffix: str, separator: str = ",") -> Write:
    def write(directory: Path, clip_ids: Sequence[str]) -> Path:
        tables = {
            clip: pd.DataFrame(frames, columns=["x", "y", "z"]).assign(frame=range(len(frames)))
            for clip, frames in random_frames(clip_ids).items()
        }
        return write_tables(directory / "tables", tables, suffix, separator)

    return write


def write_openface(directory: Path, clip_ids: Sequence[str], name: str = "processed") -> Path:
    columns = [" gaze_angle_x", " pose_Rx", " AU01_r", " AU01_c"]
    tables = {}
    for clip, frames in random_frames(clip_ids, 4).items():
        table = pd.DataFrame(frames, columns=columns)
        times = {"frame": range(1, len(table) + 1), " timestamp": np.arange(len(table)) / 30}
        marks = {" confidence": 0.98, " success": [0, *[1] * (len(table) - 1)], " x_0": 300.5}
        tables[clip] = pd.DataFrame(times).assign(**marks).join(table)
    return write_tables(directory / name, tables)


def write_opensmile_descriptors(directory: Path, clip_ids: Sequence[str]) -> Path:
    tables = {
        clip: pd.DataFrame(frames, columns=["Loudness_sma3", "F0_sma3nz", "mfcc1_sma3"])
        for clip, frames in random_frames(clip_ids).items()
    }
    for table in tables.values():
        table.insert(0, "frameTime", np.arange(len(table)) / 100)
    return write_tables(directory / "lld", tables, separator=";")


def write_opensmile_functionals(directory: Path, clip_ids: Sequence[str]) -> Path:
    table = pd.DataFrame(
        _rng.normal(size=(len(clip_ids), 2)), columns=["F0_sma3nz_amean", "jitter_sma3nz_amean"]
    )
    table.insert(0, "name", [f"'{clip}.wav'" for clip in clip_ids])
    table.insert(1, "frameTime", 0.0)
    table.to_csv(directory / "functionals.csv", sep=";", index=False)
    return directory / "functionals.csv"


def write_blendshape_tables(directory: Path, clip_ids: Sequence[str]) -> Path:
    width = len(BLENDSHAPE_NAMES)
    tables = {
        clip: pd.DataFrame(np.abs(frames), columns=BLENDSHAPE_NAMES)
        for clip, frames in random_frames(clip_ids, width).items()
    }
    for table in tables.values():
        table.insert(0, "timestamp_ms", 40 * np.arange(len(table)))
    return write_tables(directory / "blendshapes", tables)


def write_blendshape_lines(directory: Path, clip_ids: Sequence[str]) -> Path:
    folder = directory / "blendshapes"
    folder.mkdir()
    for clip, frames in random_frames(clip_ids, len(BLENDSHAPE_NAMES)).items():
        lines = []
        for number, scores in enumerate(frames):
            face = [
                {"category_name": name, "score": score}
                for name, score in zip(BLENDSHAPE_NAMES, scores.tolist(), strict=True)
            ]
            lines.append(json.dumps({"timestamp_ms": 40 * number, "face_blendshapes": [face]}))
        (folder / f"{clip}.jsonl").write_text("\n".join(lines))
    return folder


def write_embeddings(directory: Path, clip_ids: Sequence[str]) -> Path:
    table = pd.DataFrame(_rng.normal(size=(len(clip_ids), 8))).add_prefix("e")
    table.insert(0, "filename", [f"{clip}.mp4" for clip in clip_ids])
    table.to_csv(directory / "embeddings.csv", index=False)
    return directory / "embeddings.csv"


def write_parts(table: Path, directory: Path, clip_ids: Sequence[str]) -> Path:
    """Write parts of a real table as clips. They share rows if the table is short."""
    header, *rows = table.read_text().splitlines()
    folder = directory / table.stem
    folder.mkdir()
    starts = np.linspace(0, len(rows) - 5, len(clip_ids)).astype(int)
    for clip, start in zip(clip_ids, starts, strict=True):
        (folder / f"{clip}.csv").write_text("\n".join([header, *rows[start : start + 5]]))
    return folder


def write_labels(
    path: Path,
    header: str,
    clip_ids: Sequence[str],
    *,
    separator: str = ",",
    decimal: str = ".",
    low: float = 0,
    high: float = 1,
) -> Path:
    """Write a label table. The first column of the header is the id.

    The first clip has the scores `low`, `low + 0.1`, ... in the order of the columns; the other
    scores are random.
    """
    names = header.split()[1:]
    rng = np.random.default_rng(0)
    scores = rng.uniform(low, high, size=(len(clip_ids), len(names))).round(1)
    scores[0] = low + np.arange(len(names)) / 10
    subsets = np.resize(["Training", "Training", "Validation", "Test"], len(clip_ids)).tolist()
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(header.split())
        for clip, subset, row in zip(clip_ids, subsets, scores, strict=True):
            cells = (f"{score:.1f}".replace(".", decimal) for score in row)
            texts = dict(zip(names, cells, strict=True))
            if "Subset" in texts:
                texts["Subset"] = subset
            writer.writerow([clip, *texts.values()])
    return path
