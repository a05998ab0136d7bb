"""The process that marks one file after the other, as lines of JSON say; `marks` starts it.

Laws, truths and verdicts are computed here; the files themselves run in the keeper's workers.
"""

import json
import os
import sys
import threading
import time

from tinyvae.classroom.checker import explain, sandbox
from tinyvae.classroom.checker.exercises import judge_file, unjudged
from tinyvae.classroom.checker.function import CannotRun


def mark(path, *, exercise, seed, timeout, limit, keeper):
    """The Report on one file; whatever happens, there is one"""
    if explain.is_explain(path):
        return explain.report_on(path)
    try:
        with sandbox.open_file(
            path, seed=seed, timeout=timeout, limit=limit, lenient=True, any_encoding=True,
            inside=True, keeper=keeper,
        ) as file:  # fmt: skip
            report = judge_file(file, exercise=exercise, seed=seed, shown=file.shown)
            report.notes += file.notes()
            return report
    except CannotRun as reason:
        return unjudged(path, reason, exercise)


def end_with_parent():
    """End this process, and with it the keeper and what it keeps, when its parent is gone"""
    parent = os.getppid()

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main():
    """Read a line of JSON, mark that file, print a line of JSON, until there is no more"""
    end_with_parent()
    keeper = sandbox.new_keeper()
    try:
        for line in sys.stdin:
            asked = json.loads(line)
            began = time.monotonic()
            report = mark(**asked, keeper=keeper)
            if not keeper.is_alive():  # the file has ended it
                keeper.close()
                keeper = sandbox.new_keeper()
            found = {"report": json.loads(report.as_json()), "seconds": time.monotonic() - began}
            print(json.dumps(found), flush=True)
    finally:
        keeper.close()


if __name__ == "__main__":
    main()
