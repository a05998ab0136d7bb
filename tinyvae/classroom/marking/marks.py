"""A verdict for each function of each submission, several files at a time.

Files that are finished are kept in `.tinyvae-marks.json` in the folder, and not run again.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import dataclass, field

from tinyvae.classroom.checker import sandbox
from tinyvae.classroom.checker.engine import Report
from tinyvae.classroom.checker.exercises import unjudged

KEPT = ".tinyvae-marks.json"
VERSION = 1  # of what is kept


@dataclass
class Marked:
    """A submission, the report on it, and its points"""

    name: str
    path: str
    report: Report
    points: float = 0.0
    out_of: float = 0.0
    notes: list[str] = field(default_factory=list)


def mark_all(submissions, *, exercise=None, seed=0, timeout=sandbox.TIMEOUT, limit=sandbox.LIMIT,
             jobs=1, kept=None, progress=lambda done: None):  # fmt: skip
    """The reports on the submissions, in their order

    kept       a Kept with the reports on files that are finished
    progress   is called with each submission that is done
    """
    kept = kept or Kept(None)
    options = {"exercise": exercise, "seed": seed, "timeout": timeout, "limit": limit}
    reports, waiting, copies = {}, queue.SimpleQueue(), {}
    for one in submissions:
        key = kept.key(one, options)
        found = kept.get(key)
        if found is not None:
            reports[one.name] = found
            progress(one)
        elif one.digest and key in copies:
            copies[key].append(one)  # the same bytes: the same verdict
        else:
            copies[key] = [one]
            waiting.put((key, one))
    lock = threading.Lock()

    def finish(key, report):
        with lock:
            if is_final(report):
                kept.put(key, report)
            for one in copies[key]:
                reports[one.name] = report
                progress(one)

    threads = [
        threading.Thread(target=_work, args=(waiting, options, finish), daemon=True)
        for _ in range(max(1, min(jobs, len(copies))))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)  # so that Ctrl-C gets through
    missing = [one for one in submissions if one.name not in reports]
    for one in missing:
        reports[one.name] = unjudged(one.path, f"{one.name}: it was not marked")
    return [reports[one.name] for one in submissions]


def is_final(report):
    """Would running it again give the same?  Not where time or memory was too short."""
    return not any(
        hole.status == "cannot" and ("--limit" in hole.message or "did not start" in hole.message)
        for hole in report.holes
    )


def _work(waiting, options, finish):
    """Mark what is waiting, in a process of its own"""
    process = None
    try:
        while True:
            try:
                key, one = waiting.get_nowait()
            except queue.Empty:
                return
            report = None
            for _ in range(2):  # a process that is gone gets one successor
                process = process or _start()
                report = _ask(process, one, options)
                if report is not None:
                    break
                _end(process)
                process = None
            finish(key, report or unjudged(one.path, f"{one.name}: marking it failed twice"))
    finally:
        if process:
            _end(process)


def _end(process):
    """End a process: it leaves when there is nothing more to read"""
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


def _start():
    folder = os.path.join(os.devnull, "hypothesis")  # it cannot be made: nothing is left behind
    code = (
        "import sys; sys.path[:] = [p for p in sys.argv[1].split('\\n') if p] + sys.path; "
        "from tinyvae.classroom.marking.worker import main; main()"
    )
    paths = [sandbox.ROOT, *sandbox.search_path()]
    return subprocess.Popen(
        [sys.executable, "-I", "-c", code, "\n".join(paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env={**os.environ, **sandbox.ONE_THREAD, "HYPOTHESIS_STORAGE_DIRECTORY": folder},
    )


def _ask(process, one, options):
    """The Report on one submission; None if the process is gone"""
    try:
        print(json.dumps({"path": os.path.abspath(one.path), **options}), file=process.stdin)
        process.stdin.flush()
        return Report.from_dict(json.loads(process.stdout.readline())["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Kept:
    """The reports on files that are finished, by what they were made of"""

    def __init__(self, path, again=False):
        self.path, self.reports, self.problem = path, {}, ""
        if path and not again:
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
                with open(path, encoding="utf-8") as file:
                    found = json.load(file)
                if found["version"] == VERSION:
                    self.reports = found["reports"]

    def key(self, one, options):
        """What a report depends on: the file, its folder and neighbours, options, the version"""
        from tinyvae import __version__

        home = os.path.dirname(one.name)
        made_of = [one.digest or one.name, home, one.neighbours, options, __version__]
        return json.dumps(made_of, sort_keys=True)

    def get(self, key):
        """The Report that was kept, or None"""
        try:
            return Report.from_dict(self.reports[key])
        except (KeyError, TypeError, ValueError):
            return None

    def put(self, key, report):
        """Keep a report; the file is replaced as a whole"""
        if not self.path:
            return
        self.reports[key] = json.loads(report.as_json())
        new = f"{self.path}.new"
        try:
            with open(new, "w", encoding="utf-8") as file:
                json.dump({"version": VERSION, "reports": self.reports}, file)
            os.replace(new, self.path)
        except OSError as error:
            self.problem = f"{self.path} cannot be written ({error.strerror}): nothing is kept"
