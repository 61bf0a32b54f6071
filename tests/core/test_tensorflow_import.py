"""TensorFlow 2.21 printed the start-up lines. The drivers are stubs that return an error."""

import ctypes
import os
import shutil
import subprocess
import sys

import pytest

from pipeline import cli

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
def test_tensorflow_is_imported_in_a_process_of_jupyter(repository, tmp_path):
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
def test_a_public_name_is_imported_without_messages_and_keeps_an_installed_plot_backend(repository):
    program = "import os, pipeline; pipeline.TrainingSystem; print(os.environ['MPLBACKEND'])"
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(repository), "MPLBACKEND": "svg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("svg\n", "")


@pytest.mark.slow
def test_output_is_shown_if_native_code_ends_the_process(repository):
    finished = import_with(repository, TF_XLA_FLAGS="--nonsense")
    assert finished.returncode != 0
    assert finished.stderr.count("Unknown flag in TF_XLA_FLAGS: --nonsense") == 1


STARTUP_LINES = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
    "I0000 00:00:1795828375.852285   25975 cudart_stub.cc:31] Could not find cuda drivers",
    "E0000 00:00:1795828379.339961   25975 cuda_platform.cc:52] failed call to cuInit: INTERNAL",
    "2026-02-24 16:46:52.066807: I tensorflow/core/util/port.cc:153] oneDNN custom operations",
    "To enable the following instructions: AVX2 AVX512F AVX512_VNNI FMA, rebuild TensorFlow",
)
OTHER_LINES = (
    "F0000 00:00:1795828421.422777   26304 parse_flags_from_env.cc:234] Unknown flag",
    "Traceback (most recent call last):",
)


@pytest.mark.parametrize(
    ("last_line", "shown"),
    [("raise ImportError('no Keras')", [*STARTUP_LINES, *OTHER_LINES]), ("", [*OTHER_LINES])],
)
def test_start_up_lines_are_hidden_unless_the_import_fails(repository, tmp_path, last_line, shown):
    text = "\n".join([*STARTUP_LINES, *OTHER_LINES, ""])
    (tmp_path / "keras.py").write_text(
        f"import os\nfrom unittest.mock import Mock\nos.write(2, {text.encode()!r})\n"
        f"config = backend = Mock()\n{last_line}\n"
    )
    (tmp_path / "tensorflow.py").write_text("from unittest.mock import Mock\nconfig = Mock()\n")
    path = os.pathsep.join((str(tmp_path), str(repository)))
    finished = import_with(repository, PYTHONPATH=path)
    assert finished.stderr.splitlines()[: len(shown)] == shown
    assert finished.stderr.endswith("ImportError: no Keras\n" if last_line else f"{shown[-1]}\n")


def test_each_command_sets_the_backends_of_keras_and_matplotlib(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert (os.environ["KERAS_BACKEND"], os.environ["MPLBACKEND"]) == ("tensorflow", "agg")


@pytest.fixture
def find_fault(tmp_path, repository):
    """A function that returns the fault of a CUDA driver, given as text or as C code."""

    def find(content, **environment):
        library = tmp_path / "libcuda.so.1"
        if content.startswith("int "):
            if shutil.which("cc") is None:
                pytest.skip("there is no C compiler on this machine")
            (tmp_path / "stub.c").write_text(content)
            command = ["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "stub.c")]
            subprocess.run(command, check=True)
        elif content:
            library.write_text(content)
        program = "from pipeline.core.tensorflow_import import _find_gpu_fault as f; print(f())"
        paths = {"PYTHONPATH": str(repository), "LD_LIBRARY_PATH": str(tmp_path)}
        finished = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "0", **paths, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return finished.stdout.strip()

    return find


def has_driver() -> bool:
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@pytest.mark.skipif(has_driver(), reason="this machine has a CUDA driver")
def test_a_machine_without_a_driver_has_no_fault(find_fault):
    assert find_fault("") == ""


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_no_fault(find_fault, hidden):
    assert find_fault("no library", CUDA_VISIBLE_DEVICES=hidden) == ""


STUB = """int cuInit(unsigned flags) {{ return {state}; }}
int cuGetErrorName(int state, const char **name) {{ *name = "CUDA_ERROR_UNKNOWN"; return 0; }}
int cuDeviceGetCount(int *number) {{ *number = {number}; return 0; }}
"""


@pytest.mark.parametrize(
    ("driver", "fault"),
    [
        (STUB.format(state=100, number=0), ""),  # CUDA_ERROR_NO_DEVICE
        (STUB.format(state=0, number=0), ""),
        (STUB.format(state=999, number=1), "cannot be started (CUDA_ERROR_UNKNOWN)."),
        (STUB.format(state=0, number=2), "finds GPUs (2), but a CUDA library is missing"),
        ("no library", "cannot be loaded ("),
    ],
)
def test_the_driver_gives_the_reason_for_an_unusable_gpu(find_fault, driver, fault):
    found = find_fault(driver)
    assert found.startswith(f"the CUDA driver {fault}") if fault else found == ""


@pytest.mark.slow
def test_an_unusable_gpu_is_reported_in_one_line(repository, tmp_path):
    (tmp_path / "libcuda.so.1").write_text("no library")
    finished = import_with(repository, LD_LIBRARY_PATH=str(tmp_path), CUDA_VISIBLE_DEVICES="0")
    (line,) = finished.stderr.splitlines()
    assert line.startswith("TensorFlow found no usable GPU: the CUDA driver cannot be loaded")


@pytest.mark.slow
def test_a_command_does_not_import_optional_packages_of_keras_before_they_are_needed(repository):
    program = (
        "import sys; from pipeline.core.tensorflow_import import import_tensorflow_quietly\n"
        "import_tensorflow_quietly(runs_user_code=False)\n"
        "import pipeline.workflows.train\n"
        "print([name for name in ('sklearn', 'matplotlib') if name in sys.modules])\n"
        "import sklearn.preprocessing, matplotlib.figure\n"
        "print(sklearn.preprocessing.StandardScaler.__name__)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (finished.stdout, finished.stderr) == ("[]\nStandardScaler\n", "")
