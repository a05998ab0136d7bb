"""Attack the checker with files that do odd things, and show what comes of it.

    python -m tools.break_checker                 every attack: expected, got; exit status 1 if any
    python -m tools.break_checker loop neighbour  is off; some, by a part of their names

Each file is checked by a process of its own, in a folder of its own, as `tinyvae check` does it.
A verdict (exit status 0 or 1) or one sentence (2): nothing else is right.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 300  # seconds until a check counts as one that hangs
LINUX = sys.platform.startswith("linux")
PROGRAM = (
    "import sys; sys.path[:] = [p for p in sys.argv.pop().split('\\n') if p]; "
    "from tinyvae.cli import program; sys.exit(program())"
)

RIGHT = """
import numpy as np
def kl(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1)
"""
WRONG = RIGHT.replace("0.5 * ", "")
EXERCISE = """
import numpy as np
EXERCISE = 2
def log_mean_exp(a):
    return a.max() + np.log(np.mean(np.exp(a - a.max())))
"""


def doing(statement, before=""):
    """A right KL that executes a statement in each call"""
    body = RIGHT.replace("    return", f"    {statement}\n    return")
    return before + body


def giving(expression, before=""):
    """A KL that returns something else"""
    return f"import numpy as np\n{before}def kl(mu, logvar):\n    return {expression}\n"


@dataclass(frozen=True)
class Attack:
    """A file, and what must come of it.

    status    0 right, 1 wrong, 2 no verdict
    message   what stdout or stderr must say
    files     other files beside it, by name
    options   of the command; target is what is checked, :function included
    """

    name: str
    source: str | bytes
    status: int
    message: str = ""
    files: dict = field(default_factory=dict)
    options: tuple = ()
    word: tuple = ("check", "kl")
    target: str = "mine.py"


def raising(name, code, message, status=2):
    return Attack(f"raises {name}", giving("1.0").replace("return 1.0", code), status, message)


MUTE = "class Mute(Exception):\n    def __str__(self): raise ValueError('no')\n"
EVIL = "class Evil:\n    def __getattr__(self, name): raise RuntimeError(name)\n"
NEIGHBOURS = [
    *("string", "queue", "decimal", "fractions", "secrets", "logging", "unittest", "json"),
    *("re", "random", "types", "enum", "socket", "select", "signal", "tempfile"),
]

FILES = [
    # ---- what is raised and returned
    raising("KeyboardInterrupt", "raise KeyboardInterrupt", "raised KeyboardInterrupt"),
    raising("GeneratorExit", "raise GeneratorExit", "raised GeneratorExit"),
    raising("its own BaseException", "raise type('Odd', (BaseException,), {})", "raised Odd"),
    raising("SystemExit", "raise SystemExit(3)", "it calls sys.exit(3)"),
    raising("StopIteration", "raise StopIteration", "raised StopIteration"),
    Attack("raises an exception without a text", MUTE + giving("1/0").replace("return 1/0",
           "raise Mute"), 2, "raised Mute: (its text cannot be read"),
    Attack("raises it while it is imported", MUTE + "raise Mute", 2, "importing mine.py raised"),
    Attack("raises KeyboardInterrupt while it is imported", "raise KeyboardInterrupt", 2,
           "importing mine.py raised KeyboardInterrupt"),
    Attack("returns 10**400", giving("10**400"), 2, "returned no number"),
    Attack("returns what cannot be looked at", EVIL + giving("Evil()"), 2, "returned no number"),
    Attack("returns a list in itself", "x = []\nx.append(x)\n" + giving("x"), 2,
           "returned no number"),
    Attack("returns a number that equals all", "class Any(float):\n    def __eq__(self, other): "
           "return True\n    def __sub__(self, other): return Any(0)\n    __rsub__ = __sub__\n"
           "    __hash__ = None\n" + giving("Any(1.0)"), 1, "yours 1"),
    Attack("returns 10**12 numbers", giving("np.broadcast_to(1.0, (10**6, 10**6))"), 2,
           "returned no number"),
    Attack("returns a masked array", giving("np.ma.masked_array(mu.sum(-1), mask=True)"), 2,
           "tinyvae check kl: kl(mu, logvar)"),
    Attack("raises escape sequences", giving("1.0").replace("return 1.0",
           "raise ValueError('\\x1b[2J\\x1b[31mAll right.')"), 2, "\\x1b[2J"),
    Attack("has escape sequences in its name", RIGHT + "kl.__name__ = '\\x1b[2J'\n", 0, "Right"),
    Attack("recurses", giving("kl(mu, logvar)"), 2, "RecursionError"),
    # ---- what is spoilt
    Attack("spoils numpy", "import numpy\nnumpy.allclose = lambda *a, **k: True\nnumpy.abs = None\n"
           + WRONG, 1, 'M01 "1/2 missing"'),
    Attack("spoils what its process needs", "import numpy\nnumpy.asarray = numpy.array = None\n"
           + RIGHT, 2, "mine.py: its process broke down"),
    Attack("spoils the truth", "import tinyvae.oracles as o\no.gaussian_kl = lambda *a: 0.0\n"
           + giving("0.0 * mu.sum(-1)"), 1, "Wrong"),
    Attack("spoils the laws", "import tinyvae.classroom.checker.kl_laws as laws\n"
           "for name in vars(laws): pass\nlaws.LAWS = []\n" + WRONG, 1, 'M01 "1/2 missing"'),
    Attack("spoils Hypothesis", "import hypothesis\nhypothesis.given = hypothesis.find = None\n"
           + WRONG, 1, 'M01 "1/2 missing"'),
    Attack("spoils builtins", "import builtins\ndel builtins.sorted, builtins.isinstance\n"
           + RIGHT, 2, "mine.py"),
    Attack("spoils sys.modules", "import sys\n" + RIGHT + "sys.modules.clear()\n", 2, "mine.py"),
    Attack("spoils sys.path", "import sys\nsys.path.clear()\n" + RIGHT, 0, "Right"),
    Attack("spoils json and os", "import json, os\njson.dumps = json.loads = None\n"
           "os.replace = None\n" + RIGHT, 0, "Right"),
    Attack("spoils the clocks", "import time\ntime.time = time.monotonic = time.thread_time = "
           "time.perf_counter = lambda: 0.0\n" + RIGHT, 0, "Right"),
    Attack("closes all files", "import os\nos.closerange(0, 256)\n" + RIGHT, 0, "Right"),
    Attack("forbids files", "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))\n"
           + RIGHT, 0, "Right"),
    Attack("answers for its process", "import os, socket\nfor fd in range(3, 1000):\n    try:\n"
           "        os.write(fd, bytes(8) + b'right')\n    except OSError: pass\n" + WRONG, 2,
           "mine.py: its process"),
    # ---- names that it takes from others
    *(Attack(f"has a neighbour {name}.py", RIGHT, 0, "Right",
             {f"{name}.py": "raise SystemError('I was imported')\n"}) for name in NEIGHBOURS),
    Attack("imports its neighbour", "from helper import half\n" + RIGHT.replace("0.5", "half"), 0,
           "Right", {"helper.py": "half = 0.5\n"}),
    # ---- what it uses
    Attack("loops", giving("1.0").replace("return 1.0", "while True:\n        pass"), 2,
           "mine.py, line 3: a call was not done after 3 seconds", options=("--timeout", "3")),
    Attack("loops and catches all", giving("1.0").replace("return 1.0", "while True:\n        "
           "try:\n            while True: pass\n        except BaseException: pass"), 2,
           "a call was not done after 3 seconds", options=("--timeout", "3")),
    Attack("loops while it is imported", "while True: pass\n", 2,
           "mine.py, line 1: importing it was not done", options=("--timeout", "3")),
    Attack("is slow", doing("time.sleep(0.5)", "import time\n"), 2, "give it a longer --limit",
           options=("--limit", "5")),
    Attack("takes 50 us, 500 times a law", RIGHT, 0, "Right", options=("--examples", "500",
           "--timeout", "3")),
    Attack("stops itself", doing("os.kill(os.getpid(), signal.SIGSTOP)", "import os, signal\n"), 2,
           "a call was not done", options=("--timeout", "3")),
    Attack("prints 10 MB a call", doing("print('x' * 10**7)"), 2, "it printed more than 64 MB"),
    Attack("prints 100 lines a call", doing("print('x\\n' * 100)"), 0, "Right"),
    Attack("takes 50 GB", giving("np.ones(5 * 10**9 * (1 + len(mu))).sum()"), 2, "more than 2 GB"),
    Attack("takes more and more memory", giving("1.0").replace("return 1.0",
           "a = []\n    while True: a.append(bytearray(10**7))"), 2, "more than 2 GB of memory",
           options=("--timeout", "60")),
    Attack("crashes", "import ctypes\n" + giving("ctypes.string_at(0)"), 2, "line 4: a call"),
    Attack("leaves by os._exit", "import os\n" + giving("os._exit(0)"), 2, "as os._exit does"),
    # ---- how it is written
    Attack("is Latin-1 without saying so", ("# caf\xe9\n" + RIGHT).encode("latin-1"), 2,
           "mine.py, line 1: it is not UTF-8: save it as UTF-8"),
    Attack("is Latin-1 and says so", ("# -*- coding: latin-1 -*-\n# caf\xe9\n" + RIGHT)
           .encode("latin-1"), 0, "Right"),
    Attack("is UTF-16", RIGHT.encode("utf-16"), 2, "UTF-16: save it as UTF-8"),
    Attack("has a byte order mark", b"\xef\xbb\xbf" + RIGHT.encode(), 0, "Right"),
    Attack("has Windows' line ends", RIGHT.replace("\n", "\r\n").encode(), 0, "Right"),
    Attack("is nested too deeply", "x = " + "(" * 5000 + "1" + ")" * 5000, 2, "mine.py"),
    # ---- exercises
    Attack("EXERCISE is True", EXERCISE.replace("= 2", "= True"), 2, "EXERCISE = True: there are",
           word=("check",)),
    Attack("EXERCISE cannot be hashed", "class Odd(int):\n    def __hash__(self): raise OSError\n"
           + EXERCISE.replace("EXERCISE = 2", "EXERCISE = Odd(2)"), 1, "right  log_mean_exp",
           word=("check",)),
    Attack("an exercise raises KeyboardInterrupt", EXERCISE.replace("    return",
           "    raise KeyboardInterrupt\n    return"), 1, "it raised KeyboardInterrupt",
           word=("check",), target="mine.py:log_mean_exp"),
    Attack("an exercise is masked", EXERCISE.replace("return a.max()",
           "return np.ma.masked_all(()) + a.max()"), 1, "masked", word=("check",),
           target="mine.py:log_mean_exp"),
    Attack("an exercise forges its verdict", EXERCISE.replace("return", "return 1.0 +") +
           "from tinyvae.classroom.checker import engine as g, exercises as e\n"
           "e.judge = e._judge = lambda *a: g.Verdict('log_mean_exp', 'right')\n", 1,
           "wrong  log_mean_exp", word=("check",), target="mine.py:log_mean_exp"),
]  # fmt: skip

if LINUX:
    FILES += [
        Attack("shares 3 GB of memory", doing("m = mmap.mmap(-1, 3 * 10**9); m.write(bytes(3 * "
               "10**9)[:1]); [m.__setitem__(i, 1) for i in range(0, 3 * 10**9, 4096)]",
               "import mmap\n"), 2, "more than 2 GB of memory", options=("--timeout", "60")),
        Attack("writes 60 MB to each of three files", "for i in range(3):\n    with open(f'big{i}',"
               " 'wb') as f: f.write(bytes(60 * 10**6))\nimport time; time.sleep(1)\n" + RIGHT, 2,
               "it wrote more than 64 MB to files"),
        Attack("starts 100 processes", "import os, time\nfor i in range(100):\n    if os.fork() == "
               "0:\n        time.sleep(300)\n        os._exit(0)\ntime.sleep(1)\n" + RIGHT, 2,
               "it started more than 64 processes"),
        Attack("ends the process that watches it", "import os, signal, time\nos.kill(os.getppid(), "
               "signal.SIGKILL)\ntime.sleep(300)\n", 2, "ended the process that watches it"),
    ]  # fmt: skip


def command(*words):
    """The command line that runs `tinyvae` as the installed program does"""
    paths = [str(ROOT), *(p for p in sys.path if p and os.path.isabs(p))]
    return [sys.executable, "-I", "-c", PROGRAM, *words, "\n".join(paths)]


def made(attack, folder):
    """Write the files of an attack into the folder; the command line that checks them"""
    source = attack.source
    data = source if isinstance(source, bytes) else source.encode()
    (folder / "mine.py").write_bytes(data)
    for name, text in attack.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return command(*attack.word, attack.target, *attack.options)


def run(attack):
    """What came of it: "" if it is as expected, else what was got"""
    with tempfile.TemporaryDirectory() as folder:
        line = made(attack, Path(folder))
        try:
            done = subprocess.run(line, capture_output=True, cwd=folder, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return "it hangs"
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    problems = []
    if done.returncode != attack.status:
        problems.append(f"exit status {done.returncode}")
    if "Traceback" in out + err:
        problems.append("a traceback")
    if not (out + err).replace("\n", "").isprintable():
        problems.append("control characters")
    if done.returncode == 2 and err.count("\n") != 1:
        problems.append(f"{err.count(chr(10))} lines on stderr")
    if attack.message not in out + err:
        problems.append(f"not {attack.message!r}")
    if problems:
        last = (err or out).strip().splitlines()
        problems.append(repr(last[-1][:120] if last else ""))
    return "; ".join(problems)


# ---- ends of the checker -------------------------------------------------------------------------

LEAVES = """
import os, subprocess, sys, time
here = os.path.dirname(__file__)
daemon = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
                          start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(f"{here}/grandchild", "w").write(str(os.getpid()))
        time.sleep(300)
    os._exit(0)
