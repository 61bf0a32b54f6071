"""Import TensorFlow without its start-up messages.

This module is in `core`, because training and extraction both use it.
"""

import contextlib
import ctypes
import gc
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any, Final

from pipeline.core.standard_streams import open_closed_streams

_STARTUP_MESSAGES: Final = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
    r"|To enable the following instructions)"
)
_PRINT_IF_PARENT_DIES: Final = """
import sys
if sys.stdin.read() != "done":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        sys.stderr.write(file.read())
"""
_OPTIONAL_PACKAGES: Final = ("sklearn", "matplotlib")
"""Packages that Keras imports at its start if they are installed. Only `keras.wrappers` and
`keras.visualization` use them."""
_DRIVER: Final = "libcuda.so.1"
_CUDA_SUCCESS: Final = 0
_CUDA_ERROR_NO_DEVICE: Final = 100
_NAME_LIBRARIES: Final = (
    "TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_MAX_VLOG_LEVEL=1 python -c "
    "'import tensorflow as tf; tf.config.list_physical_devices()' 2>&1 | grep 'Could not load'"
)


def set_backends() -> None:
    """Select TensorFlow as the Keras backend, and a Matplotlib backend without windows.

    The user may have selected other backends in `KERAS_BACKEND`, `keras.json` or `MPLBACKEND`.
    Call this function at the start of a command, before the import of Keras, Matplotlib or
    TensorFlow.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["MPLBACKEND"] = "agg"


def _set_usable_backends() -> None:
    """Select TensorFlow as the Keras backend. Replace a Matplotlib backend that is not installed.

    Keras imports Matplotlib, which fails if its backend is missing. Jupyter and Colab set such a
    backend for their child processes. An installed backend stays selected, so that plots still
    appear in notebooks and windows after the import.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    scheme, _, module = os.environ.get("MPLBACKEND", "").partition("module://")
    if not scheme and module and find_spec(module.partition(".")[0]) is None:
        os.environ["MPLBACKEND"] = "agg"


def import_tensorflow_quietly(*, runs_user_code: bool = True) -> None:
    """Import TensorFlow and Keras, and hide their start-up messages.

    Because native code writes these messages at any log level, the file descriptor of stderr is
    redirected. If the import fails or ends the process, all messages are shown. A warning is logged
    if TensorFlow cannot use an existing GPU.

    Args:
        runs_user_code: False in a command or a worker process. Keras then works without its
            scikit-learn wrappers and its plots, which saves a third of the import time.
    """
    open_closed_streams()
    _set_usable_backends()
    logging.getLogger("tensorflow").addFilter(_is_not_about_tracing)
    if "tensorflow" in sys.modules or os.environ.get("PIPELINE_DEBUG"):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    hidden = () if runs_user_code else _OPTIONAL_PACKAGES
    with _stderr_filtered(), _gc_paused(), _hidden(hidden):
        import keras
        import tensorflow as tf

        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        # The user's `keras.json` may contain other settings, so the defaults are set again.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    if not has_gpu and (fault := _find_gpu_fault()):
        logging.getLogger(__name__).warning("TensorFlow found no usable GPU: %s", fault)


def _find_gpu_fault() -> str:
    """Return the reason why TensorFlow cannot use an existing GPU, or "" if there is no GPU.

    The reason is read from the CUDA driver, because TensorFlow logs the same message for a
    missing driver and for a broken driver.
    """
    if sys.platform != "linux" or os.environ.get("CUDA_VISIBLE_DEVICES", "0") in {"", "-1"}:
        return ""
    try:
        driver: Any = ctypes.CDLL(_DRIVER)
    except OSError as error:
        is_missing = str(error).startswith(f"{_DRIVER}: cannot open shared object file: No such")
        return "" if is_missing else f"the CUDA driver cannot be loaded ({error})."
    state = driver.cuInit(0)
    if state == _CUDA_ERROR_NO_DEVICE:
        return ""
    if state != _CUDA_SUCCESS:
        name = ctypes.c_char_p()
        driver.cuGetErrorName(state, ctypes.byref(name))
        reason = name.value.decode() if name.value else f"error {state}"
        return f"the CUDA driver cannot be started ({reason})."
    num_gpus = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(num_gpus))
    if not num_gpus.value:
        return ""
    return (
        f"the CUDA driver finds GPUs ({num_gpus.value}), but a CUDA library is missing or too "
        "old. Try pip install 'tensorflow[and-cuda]'. This command prints the name of the library: "
        f"{_NAME_LIBRARIES}"
    )


def _is_not_about_tracing(record: logging.LogRecord) -> bool:
    # This warning about many traced functions is not useful here, because one process may train
    # several models, e.g. one per fold.
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def _hidden(names: Iterable[str]) -> Iterator[None]:
    """Make packages look not installed during the block. Packages can be imported later.

    A package that has already been imported is not hidden.
    """
    new = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(new))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in new:
            del sys.modules[name]


@contextlib.contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause the garbage collector, and exclude the new objects from later collections.

    TensorFlow and Keras create a million objects that are never garbage. Without the pause,
    collections take a fifth of the import time. Each later collection takes half a second if the
    new objects are not excluded.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
        gc.freeze()


@contextlib.contextmanager
def _stderr_filtered() -> Iterator[None]:
    sys.stderr.flush()
    original = os.dup(2)
    has_failed = False
    with tempfile.NamedTemporaryFile() as captured, _printed_if_process_dies(captured.name):
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except Exception:
            has_failed = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            for line in captured.read().decode(errors="replace").splitlines():
                if has_failed or not _STARTUP_MESSAGES.match(line):
                    print(line, file=sys.stderr)  # noqa: T201


@contextlib.contextmanager
def _printed_if_process_dies(path: str) -> Iterator[None]:
    """Start a child process that prints a file if native code ends this process.

    TensorFlow aborts if the processor has no AVX, or `TF_XLA_FLAGS` contains an unknown flag.
    """
    command = [sys.executable, "-I", "-S", "-c", _PRINT_IF_PARENT_DIES, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:  # noqa: S603
        try:
            yield
        finally:
            child.communicate(b"done")
