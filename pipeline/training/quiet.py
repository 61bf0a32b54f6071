"""Import TensorFlow without the lines that it prints about itself."""

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

from pipeline.core.garbage import without_collections
from pipeline.core.keras_backend import take_tensorflow
from pipeline.core.standard_streams import open_closed_streams

_CHATTER = re.compile(
    r"^(WARNING: All log messages before absl|[IWE]\d{4} |\d{4}-\d\d-\d\d .*: [IWE] "
    r"|To enable the following instructions)"
)


def import_tensorflow_quietly() -> None:
    """Import TensorFlow, and Keras on it; hold back their start-up chatter, and nothing else.

    The chatter is written by native code before any log level counts, so it is caught at
    the file descriptor. If the import fails, everything it printed is shown.
    """
    open_closed_streams()
    take_tensorflow()
    logging.getLogger("tensorflow").addFilter(_is_not_about_tracing)
    if "tensorflow" in sys.modules or os.environ.get("PIPELINE_DEBUG"):
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _stderr_filtered(), without_collections():
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()
        # What `keras.json` says is for other projects.
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")


def _is_not_about_tracing(record: logging.LogRecord) -> bool:
    # It counts the models of a process: every fold, and the copy that is served, is one more.
    return "triggered tf.function retracing" not in record.getMessage()


@contextlib.contextmanager
def _stderr_filtered() -> Iterator[None]:
    sys.stderr.flush()
    original = os.dup(2)
    shows_all = False
    with tempfile.TemporaryFile() as caught:
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
                if shows_all or not _CHATTER.match(line):
                    print(line, file=sys.stderr)  # noqa: T201