open(f"{here}/pids.new", "w").write(f"{os.getpid()} {daemon.pid} {os.environ['TMPDIR']}")
while not os.path.exists(f"{here}/grandchild") or not open(f"{here}/grandchild").read():
    time.sleep(0.01)
os.rename(f"{here}/pids.new", f"{here}/pids")
"""
ENDINGS = ("by itself", "SIGTERM", "SIGHUP", "SIGKILL", "SIGINT")


def end(ending, words=("check", "kl", "mine.py")):
    """End the checker while a file loops that has left processes; "" or what is still there"""
    loops = RIGHT.replace("return", "while True: pass\n    return")
    source = "EXERCISE = 4\n" + LEAVES + (RIGHT if ending == "by itself" else loops)
    if words[0] == "mark":
        source += "while True: pass\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "mine.py").write_text(source)
        checker = subprocess.Popen(
            command(*words, "--timeout", "100"), cwd=folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        if not _wait(lambda: (path / "pids").exists(), PATIENCE):
            checker.kill()
            return "it did not start"
        if ending != "by itself":
            time.sleep(0.3)
            checker.send_signal(getattr(signal, ending))
        checker.wait(PATIENCE)
        worker, daemon, temporary = (path / "pids").read_text().split(maxsplit=2)
        processes = [int(worker), int(daemon), int((path / "grandchild").read_text())]

        def gone():
            return not any(map(_runs, processes)) and not os.path.exists(temporary)

        if _wait(gone, 20):
            return ""
        left = [name for name, pid in zip(("the file", "its daemon", "its grandchild"), processes,
                                          strict=True) if _runs(pid)]  # fmt: skip
        for pid in processes:
            if _runs(pid):
                os.kill(pid, signal.SIGKILL)
        return f"still there: {', '.join(left) or temporary}"


def _wait(condition, seconds):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _runs(pid):
    try:
        os.kill(pid, 0)
        if LINUX:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            return state not in "ZX"
        return True
    except OSError:
        return False


def deleted_folder():
    """A check where the current folder was deleted"""
    with tempfile.TemporaryDirectory() as folder:
        inner = Path(folder) / "inner"
        inner.mkdir()
        (Path(folder) / "mine.py").write_text(RIGHT)
        line = command("check", "kl", str(Path(folder) / "mine.py"))
        code = "import os, sys; os.rmdir(os.getcwd()); os.execv(sys.argv[1], sys.argv[1:])"
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, *line], cwd=inner, capture_output=True, text=True
        )
    return "" if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr[-200:]}"


def optimised():
    """A wrong KL held against `kl_laws` under python -O"""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tinyvae.classroom import kl_laws, sampler_laws\nimport numpy as np\n"
        "def kl(mu, logvar): return (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1)\n"
        "def draw(mu, logvar, eps): return mu + np.exp(logvar) * eps\n"
        "for test in kl_laws(kl), sampler_laws(draw):\n"
        "    try:\n        test()\n    except AssertionError:\n        print('fails')\n"
    )
    done = subprocess.run(
        [sys.executable, "-O", "-c", code, str(ROOT)], capture_output=True, text=True
    )
    return "" if done.stdout == "fails\nfails\n" else "a law passes"


def as_module():
    """`python -m tinyvae` in a folder with a string.py"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.py").write_text(RIGHT)
        (Path(folder) / "string.py").write_text("raise SystemError('I was imported')\n")
        done = subprocess.run(
            [sys.executable, "-m", "tinyvae", "check", "kl", "mine.py"], cwd=folder,
            capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    return "" if done.returncode == 0 else f"exit status {done.returncode}: {done.stderr[-200:]}"


OTHERS = {
    **{f"the checker ends {'' if e == 'by itself' else 'by '}{e}": lambda e=e: end(e)
       for e in (ENDINGS if LINUX else ())},
    **{f"marking ends by {e}": lambda e=e: end(e, ("mark", "."))
       for e in (("SIGTERM", "SIGKILL", "SIGINT") if LINUX else ())},
    "python -m tinyvae beside a string.py": as_module,
    "the current folder is deleted": deleted_folder,
    "a wrong KL under python -O": optimised,
}  # fmt: skip


def _in_words(check):
    """The check as tools.break calls it, with what was got in its words"""
    return lambda folder: check() or "as expected"


# (kind, name, expected, what to call with a folder): tools.break has these in its table
ATTACKS = [("checker", a.name, "as expected", _in_words(lambda a=a: run(a))) for a in FILES]
ATTACKS += [("checker", n, "as expected", _in_words(check)) for n, check in OTHERS.items()]


def main(argv=None):
    """Run the attacks, print the table.    ->  0 if all is as expected, else 1"""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of attacks")
    names = parser.parse_args(argv).names
    table = [(a.name, f"{a.status} {a.message}", lambda a=a: run(a)) for a in FILES]
    table += [(name, "nothing is left, or as it says", check) for name, check in OTHERS.items()]
    off = count = 0
    for name, expected, check in table:
        if names and not any(part in name for part in names):
            continue
        got = check()
        count += 1
        off += bool(got)
        print(f"{'OFF' if got else 'ok':4} {name:44.44}  {expected[:48]}", flush=True)
        if got:
            print(f"     got: {got}", flush=True)
    print(f"{count} attacks, {off} off")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main())
