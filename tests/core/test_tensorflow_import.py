"""TensorFlow is imported whatever a user has set for other projects, and nothing it says is lost.

The lines are those of TensorFlow 2.21; the drivers are stubs that answer as a broken one does.
"""

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from pipeline import cli
from pipeline.core.tensorflow_import import is_chatter, set_backends

IMPORT = """
from pipeline.core.tensorflow_import import import_tensorflow_quietly
import_tensorflow_quietly()
import keras, tensorflow
print(keras.backend.backend(), keras.config.floatx())
"""


def import_with(repository, **environment):
    return subprocess.run(
        [sys.executable, "-c", IMPORT],
        env={**os.environ, "PYTHONPATH": str(repository), **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
def test_tensorflow_is_imported_in_a_process_that_jupyter_started(repository, tmp_path):
    (tmp_path / "keras.json").write_text('{"floatx": "float16", "backend": "torch"}')
    finished = import_with(
        repository,
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        KERAS_BACKEND="jax",
        KERAS_HOME=str(tmp_path),
        PYTHONWARNINGS="error",
    )
    assert finished.stdout == "tensorflow float32\n"
    assert finished.stderr == ""


@pytest.mark.slow
def test_what_native_code_prints_before_it_ends_the_process_is_shown(repository):
    finished = import_with(repository, TF_XLA_FLAGS="--nonsense")
    assert finished.returncode != 0
    assert finished.stderr.count("Unknown flag in TF_XLA_FLAGS: --nonsense") == 1


@pytest.mark.slow
def test_what_is_printed_before_an_import_fails_is_shown_once(repository, tmp_path):
    (tmp_path / "keras.py").write_text(
        "import os; os.write(2, b'I0000 the last line\\n'); raise ImportError('no Keras')"
    )
    path = os.pathsep.join((str(tmp_path), str(repository)))
    finished = import_with(repository, PYTHONPATH=path)
    assert finished.stderr.splitlines().count("I0000 the last line") == 1
    assert finished.stderr.endswith("ImportError: no Keras\n")


def test_keras_runs_on_tensorflow_and_figures_need_no_window(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    set_backends()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["MPLBACKEND"] == "agg"


def test_every_command_sets_the_backends_before_it_imports_anything(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert (os.environ["KERAS_BACKEND"], os.environ["MPLBACKEND"]) == ("tensorflow", "agg")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            (
                "WARNING: All log messages before absl::InitializeLog() is called are written to "
                "STDERR"
            ),
            True,
        ),
        (
            (
                "I0000 00:00:1795828375.852285   25975 cudart_stub.cc:31] Could not find cuda "
                "drivers on your machine, GPU will not be used."
            ),
            True,
        ),
        (
            (
                "E0000 00:00:1795828379.339961   25975 cuda_platform.cc:52] failed call to cuInit: "
                "INTERNAL: CUDA error: Failed call to cuInit: UNKNOWN ERROR (303)"
            ),
            True,
        ),
        (
            (
                "2026-02-24 16:46:52.066807: I tensorflow/core/util/port.cc:153] oneDNN custom "
                "operations are on."
            ),
            True,
        ),
        (
            (
                "To enable the following instructions: AVX2 AVX512F AVX512_VNNI FMA, in other "
                "operations, rebuild TensorFlow with the appropriate compiler flags."
            ),
            True,
        ),
        (
            (
                "F0000 00:00:1795828421.422777   26304 parse_flags_from_env.cc:234] Unknown flag "
                "in TF_XLA_FLAGS: --nonsense"
            ),
            False,
        ),
        ("Traceback (most recent call last):", False),
    ],
)
def test_the_lines_that_tensorflow_prints_about_itself_are_held_back(line, expected):
    assert is_chatter(line) == expected


@pytest.fixture
def driver(tmp_path, repository):
    """Ask for the fault of a driver: none, a text in place of a library, or a compiled stub."""

    def ask(content=None, **environment):
        library = tmp_path / "libcuda.so.1"
        if content is not None and content.startswith("int "):
            if shutil.which("cc") is None:
                pytest.skip("there is no C compiler on this machine")
            (tmp_path / "stub.c").write_text(content)
            command = ["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "stub.c")]
            subprocess.run(command, check=True)
        elif content is not None:
            library.write_text(content)
        program = "from pipeline.core.tensorflow_import import find_gpu_fault as f; print(f())"
        paths = {"PYTHONPATH": str(repository), "LD_LIBRARY_PATH": str(tmp_path)}
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "0", **paths, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return finished.stdout.strip()

    return ask


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_driver(), reason="this machine has a CUDA driver")
def test_a_machine_without_a_driver_has_no_fault(driver):
    assert driver() == ""


def test_a_driver_that_cannot_be_loaded_is_named_with_the_reason(driver):
    fault = driver("this is no library")
    assert fault.startswith("the CUDA driver cannot be loaded (")
    assert "libcuda.so.1: " in fault


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_gpus_that_the_user_has_hidden_are_no_fault(driver, hidden):
    assert driver("this is no library", CUDA_VISIBLE_DEVICES=hidden) == ""


_STUB = """int cuInit(unsigned flags) {{ return {state}; }}
int cuGetErrorName(int state, const char **name) {{ *name = "CUDA_ERROR_UNKNOWN"; return 0; }}
int cuDeviceGetCount(int *number) {{ *number = {number}; return 0; }}
"""


@pytest.mark.parametrize(
    ("state", "number", "words"),
    [
        (100, 0, ""),  # CUDA_ERROR_NO_DEVICE
        (0, 0, ""),
        (999, 1, "the CUDA driver cannot be started (CUDA_ERROR_UNKNOWN)."),
        (0, 2, "the CUDA driver sees GPUs (2), but a CUDA library is missing or too old."),
    ],
)
def test_a_driver_that_answers_shows_whether_there_is_a_gpu(driver, state, number, words):
    fault = driver(_STUB.format(state=state, number=number))
    assert fault.startswith(words) if words else fault == ""


@pytest.mark.slow
def test_a_gpu_that_cannot_be_used_is_said_in_one_line(repository, tmp_path):
    (tmp_path / "libcuda.so.1").write_text("this is no library")
    finished = import_with(repository, LD_LIBRARY_PATH=str(tmp_path), CUDA_VISIBLE_DEVICES="0")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("TensorFlow found no usable GPU: the CUDA driver cannot be loaded")
