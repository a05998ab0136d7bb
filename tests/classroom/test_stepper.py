"""`tinyvae lesson`: the list, one lesson at once, one cell by cell through a pseudo-terminal."""

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import tinyvae
from tinyvae.classroom.presenter import stepper
from tools.expected import LESSONS, run

LESSON = r"""# %% [markdown]
# # Lesson 7: A little lesson
#
# One line about $\mu$. And then more.

# %%
import matplotlib.pyplot as plt
import numpy as np
from tinyvae.classroom.lesson import check, claim
TWO = 2
grid = np.zeros((3, 4))

# %% [markdown]
# ## Step 1: two
#
# $$1 + 1 = 2$$

# %%
claim("7.1", "1 + 1  =  2")
check("sum", 1 + 1, TWO)
plt.plot([0, 1])
plt.show()

# %% [markdown]
# ## Try it
#
# - `TWO = 3`
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A shelf with a little lesson 7 alone on it."""
    path = tmp_path / "07_little.py"
    path.write_text(LESSON, encoding="utf-8")
    monkeypatch.setattr(stepper, "find", lambda: {7: stepper.Lesson(7, path)})
    return path


def lesson(*command):
    """`tinyvae lesson ...` in this process  ->  exit status"""
    import argparse

    parser = argparse.ArgumentParser()
    stepper.arguments(parser)
    return stepper.run(parser.parse_args([str(word) for word in command]))


def typed(monkeypatch, *lines):
    """Have input() read these lines, then the end of the input."""
    left = iter(lines)

    def read(prompt):
        print(prompt)
        try:
            return next(left)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)


# ---- list and run --------------------------------------------------------------------------------


def test_list_says_number_title_and_one_line(shelf, capsys):
    assert lesson() == 0
    assert "\n".join(capsys.readouterr().out.splitlines()[:2]) == (
        "  7  A little lesson\n       One line about μ."
    )


def test_list_is_that_of_the_lessons():
    assert [found.path for found in stepper.find().values()] == list(LESSONS.values())
    assert list(stepper.find()) == [int(name[:2]) for name in LESSONS]


def test_cells_are_text_and_code():
    first, second, last = stepper.steps(LESSON)
    assert first.text.startswith("# Lesson 7: A little lesson\n\nOne line")
    assert first.code.startswith("import matplotlib")
    assert second.text == "## Step 1: two\n\n$$1 + 1 = 2$$"
    assert LESSON.splitlines()[second.line] == 'claim("7.1", "1 + 1  =  2")'
    assert last.text.startswith("## Try it") and last.code == ""


def test_run_prints_what_the_script_prints(shelf, capsys, tmp_path):
    assert lesson(7) == 0
    assert capsys.readouterr().out == run(shelf, folder=tmp_path).stdout


def test_figures_are_saved_and_numbered(shelf, tmp_path, capsys):
    folder = tmp_path / "new" / "figures"
    assert lesson(7, "--figures", folder) == 0
    assert [path.name for path in folder.iterdir()] == ["07_1.png"]
    assert plt.imread(folder / "07_1.png").shape[0] > 300
    assert str(folder / "07_1.png") in capsys.readouterr().out
    assert plt.get_fignums() == []


def test_figures_are_the_same_bytes_every_time(shelf, tmp_path):
    for name in "ab":
        lesson(7, "--figures", tmp_path / name)
    assert (tmp_path / "a" / "07_1.png").read_bytes() == (tmp_path / "b" / "07_1.png").read_bytes()


def test_claim_that_fails_gives_status_1(shelf, capsys):
    shelf.write_text(LESSON.replace("TWO = 2", "TWO = 3"), encoding="utf-8")
    assert lesson(7) == 1
    said = capsys.readouterr()
    assert said.out.endswith("FAILS\n")
    assert said.err == ("lesson 7: 1 of 1 rows does not hold, under 7.1: look for FAILS above.\n")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ([99], "there is no lesson 99; there are 7"),
        ([0], "there is no lesson 0; there are 7"),
        (["--step"], "say which lesson, for example: tinyvae lesson 3 --step"),
        (["--figures", "x"], "say which lesson, for example: tinyvae lesson 3 --step"),
        ([7, "--figures", __file__], f"{__file__} is no folder to save to: File exists"),
    ],
)
def test_bad_request_is_one_sentence(command, sentence, shelf, capsys):
    assert lesson(*command) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"tinyvae lesson: {sentence}\n")


def test_package_without_lessons_says_so(monkeypatch, capsys):
    monkeypatch.setattr(stepper, "find", dict)
    assert lesson() == 2
    assert capsys.readouterr().err == "tinyvae lesson: no lessons found next to the package\n"


def test_word_for_a_number_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        lesson("three")
    assert "invalid int value: 'three'" in capsys.readouterr().err


