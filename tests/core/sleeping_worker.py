"""Worker processes that sleep for a minute, and the parent processes that start them."""

import multiprocessing
import os
import sys
import time

from pipeline.core.interrupts import end_with_parent_process


def sleep(*_):
    """Print the process id, and sleep."""
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(60)


def work():
    end_with_parent_process()
    sleep()


def start_process():
    multiprocessing.get_context("spawn").Process(target=work, daemon=True).start()
    time.sleep(60)


def start_pool():
    from pipeline.workers.process_pool import ProcessPool

    pool = ProcessPool(sleep, num_workers=1)
    pool.submit("a task")
    pool.wait(60)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
