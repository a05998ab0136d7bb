"""Plant a mistake for each promise of RELIABILITY.md into a copy: its test must turn red.

    python -m tools.spoil                 all of them
    python -m tools.spoil lock hangup     some, by name

What is committed is copied; each mistake replaces one piece of text.  A mistake that no test sees,
or whose text is no longer there, is "not seen"; then the exit status is 1.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent


class Mistake(NamedTuple):
    """One text for another, and the tests that must see it"""

    file: str
    right: str
    wrong: str
    tests: str  # a file of tests/reliability, and after a colon words for pytest's -k


MISTAKES = {
    "folder not compared": Mistake(
        "folder.py",
        "if os.path.samestat(os.stat(self.path), os.fstat(self.descriptor)):",
        "if True:",
        "test_folder:anew or moved",
    ),
    "lock not compared": Mistake(
        "folder.py",
        'return os.path.samestat(self._stat(".lock"), os.fstat(self.lock_file))',
        "return True",
        "test_folder:lock",
    ),
    "lost lock taken by force": Mistake(
        "folder.py",
        "self._take_lock(os.O_CREAT | os.O_EXCL)",
        "self._take_lock(os.O_CREAT)",
        "test_folder:stops_the_first",
    ),
    "no locks taken for in use": Mistake(
        "folder.py",
        "IN_USE = errno.EAGAIN,",
        "IN_USE = errno.ENOLCK, errno.EAGAIN,",
        "test_folder:without_locks",
    ),
    "a folder that cannot be fsynced refused": Mistake(
        "folder.py", '("EINVAL", "ENOSYS"', '("ENOSYS"', "test_folder:told_to_write"
    ),
    "an error of fsync ignored": Mistake(
        "folder.py",
        "if error.errno not in NOT_OFFERED:\n                raise\n            self.warn(\n"
        '                f"this file system cannot',
        "if False:\n                raise\n            self.warn(\n"
        '                f"this file system cannot',
        "test_checkpoint:save_that_fails",
    ),
    "parents not fsynced": Mistake(
        "folder.py", "made if BY_DESCRIPTOR else ()", "()", "test_folder:parents"
    ),
    "configuration not put back": Mistake(
        "folder.py", "if aside:\n", "if False:\n", "test_checkpoint:save_that_fails"
    ),
    "written through a link": Mistake(
        "folder.py",
        "self._unlink(name)\n        path, at = self._at(name)\n"
        "        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK",
        "pass\n        path, at = self._at(name)\n"
        "        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK",
        "test_folder:writes_through",
    ),
    "a lock that is no file": Mistake(
        "folder.py", 'not in (None, "file"):', "is NotImplemented:", "test_folder:lock_is_a_file"
    ),
    "size not looked at": Mistake(
        "files.py", "if size > most:", "if False:", "test_folder:regular"
    ),
    "a link followed": Mistake(
        "checkpoint.py", "and not config.is_symlink()", "", "test_folder:not_followed"
    ),
    "a table that stops a training": Mistake(
        "folder.py", "self.history = None\n", "raise\n", "test_folder:stops_no_training"
    ),
    "a changed table added to": Mistake(
        "folder.py", "!= self.history:", "== 0:", "test_folder:somebody_changed"
    ),
    "the whole history every epoch": Mistake(
        "checkpoint.py",
        "for row in history]\n    return np.array",
        "for row in [r for r in history if r.get('epoch')]]\n    return np.array",
        "test_folder:costs_as_much",
    ),
    "a half copy saved": Mistake(
        "checkpoint.py", "if not self.complete:", "if False:", "test_checkpoint:half_copied"
    ),
    "hangup not heeded": Mistake("cli.py", '"SIGHUP", ', "", "test_break:SIGHUP or terminal"),
    "CPU limit not heeded": Mistake("cli.py", '"SIGXCPU", ', "", "test_break:SIGXCPU"),
    "a full log loses epochs": Mistake(
        "cli.py",
        "or a mistake of ours\n            saver.close()",
        "or a mistake of ours\n            pass",
        "test_break:log",
    ),
    "a closed pipe loses epochs": Mistake(
        "cli.py",
        "except BrokenPipeError:\n            saver.save()",
        "except BrokenPipeError:\n            pass",
        "test_break:nobody",
    ),
    "memory hidden by clean-up": Mistake(
        "files.py",
        "error = error.__cause__ or error.__context__",
        "error = None",
        "test_cli:system_refuses",
    ),
    "an option for a folder": Mistake(
        "cli.py", 'if text.startswith("-"):', "if False:", "test_break:out=-x"
    ),
    "a name that ASCII cannot say": Mistake(
        "cli.py", "if text.isprintable():", "if True:", "test_cli:shell_word"
    ),
    "a circle": Mistake(
        "cli.py", "it belongs to a run whose", "go on by --resume; no", "test_break:lost"
    ),
    "data not compared": Mistake(
        "cli.py",
        'if _fingerprint(dataset) == run.options.get("data_sha256"):',
        "if True:",
        "test_break:npz",
    ),
    "moved data not looked for": Mistake(
        "cli.py",
        "return [name, *(place for",
        "return [name] or [*(place for",
        "test_break:relative",
    ),
    "control characters let out": Mistake(
        "cli.py", 'c if c.isprintable() or c == "\\n" else', "c if True else", "test_break:ESC"
    ),
    "status of a full stderr": Mistake(
        "cli.py",
        "except (OSError, ValueError):\n        _silence(sys.stderr)",
        "except ZeroDivisionError:\n        _silence(sys.stderr)",
        "test_break:train nosuch and stderr",
    ),
    "a backend asked for": Mistake(
        "cli.py",
        'asked = os.environ.pop("MPLBACKEND", None)',
        'asked = os.environ.get("MPLBACKEND")',
        "test_break:MPLBACKEND",
    ),
    "format 1 forgotten": Mistake(
        "checkpoint.py", 'if state["format"] == 1:', "if False:", "test_golden:read"
    ),
    "environment not recorded": Mistake(
        "cli.py",
        '    run.environments.append({"epoch"',
        '    [].append({"epoch"',
        "test_golden:ran_on",
    ),
    "environment not compared": Mistake(
        "environment.py", 'return "; ".join(said)', 'return ""', "test_golden:something_else"
    ),
    "no warning of bad weights": Mistake(
        "cli.py", "    if bad:\n", "    if 0:\n", "test_cli:warns"
    ),
    "an error bar of one image": Mistake(
        "cli.py", "if len(values) > 1:", "if True:", "test_cli:one_image"
    ),
    "pixels not counted": Mistake(
        "pictures.py",
        "if image.width * image.height > MOST_PIXELS:",
        "if 0:",
        "test_pictures:large",
    ),
    "members not counted": Mistake(
        "archive.py", "if count > MOST_MEMBERS:", "if False:", "test_checkpoint:very"
    ),
}


def seen(mistake):
    """Whether the tests turn red over a mistake in a copy of what is committed"""
    with tempfile.TemporaryDirectory(prefix="spoil-") as folder:
        archive = subprocess.run(
            ["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True
        )
        subprocess.run(["tar", "x"], cwd=folder, input=archive.stdout, check=True)
        path = Path(folder, "tinyvae", mistake.file)
        text = path.read_text(encoding="utf-8")
        if mistake.right not in text:
            return False
        path.write_text(text.replace(mistake.right, mistake.wrong, 1), encoding="utf-8")
        file, _, words = mistake.tests.partition(":")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider",
                   f"tests/reliability/{file}.py", "-k", words]  # fmt: skip
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        return done.returncode == 1


def main():
    parser = argparse.ArgumentParser("python -m tools.spoil", description="Plant mistakes.")
    parser.add_argument("words", nargs="*", metavar="WORD", help="mistakes with it in their names")
    args = parser.parse_args()
    chosen = {
        n: m for n, m in MISTAKES.items() if not args.words or any(w in n for w in args.words)
    }
    missed = 0
    for name, mistake in chosen.items():
        red = seen(mistake)
        missed += not red
        print(f"{name:42s} {mistake.tests:38s} {'red' if red else 'NOT SEEN'}", flush=True)
    print(f"{len(chosen)} mistakes, {missed} not seen")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