def test_lessons_are_found_inside_an_installed_package(tmp_path):
    package = tmp_path / "tinyvae"
    shutil.copytree(Path(tinyvae.__file__).parent, package)
    (package / "lessons").mkdir()
    (package / "lessons" / "07_little.py").write_text(LESSON, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "tinyvae.classroom.presenter.stepper"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("  7  A little lesson\n")


# ---- cell by cell --------------------------------------------------------------------------------


def test_enter_goes_through_to_the_end(shelf, monkeypatch, capsys):
    typed(monkeypatch, "", "", "", "", "")
    assert lesson(7, "--step") == 0
    shown = capsys.readouterr().out
    order = ["lesson 7, 1 of 3", "One line about μ.", "TWO = 2"]
    order += ["lesson 7, 2 of 3", "1 + 1 = 2", 'check("sum", 1 + 1, TWO)', "within"]
    order += ["lesson 7, 3 of 3", "  - TWO = 3"]
    places = [shown.index(text) for text in order]
    assert places == sorted(places)


def test_cell_waits_for_its_enter(shelf, monkeypatch, capsys):
    typed(monkeypatch, "", "")
    lesson(7, "--step")
    shown = capsys.readouterr().out
    assert 'claim("7.1"' in shown
    assert "differ by" not in shown


def test_r_repeats_what_is_shown_and_what_is_run(shelf, monkeypatch, capsys):
    typed(monkeypatch, "r", "", "", "", "r", "r")
    assert lesson(7, "--step") == 0
    shown = capsys.readouterr().out
    assert shown.count("One line about") == 2
    assert shown.count("within 1e-12") == 3


def test_variables_can_be_looked_at_and_changed(shelf, monkeypatch, capsys):
    typed(monkeypatch, "", "v TWO", "TWO + 40", "v", "v v", "v = 5", "v", "TWO = 3", "", "")
    assert lesson(7, "--step") == 1  # 1 + 1 is no longer TWO
    answers = re.split(r"\[Enter\].*\n", capsys.readouterr().out)
    assert answers[2].strip() == "2"
    assert answers[3].strip() == "42"
    assert answers[4].split() == ["TWO", "int", "grid", "ndarray", "(3,", "4)"]
    assert answers[5].strip() == "NameError: name 'v' is not defined"
    assert answers[7].split()[-2:] == ["v", "int"]
    assert "1 of 1 rows does not hold, under 7.1" in answers[-2]


def test_claim_repaired_and_repeated_counts_as_held(shelf, monkeypatch):
    typed(monkeypatch, "", "TWO = 3", "", "", "TWO = 2", "r", "", "")
    assert lesson(7, "--step") == 0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("nonsense", "NameError: name 'nonsense' is not defined"),
        ("1 +", "SyntaxError: "),
        ("for i in grid:", "IndentationError: "),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        ("None", ""),
    ],
)
def test_error_in_what_is_typed_takes_one_line(text, answer, shelf, monkeypatch, capsys):
    typed(monkeypatch, "", text)
    assert lesson(7, "--step") == 0
    said = re.split(r"\[Enter\].*\n", capsys.readouterr().out)[2].strip()
    if answer.endswith(": "):  # the words differ between Pythons
        assert said.startswith(answer) and "\n" not in said
    else:
        assert said == answer


def test_error_in_a_cell_names_the_line(shelf, monkeypatch, capsys):
    typed(monkeypatch, "", "del TWO", "", "")
    assert lesson(7, "--step") == 1
    line = LESSON.splitlines().index('check("sum", 1 + 1, TWO)') + 1
    assert f"07_little.py, line {line}: NameError: name 'TWO' is not" in capsys.readouterr().out


@pytest.mark.parametrize("lines", [["q"], ["", "q"], ["exit()"], [], ["?", "q"], ["", "", "q"]])
def test_quitting_is_success(lines, shelf, monkeypatch, capsys):
    typed(monkeypatch, *lines)
    assert lesson(7, "--step") == 0
    assert ("look at a variable" in capsys.readouterr().out) == ("?" in lines)


def test_cell_that_exits_quits(shelf, monkeypatch):
    shelf.write_text(LESSON.replace("TWO = 2", "raise SystemExit(3)"), encoding="utf-8")
    typed(monkeypatch, "", "")
    assert lesson(7, "--step") == 0


