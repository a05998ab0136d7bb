"""`tinyvae lesson`: the list, one lesson at once, one cell by cell through a pseudo-terminal."""

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
from tinyvae.classroom.presenter import command, figures, script, stepper, terminal
from tinyvae.classroom.presenter.cells import Cells
from tools.expected import LESSONS, ROOT, run

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
#
# Predict first: is it two?

# %%
claim("7.1", "It is two")
check("sum", 1 + 1, TWO)

# %% [markdown]
# So it was two.
#
# ## Step 2: a line

# %%
plt.plot([0, 1])
plt.show()

# %% [markdown]
# ## Try it
#
# - `TWO = 3`
"""


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder with lessons/ in it and a little lesson 7 alone there; it is the current folder."""
    path = tmp_path / "lessons" / "07_little.py"
    path.parent.mkdir()
    path.write_text(LESSON, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    return path


def lesson(*words):
    """`tinyvae lesson ...` in this process  ->  exit status"""
    import argparse

    parser = argparse.ArgumentParser()
    command.arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def typed(monkeypatch, *lines):
    """Have input() read these lines, then the end of the input."""
    left = iter(lines)

    def read(prompt):
        print(prompt)
        line = next(left, EOFError)
        if isinstance(line, type):
            raise line
        return line

    monkeypatch.setattr("builtins.input", read)


# ---- list and run --------------------------------------------------------------------------------


def test_list_says_number_title_and_one_line(shelf, capsys):
    assert lesson() == 0
    assert "\n".join(capsys.readouterr().out.splitlines()[:2]) == (
        "  7  A little lesson\n       One line about μ."
    )


def test_list_is_that_of_the_lessons(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert [found.path.resolve() for found in script.find_lessons().values()] == [
        path.resolve() for path in LESSONS.values()
    ]


def test_steps_are_text_question_code_and_what_is_said_afterwards():
    first, second, third, last = script.read_steps(LESSON)
    assert first.text.startswith("# Lesson 7: A little lesson\n\nOne line")
    assert first.code.startswith("import matplotlib") and not first.question
    assert second.text == "## Step 1: two\n\n$$1 + 1 = 2$$"
    assert second.question == "Predict first: is it two?"
    assert second.afterwards == "So it was two."
    assert LESSON.splitlines()[second.line] == 'claim("7.1", "It is two")'
    assert third.text == "## Step 2: a line" and third.draws and not second.draws
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


def test_claim_that_fails_gives_status_1_and_hides_nothing(shelf, capsys, tmp_path):
    shelf.write_text(LESSON.replace("TWO = 2", "TWO = 3"), encoding="utf-8")
    assert lesson(7, "--figures", tmp_path / "figures") == 1
    said = capsys.readouterr()
    assert re.search(r"sum .* FAILS\n", said.out) and (tmp_path / "figures" / "07_1.png").exists()
    assert said.err.endswith(
        "lesson 7: 1 of 1 rows does not hold, under 7.1: look for FAILS above.\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([99], "there is no lesson 99; there are 7"),
        ([0], "there is no lesson 0; there are 7"),
        (["--step"], "say which lesson, for example: tinyvae lesson 3 --step"),
        (["--figures", "x"], "say which lesson, for example: tinyvae lesson 3 --step"),
        (["--copy"], "say which lesson, for example: tinyvae lesson 3 --step"),
        ([7, "--step", "--from", 3], "lesson 7 has the steps 1 to 2"),
        ([7, "--step", "--from", 0], "lesson 7 has the steps 1 to 2"),
        ([7, "--from", 1], "--from and --predict go with --step"),
        ([7, "--predict"], "--from and --predict go with --step"),
        ([7, "--set", "TWO=3", "--step"],
         "--set goes alone: it runs the lesson twice and compares"),
        ([7, "--set", "THREE=3"], "the lesson has no constant THREE: it has TWO"),
        ([7, "--set", "TW0=3"], "the lesson has no constant TW0: did you mean TWO?"),
        ([7, "--set", "TWO"], "--set takes NAME=VALUE, such as TWO=1"),
        ([7, "--set", "TWO=os.getcwd()"],
         "'os.getcwd()' is no value: a number, a text in quotes or a tuple"),
        ([7, "--set", "TWO='two'"],
         "with that the lesson cannot run: ValueError: could not convert string to float: 'two'"),
        ([7, "--copy"], "there is no installed lesson 7 to copy"),
        ([7, "--figures", __file__], f"{__file__} is no folder to save to: File exists"),
    ],
)  # fmt: skip
def test_bad_request_is_one_sentence(words, sentence, shelf, capsys, monkeypatch):
    monkeypatch.setattr(command, "installed_lessons", dict)
    assert lesson(*words) == 2
    said = capsys.readouterr()
    running = f"running {shelf.relative_to(Path.cwd())}\n"
    assert (said.out, said.err.removeprefix(running)) == ("", f"tinyvae lesson: {sentence}\n")


def test_package_without_lessons_says_so(monkeypatch, capsys):
    monkeypatch.setattr(command, "find_lessons", dict)
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
        [sys.executable, "-m", "tinyvae", "lesson"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("  7  A little lesson\n")


# ---- the lesson that the student edited ----------------------------------------------------------


def test_lesson_of_the_current_folder_is_the_one_that_runs(shelf, capsys):
    assert lesson(7) == 0
    assert capsys.readouterr().err == f"running {Path('lessons', '07_little.py')}\n"


def test_copy_puts_the_installed_lesson_here_and_overwrites_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert lesson(3, "--copy") == 0
    copied = tmp_path / "lessons" / "03_elbo.py"
    assert copied.read_bytes() == LESSONS["03_elbo"].read_bytes()
    copied.write_text("mine")
    assert lesson(3, "--copy") == 2
    assert copied.read_text() == "mine" and "is there already" in capsys.readouterr().err


def test_set_shows_before_and_after(shelf, capsys):
    assert lesson(7, "--set", "TWO=3") == 1
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "before sum 2.000000 = 2.000000 within 1e-12 holds" in rows
    assert "after sum 2.000000 = 3.000000 off by 3e-01 FAILS" in rows
    assert "7.1 It is two" in rows, "what does not change is printed once"
    assert shelf.read_text(encoding="utf-8") == LESSON


def test_constant_is_changed_where_it_is_assigned_and_nowhere_else():
    source = "A = 1\nAB = (1,\n      2)\nprint(A, 'A = 1')\n"
    assert script.with_constant(source, "A = 2").splitlines()[0] == "A = 2"
    changed = script.with_constant(source, "AB=[7]")
    assert changed == "A = 1\nAB = [7]\nprint(A, 'A = 1')\n"


# ---- step by step --------------------------------------------------------------------------------


def screens(capsys):
    """What was shown, from prompt to prompt"""
    return capsys.readouterr().out.split(stepper.PROMPT)


def test_question_then_code_then_claim_with_the_result(shelf, monkeypatch, capsys):
    typed(monkeypatch, *[""] * 9)
    assert lesson(7, "--step") == 0
    title, code, nothing, question, cell, result, line, figure, last, *_ = screens(capsys)
    assert "One line about μ." in title and "lesson 7, 1 of 4" in title
    assert "TWO = 2" in code and "it prints nothing" in nothing
    assert "Predict first: is it two?" in question and "1 + 1 = 2" in question
    assert "It is two" not in question + cell, "the claim stands with the result"
    assert 'check("sum"' in cell and " holds" not in cell
    assert "7.1  It is two" in result and " holds" in result
    assert result.index("So it was two.") > result.index(" holds")
    assert "Step 2: a line" in line and "So it was two." not in line
    assert "plt.plot" not in line + figure, "the code of a figure is folded"
    assert "07_1.png]" in figure, "without a screen the figure's file is named"
    assert "  - TWO = 3" in last


def test_back_shows_again_and_runs_nothing_again(shelf, monkeypatch, capsys):
    shelf.write_text(LESSON.replace("TWO = 2", "TWO = 2\nprint('ran')"), encoding="utf-8")
    typed(monkeypatch, "", "", "", "b", "b", "b", "b", "", "", "", "q")
    assert lesson(7, "--step") == 0
    shown = screens(capsys)
    assert [("lesson 7, 1" in s) for s in shown[:8]] == [True] * 3 + [False] + [True] * 4
    assert sum("ran\n" in screen and "print" not in screen for screen in shown) == 3
    assert "lesson 7, 2 of 4: question" in shown[-2]


def test_go_to_a_step_runs_what_comes_before_it_in_silence(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 2", "b", "q")
    assert lesson(7, "--step") == 0
    _, second, back, _ = screens(capsys)
    assert "Step 2: a line" in second and "It is two" not in second
    assert "7.1  It is two" in back and " holds" in back


def test_from_begins_there(shelf, monkeypatch, capsys):
    typed(monkeypatch, "TWO", "q")
    assert lesson(7, "--step", "--from", "1") == 0
    first, value, _ = screens(capsys)
    assert "Predict first" in first and value.strip() == "2"


@pytest.mark.parametrize("number", ["9", "0", "", "two", "-1", "\N{SUPERSCRIPT TWO}"])
def test_step_that_is_not_there_is_a_sentence(number, shelf, monkeypatch, capsys):
    typed(monkeypatch, f"g {number}", "q")
    assert lesson(7, "--step") == 0
    assert "lesson 7 has the steps 1 to 2; l lists them" in screens(capsys)[1]


def test_list_of_steps_marks_where_we_are(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 1", "l", "q")
    lesson(7, "--step")
    listed = screens(capsys)[2].strip("\n").splitlines()
    assert listed == [
        "   Lesson 7: A little lesson",
        "-> Step 1: two",
        "   Step 2: a line",
        "   Try it",
    ]


def test_fold_and_unfold(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 2", "f", "f", "g 1", "", "f", "q")
    lesson(7, "--step")
    _, folded, unfolded, again, _, code, whole, _ = screens(capsys)
    assert "plt.plot" not in folded and "plt.plot" in unfolded and "plt.plot" not in again
    assert 'claim("7.1"' not in code and 'claim("7.1"' in whole


def test_restart_forgets_everything(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 2", "!TWO = 3", "restart", "TWO", "q")
    assert lesson(7, "--step") == 0
    shown = screens(capsys)
    assert "One line about" in shown[3] and "NameError: name 'TWO'" in shown[4]


def test_guess_is_shown_beside_the_result(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 1", "", "certainly", "", "q")
    assert lesson(7, "--step", "--predict") == 0
    out = capsys.readouterr().out
    assert "your guess > " in out
    assert out.index(" holds") < out.index("You said: certainly")


def test_slip_of_the_keyboard_does_not_reach_the_lesson(shelf, monkeypatch, capsys):
    slips = ["TWO = 3", "grid += 1", "grid[0, 0] = 7", "check = None", "del TWO"]
    typed(monkeypatch, "g 1", *slips, "grid.sum()", "", "", "!TWO = 3", "r", "q")
    assert lesson(7, "--step") == 1
    shown = screens(capsys)
    assert shown[7].strip() != "0.0", "a scratch name keeps what was typed"
    assert " holds" in shown[9], "but not the lesson's"
    assert "FAILS" in shown[11], "! is meant"


def test_array_changed_in_scratch_is_untouched_in_the_lesson(shelf):
    cells = Cells(script.find_lessons()[7])
    cells.run(0)
    cells.evaluate("grid += 1")
    cells.evaluate("grid[:] = 5")
    assert cells.namespace["grid"].sum() == 0
    cells.evaluate("!grid += 1")
    assert cells.namespace["grid"].sum() == 12


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("nonsense", "NameError: name 'nonsense' is not defined"),
        ("1 +", "SyntaxError: "),
        ("for i in grid:", "IndentationError: "),
        ("raise ValueError('two\\nlines')", "ValueError: two"),
        ("raise KeyboardInterrupt", "stopped"),
        ("raise SystemExit", "SystemExit: "),
        ("raise type('Odd', (Exception,), {'__str__': lambda s: 1 / 0})",
         "Odd: (its message cannot be shown)"),
        ("None", ""),
        ("v TWO", "2"),
        ("v", "TWO                  int\ngrid                 ndarray (3, 4)"),
    ],
)  # fmt: skip
def test_what_is_typed_is_answered_in_a_line(text, answer, shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 1", text, "q")
    assert lesson(7, "--step") == 0
    said = screens(capsys)[2].strip()
    if answer.endswith(": ") and answer != "SystemExit: ":  # the words differ between Pythons
        assert said.startswith(answer) and "\n" not in said
    else:
        assert said == answer.strip()


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "Stopped by Ctrl-C; r runs the cell again."),
        ("raise type('Odd', (BaseException,), {'__str__': lambda s: 1 / 0})", "Odd: (its message"),
    ],
)
def test_whatever_a_cell_does_the_lesson_goes_on(cell, said, shelf, monkeypatch, capsys):
    shelf.write_text(LESSON.replace("TWO = 2", f"TWO = 2\n{cell}"), encoding="utf-8")
    typed(monkeypatch, "", "", "", "g 2", "q")
    assert lesson(7, "--step") == 1
    shown = screens(capsys)
    assert said in shown[2] and "Step 2: a line" in shown[4]


def test_error_in_a_cell_names_the_line(shelf, monkeypatch, capsys):
    typed(monkeypatch, "g 1", "!del TWO", "", "", "q")
    assert lesson(7, "--step") == 1
    line = LESSON.splitlines().index('check("sum", 1 + 1, TWO)') + 1
    assert f"07_little.py, line {line}: NameError: name 'TWO' is not" in capsys.readouterr().out


@pytest.mark.parametrize("lines", [["q"], ["", "q"], ["exit()"], [], ["?", "q"], ["", "", "q"]])
def test_quitting_is_success(lines, shelf, monkeypatch, capsys):
    typed(monkeypatch, *lines)
    assert lesson(7, "--step") == 0
    assert ("look at a variable" in capsys.readouterr().out) == ("?" in lines)


def test_ctrl_c_at_the_prompt_ends_nothing(shelf, monkeypatch, capsys):
    typed(monkeypatch, KeyboardInterrupt, "q")
    assert lesson(7, "--step") == 0
    assert "q quits." in capsys.readouterr().out


def test_steps_can_save_figures(shelf, monkeypatch, tmp_path):
    typed(monkeypatch, *[""] * 9)
    assert lesson(7, "--step", "--figures", tmp_path / "figures") == 0
    assert (tmp_path / "figures" / "07_1.png").exists()


# ---- as a process --------------------------------------------------------------------------------


def process(*arguments, **options):
    environment = {name: os.environ[name] for name in os.environ if name != "DISPLAY"}
    environment["PYTHONPATH"] = str(Path(tinyvae.__file__).parents[1])
    environment |= options.pop("env", {})
    command = [sys.executable, "-W", "error", "-m", "tinyvae", "lesson", *arguments]
    return subprocess.Popen(command, env=environment, cwd=ROOT, **options)


@pytest.mark.parametrize("keys", ["", "\n", "\n\nlog_px\nq\n", "\n\n\n"])
def test_pipe_never_hangs(keys):
    running = process("3", "--step", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, text=True)  # fmt: skip
    out, err = running.communicate(keys, timeout=120)
    assert running.returncode == 0
    assert err == "running lessons/03_elbo.py\n"
    assert "lesson 3, 1 of" in out and "\033" not in out


def test_terminal_that_knows_ascii_only():
    running = process("6", "--step", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                      stderr=subprocess.PIPE, env={"PYTHONIOENCODING": "ascii"})  # fmt: skip
    out, err = running.communicate(b"", timeout=120)
    assert (running.returncode, err) == (0, b"running lessons/06_backprop.py\n")
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
            env={"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "80", "LINES": "24"},
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

    def wait_for(self, text, seconds=40):
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


END = f"\033[{len(stepper.PROMPT)}C"  # the cursor goes behind the prompt: it waits for a key


def plain(shown):
    """What was shown without the sequences that move the cursor or colour"""
    return re.sub(r"\033(\[[0-9;?]*[a-zA-Z]|[=>])", "", shown)


def test_terminal_to_the_end_by_the_keys_of_a_remote_control():
    steps = script.read_steps(LESSONS["03_elbo"].read_text(encoding="utf-8"))
    with Terminal("3", "--step") as shown:
        for n, step in enumerate(steps, start=1):
            pages = []
            while f"lesson 3, {n} of" not in "".join(pages):
                pages.append(plain(shown.wait_for(END)))
            last = "result" if step.code else "text"
            while f": {last}" not in pages[-1]:
                shown.type("\033[6~")  # page down
                pages.append(plain(shown.wait_for(END)))
            checks = re.search(r"^ *check\w*\(", step.code, re.MULTILINE)
            shown.type("\r")
        assert shown.status() == 0
        assert checks is None


def test_no_page_is_taller_or_wider_than_the_window():
    with Terminal("3", "--step", "--from", "5") as shown:
        for _ in range(8):
            lines = plain(shown.wait_for(END)).replace("\r", "").split("\n")
            assert len(lines) <= 25 and max(map(len, lines)) <= 80, lines
            shown.type("\r")


@pytest.mark.parametrize("key", ["q\r", "\x04"])
def test_terminal_left_early(key):
    with Terminal("3", "--step", "--from", "1") as shown:
        assert "Step 1" in shown.wait_for(END)
        shown.type("log_px\r")
        assert "-9.1858" in plain(shown.wait_for(END))
        shown.type(key)
        assert shown.status() == 0


def test_terminal_survives_ctrl_c():
    with Terminal("3", "--step", "--from", "1") as shown:
        shown.wait_for(END)
        shown.type("\x03")
        assert "q quits" in plain(shown.wait_for(END))
        shown.type("q\r")
        assert shown.status() == 0


# ---- what the terminal can show ------------------------------------------------------------------


@pytest.fixture
def colour_terminal(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_code_is_coloured_and_otherwise_unchanged(colour_terminal):
    lines = terminal.code_lines("x = 1  # one\n\ny = 'two'")
    assert any("\033[" in line for line in lines)
    assert [re.sub(r"\033\[[0-9;]*m", "", s) for s in lines] == ["x = 1  # one", "", "y = 'two'"]


def test_verdicts_and_questions_have_a_colour(colour_terminal):
    holds, fails, other = terminal.result_lines("a = a holds\na = b FAILS\nit holds water")
    assert holds.startswith("a = a\033[32m holds") and "\033[1;31m FAILS" in fails
    assert other == "it holds water"
    assert "\033[" in terminal.question_lines("Predict first: why?")[0]


def test_no_color_is_respected(colour_terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.code_lines("x = 'one'") == ["x = 'one'"]
    assert terminal.text_lines("# Title") == ["Title", "====="]
    assert terminal.result_lines("a = a holds") == ["a = a holds"]


@pytest.mark.parametrize("size", [(80, 24), (100, 30), (40, 12)])
def test_every_screen_of_every_lesson_fits_the_window(size, monkeypatch):
    monkeypatch.setattr(terminal, "size", lambda: size)
    for found in script.find_lessons(ROOT).values():
        for step in found.steps:
            for lines in (
                terminal.text_lines(step.text) + terminal.question_lines(step.question),
                terminal.code_lines(script.without_claims(step.code)),
            ):
                if size[0] >= 80:
                    assert max(map(len, lines), default=0) <= size[0], (found.number, step.heading)
                for page in terminal.pages(lines, "lesson"):
                    assert page.count("\n") + 1 <= size[1] - 3


def test_window_leaves_the_keyboard_to_the_terminal():
    """Tk is told to; other toolkits are left alone."""
    asked = []
    window = type("Window", (), {"wm_focusmodel": lambda self, word: asked.append(word)})()
    figures.keep_focus_in_terminal(type("Manager", (), {"window": window})())
    assert asked == ["active"]
    figures.keep_focus_in_terminal(object())


def test_cell_says_how_long_it_takes(shelf, monkeypatch, capsys):
    shelf.write_text(LESSON.replace("TWO = 2", "TWO = 2"), encoding="utf-8")
    slow = LESSON.replace("# %%\nimport", "# %%\n# takes about 20 s\nimport")
    shelf.write_text(slow, encoding="utf-8")
    typed(monkeypatch, "", "", "q")
    assert lesson(7, "--step") == 0
    assert "running, about 20 s ..." in capsys.readouterr().out
