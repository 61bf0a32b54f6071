"""A worker process that is busy for a minute."""

import os
import sys
import time

from pipeline.core.interrupts import end_with_leader


def work():
    end_with_leader()
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(60)
