"""Import TensorFlow in a process of our own, without the lines that it prints about itself.

This is the only module of `core` that imports TensorFlow. It is in `core` because training and
extraction both need it, and neither imports the other.
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
from collections.abc import Iterator
from typing import Any, Final

from pipeline.core.standard_streams import open_closed_streams

_CHATTER: Final = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
    r"|To enable the following instructions)"
)
_SHOW_IF_PARENT_DIES: Final = """
import sys
if sys.stdin.read() != "done":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        sys.stderr.write(file.read())
"""
_DRIVER: Final = "libcuda.so.1"
_CUDA_SUCCESS: Final = 0
_CUDA_ERROR_NO_DEVICE: Final = 100
_NAME_LIBRARIES: Final = (
    "TF_CPP_MIN_LOG_LEVEL=0 TF_CPP_MAX_VLOG_LEVEL=1 python -c "
    "'import tensorflow as tf; tf.config.list_physical_devices()' 2>&1 | grep 'Could not load'"
)


def set_backends() -> None:
    """Make Keras use TensorFlow, and Matplotlib draw without a window.

    `KERAS_BACKEND`, `keras.json` and `MPLBACKEND` are set for all projects of a user. Jupyter
    and Colab export a backend of Matplotlib that other processes do not have; TensorFlow then
    cannot be imported, because Keras imports Matplotlib. Call this before either is imported;
    child processes inherit it.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["MPLBACKEND"] = "agg"


def import_tensorflow_quietly() -> None:
    """Import TensorFlow and Keras; hold back their start-up chatter, and nothing else.

    Native code writes the chatter before any log level counts, so stderr is caught at the file
    descriptor. If the import fails, or ends the process, everything that it printed is shown.
    One line says if there is a GPU that TensorFlow cannot use.
    """
    open_closed_streams()
    set_backends()
    logging.getLogger("tensorflow").addFilter(_is_not_about_tracing)
    if "tensorflow" in sys.modules or os.environ.get("PIPELINE_DEBUG"):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_filtered(), _gc_paused():
        import keras
        import tensorflow as tf

        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        # `keras.json` is for other projects.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")
    if not has_gpu and (fault := find_gpu_fault()):
        logging.getLogger(__name__).warning("TensorFlow found no usable GPU: %s", fault)


def find_gpu_fault() -> str:
    """Return why TensorFlow cannot use a GPU of this machine; "" if there is none to use.

    Call it if TensorFlow lists no GPU. The reason comes from the CUDA driver, not from
    TensorFlow's log: at the log level of the reason, TensorFlow also writes chatter in training,
    and its line is the same for a missing driver and a broken one.
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
        return f"the CUDA driver cannot be started ({_error_name(driver, state)})."
    number = ctypes.c_int()
    driver.cuDeviceGetCount(ctypes.byref(number))
    if not number.value:
        return ""
    return (
        f"the CUDA driver sees GPUs ({number.value}), but a CUDA library is missing or too old. "
        f"Try pip install 'tensorflow[and-cuda]'. This command names the library: {_NAME_LIBRARIES}"
    )


def is_chatter(line: str) -> bool:
    """Return whether TensorFlow prints a line about itself at every start."""
    return _CHATTER.match(line) is not None


def _error_name(driver: Any, state: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(state, ctypes.byref(name))
    return name.value.decode() if name.value else f"error {state}"


def _is_not_about_tracing(record: logging.LogRecord) -> bool:
    # It counts the models of a process: every fold, and the copy that is served, is one more.
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def _gc_paused() -> Iterator[None]:
    """Pause the garbage collector, and exclude the objects of the block from later collections.

    TensorFlow and Keras make a million objects, and none of them is garbage. Collections take a
    fifth of the import, and later half a second each.
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
    shows_all = False
    with tempfile.NamedTemporaryFile() as caught, _shown_if_this_process_dies(caught.name):
        os.dup2(caught.fileno(), 2)
        try:
            yield
        except Exception:
            shows_all = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if shows_all or not is_chatter(line):
                    print(line, file=sys.stderr)  # noqa: T201


@contextlib.contextmanager
def _shown_if_this_process_dies(path: str) -> Iterator[None]:
    """Let a child process print a file if native code ends this process.

    TensorFlow aborts on a processor without AVX, and on an unknown flag in `TF_XLA_FLAGS`.
    """
    command = [sys.executable, "-I", "-S", "-c", _SHOW_IF_PARENT_DIES, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as child:  # noqa: S603
        try:
            yield
        finally:
            child.communicate(b"done")
