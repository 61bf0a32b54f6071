"""Writers of hostile files, which execute code or use much memory or time when they are read."""

import base64
import io
import json
import marshal
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Write = Callable[[Path, Path], None]
"""Function that writes a hostile file. Its code would create the second path, the canary."""

_BOMB_MB = 1500


class _Touch:
    """An object that creates the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self._command = f"touch {canary}"

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self._command,)


def pickled(path: Path, canary: Path) -> None:
    """A pickle."""
    path.write_bytes(pickle.dumps({"extraversion": _Touch(canary)}))


def old_pickle(path: Path, canary: Path) -> None:
    """A pickle of protocol 0, the default of Python 2."""
    path.write_bytes(f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode())


def evaluated(path: Path, canary: Path) -> None:
    """A pickle that evaluates an expression."""
    text = f"__import__('os').system('touch {canary}')"
    path.write_bytes(f'cbuiltins\neval\n(S"{text}"\ntR.'.encode())


def object_array(path: Path, canary: Path) -> None:
    """An array of objects."""
    np.save(path, np.array([_Touch(canary)], dtype=object), allow_pickle=True)


def object_arrays(path: Path, canary: Path) -> None:
    """Arrays of objects with the names of the original arrays."""
    with np.load(path, allow_pickle=False) as arrays:
        names = arrays.files
    hostile = np.array([_Touch(canary)], dtype=object)
    with path.open("wb") as stream:
        np.savez(stream, **dict.fromkeys(names, hostile))  # type: ignore[arg-type]


def _with_header(header: str) -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text


def _array_header(shape: str) -> bytes:
    return _with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape})}}")


def header_with_code(path: Path, canary: Path) -> None:
    """An array whose header is an expression."""
    code = f"__import__('os').system('touch {canary}')"
    path.write_bytes(_with_header(f"{{'descr': {code}, 'fortran_order': False, 'shape': (1,)}}"))


def header_too_large(path: Path, canary: Path) -> None:
    """An array that claims to have 10^15 rows."""
    path.write_bytes(_array_header("1000000000000000, 8"))


def header_with_flag(path: Path, canary: Path) -> None:
    """An array whose number of rows is a bool."""
    path.write_bytes(_array_header("True, 8"))


def header_endless(path: Path, canary: Path) -> None:
    """An array whose header is 20 MB of brackets."""
    path.write_bytes(_with_header("(" * 20_000_000))


def yaml_tag(path: Path, canary: Path) -> None:
    """A YAML tag that calls a function."""
    path.write_text(f"name: !!python/object/apply:os.system ['touch {canary}']\n")


def yaml_bomb(path: Path, canary: Path) -> None:
    """Nested aliases that contain 2^31 items."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 31)]
    path.write_text("\n".join(lines) + "\nname: *a30\n")


def yaml_merge_bomb(path: Path, canary: Path) -> None:
    """Nested merged mappings that contain 2^30 items."""
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 31)]
    path.write_text("\n".join(lines) + "\n")


def yaml_brackets(path: Path, canary: Path) -> None:
    """Lists that are nested 20,000 levels deep."""
    path.write_text("name: " + "[" * 20_000 + "]" * 20_000 + "\n")


def json_brackets(path: Path, canary: Path) -> None:
    """Lists that are nested 200,000 levels deep."""
    path.write_text("[" * 200_000 + "]" * 200_000)


def json_long_number(path: Path, canary: Path) -> None:
    """A number of 100,000 digits."""
    path.write_text('{"epoch": ' + "9" * 100_000 + "}")


def lambda_layer(path: Path, canary: Path) -> None:
    """A Keras model whose Lambda layer contains byte code."""
    code = compile(f"__import__('os').system('touch {canary}')", "lambda", "eval")
    function = {
        "class_name": "__lambda__",
        "config": {
            "code": base64.b64encode(marshal.dumps(code)).decode(),
            "defaults": None,
            "closure": None,
        },
    }
    config = {"name": "evil", "trainable": True, "function": function}
    _write_model(path, _sequential({"module": "keras.layers", "class_name": "Lambda"}, config))


def named_function(path: Path, canary: Path) -> None:
    """A Keras model whose layer is a function of the standard library."""
    layer = {"module": "os", "class_name": "system", "registered_name": None}
    _write_model(path, _sequential(layer, {"command": f"touch {canary}"}))


def torch_module(path: Path, canary: Path) -> None:
    """A Keras model with a pickled PyTorch module."""
    payload = base64.b64encode(pickle.dumps(_Touch(canary))).decode()
    layer = {"module": "keras.layers", "class_name": "TorchModuleWrapper"}
    config = {"name": "evil", "module": {"class_name": "bytes", "config": {"value": payload}}}
    _write_model(path, _sequential(layer, config))


def zip_bomb(path: Path, canary: Path) -> None:
    """A Keras model whose configuration unpacks to 1.5 GB."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("config.json", "w", force_zip64=True) as stream,
    ):
        block = b" " * 2**20
        for _ in range(_BOMB_MB):
            stream.write(block)


def array_bomb(path: Path, canary: Path) -> None:
    """Arrays with the names of the original arrays that unpack to 1.5 GB."""
    with np.load(path, allow_pickle=False) as arrays:
        names = arrays.files
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, name in enumerate(names):
            stream = io.BytesIO()
            np.save(stream, np.zeros(1))
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                if number:
                    entry.write(stream.getvalue())
                    continue
                rows = _BOMB_MB * 2**20 // 4
                entry.write(_array_header(f"{rows},"))
                for _ in range(_BOMB_MB):
                    entry.write(bytes(2**20))


def elsewhere(path: Path, canary: Path) -> None:
    """A pointer to a path outside the run directory."""
    path.write_text("../../../../../../etc\n")


def _sequential(layer: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    given = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "given"},
        "registered_name": None,
    }
    return {
        "module": "keras",
        "class_name": "Sequential",
        "registered_name": None,
        "config": {
            "name": "evil",
            "trainable": True,
            "dtype": "float32",
            "layers": [given, {"registered_name": None, **layer, "config": config}],
        },
        "build_config": {"input_shape": [None, 4]},
    }


def _write_model(path: Path, description: dict[str, Any]) -> None:
    if path.suffix == ".json":
        path.write_text(json.dumps(description))
        return
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    kept["config.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
