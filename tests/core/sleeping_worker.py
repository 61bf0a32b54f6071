"""Worker processes that are busy for a minute, and leaders that start them."""

import multiprocessing
import os
import sys
import time

from pipeline.core.interrupts import end_with_leader


def sleep(*_):
    """Print the process id, then sleep."""
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    time.sleep(60)


def work():
    end_with_leader()
    sleep()


def lead_process():
    multiprocessing.get_context("spawn").Process(target=work, daemon=True).start()
    time.sleep(60)


def lead_search():
    from pipeline.search.processes import ProcessPool
    from pipeline.search.worker import Ticket

    pool = ProcessPool(sleep, num_workers=1)
    pool.submit(Ticket(number=0))
    pool.wait(60)


def lead_extraction():
    from pipeline.extraction.pool import WorkerPool

    list(WorkerPool(None, num_workers=1, build=sleep).run([None]))


if __name__ == "__main__":
    globals()[sys.argv[1]]()