def test_interrupt_ends_it(shelf, monkeypatch):
    def interrupted(prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    assert lesson(7, "--step") == 130


def test_steps_can_save_figures(shelf, monkeypatch, tmp_path):
    typed(monkeypatch, *[""] * 5)
    assert lesson(7, "--step", "--figures", tmp_path / "figures") == 0
    assert (tmp_path / "figures" / "07_1.png").exists()


# ---- as a process --------------------------------------------------------------------------------


def process(*arguments, **options):
    environment = {name: os.environ[name] for name in os.environ if name != "DISPLAY"}
    environment["PYTHONPATH"] = str(Path(tinyvae.__file__).parents[1])
    environment |= options.pop("env", {})
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "tinyvae.classroom.presenter.stepper",
        *arguments,
    ]
    return subprocess.Popen(command, env=environment, **options)


@pytest.mark.parametrize("keys", ["", "\n", "\n\nlog_px\nq\n", "\n\n\n"])
def test_pipe_never_hangs(keys):
    running = process("3", "--step", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True)  # fmt: skip
    out, err = running.communicate(keys, timeout=120)
    assert running.returncode == 0
    assert err == ""
    assert "lesson 3, 1 of" in out and "\033" not in out


def test_terminal_that_knows_ascii_only():
    running = process("6", "--step", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})  # fmt: skip
    out, err = running.communicate(b"", timeout=120)
    assert (running.returncode, err) == (0, b"")
    assert b"Lesson 6" in out and out.isascii()


class Terminal:
    """A program on a pseudo-terminal of its own, and what it has shown."""

    def __init__(self, *arguments):
        self.end, theirs = pty.openpty()
        self.running = process(
            *arguments,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={"TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C gets there
        )
        os.close(theirs)
        self.shown = ""

    def read(self, give_up):
        """A little more of what it shows.    ->  whether there was more"""
        waited = select.select([self.end], [], [], max(0, give_up - time.monotonic()))
        assert waited[0], f"nothing more after {self.shown!r}"
        try:
            more = os.read(self.end, 65536)
        except OSError:  # how Linux says that the program has ended
            more = b""
        self.shown += more.decode(errors="replace")
        return bool(more)

    def wait_for(self, text, seconds=120):
        """Read until the text is shown, and forget all up to its end.    ->  what stood before"""
        give_up = time.monotonic() + seconds
        while text not in self.shown:
            assert self.read(give_up), f"it ended without {text!r}: {self.shown!r}"
        before, _, self.shown = self.shown.partition(text)
        return before

    def type(self, text):
        os.write(self.end, text.encode())

    def status(self, seconds=60):
        """Let it write its last words and end.    ->  exit status"""
        give_up = time.monotonic() + seconds
        while self.read(give_up):
            pass
        return self.running.wait(timeout=seconds)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.running.kill()
        self.running.wait()
        os.close(self.end)


PROMPT = "[?] > "


def test_terminal_to_the_end():
    cells = stepper.steps(LESSONS["03_elbo"].read_text(encoding="utf-8"))
    with Terminal("3", "--step") as terminal:
        for n, cell in enumerate(cells, start=1):
            text = terminal.wait_for(PROMPT)
            assert f"lesson 3, {n} of {len(cells)}" in text
            terminal.type("\n")
            if cell.code:
                output = terminal.wait_for(PROMPT)
                checks = re.search(r"^ *check\w*\(", cell.code, re.MULTILINE)
                assert (" holds\r\n" in output) == bool(checks), output
                terminal.type("\n")
        assert terminal.status() == 0


@pytest.mark.parametrize("key", ["q\n", "\x04", "\x03"])
def test_terminal_left_early(key):
    with Terminal("3", "--step") as terminal:
        first = terminal.wait_for(PROMPT)
        assert "Lesson 3" in first and "\033[" in first  # a heading in bold, at least
        terminal.type("\n")
        terminal.wait_for(PROMPT)
        terminal.type("log_px\n")
        assert "-9.8476" in terminal.wait_for(PROMPT)
        # The prompt is shown a moment before the key is waited for, and a Ctrl-C of a machine can
        # come in between.  A person presses it again.
        for _ in range(15):
            if terminal.running.poll() is not None:
                break
            terminal.type(key)
            with contextlib.suppress(subprocess.TimeoutExpired):
                terminal.running.wait(2)
        assert terminal.status() == (130 if key == "\x03" else 0)


# ---- what the terminal can show ------------------------------------------------------------------


@pytest.fixture
def colour_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_code_is_coloured_and_otherwise_unchanged(colour_terminal):
    pytest.importorskip("pygments")
    shown = stepper.coloured("x = 1  # one\n\ny = 2")
    assert "\033[" in shown
    assert re.sub(r"\033\[[0-9;]*m", "", shown) == "x = 1  # one\n\ny = 2"


def test_code_is_plain_without_pygments(colour_terminal, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygments", None)
    assert stepper.coloured("x = 1") == "x = 1"


def test_no_color_is_respected(colour_terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert stepper.coloured("x = 1") == "x = 1"
    assert stepper.bold_headings("Title\n=====") == "Title\n====="
