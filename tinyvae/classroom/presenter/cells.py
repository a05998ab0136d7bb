"""Run the cells of a lesson in one namespace; whatever a cell does, the lesson goes on."""

import ast
import contextlib
import copy
import io
import sys
import threading
import traceback
from dataclasses import dataclass, field
from types import ModuleType

from tqdm import tqdm

from tinyvae.classroom.lesson import sink, summary


@dataclass
class Result:
    """What running a cell came to."""

    output: str
    right: bool
    items: list = field(default_factory=list)  # what `lesson.sink` gave


@dataclass
class Cells:
    """The namespace of a lesson and what its cells have printed so far."""

    lesson: object
    namespace: dict = field(default_factory=lambda: {"__name__": "__main__"})
    scratch: dict = field(default_factory=dict)
    results: dict = field(default_factory=dict)  # number of the step -> Result

    def restart(self):
        """Forget all that was run and typed."""
        self.namespace = {"__name__": "__main__"}
        self.scratch.clear()
        self.results.clear()

    def run(self, number):
        """Run the cell of this step.    ->  Result"""
        step, printed = self.lesson.steps[number], io.StringIO()
        items, right = [], False
        try:
            name = str(self.lesson.path)
            code = compile("\n" * step.line + step.code, name, "exec", dont_inherit=True)
            with contextlib.redirect_stdout(printed), progress(step.seconds), sink(items.append):
                exec(code, self.namespace)
            right = not summary(items)
        except KeyboardInterrupt:
            print("\nStopped by Ctrl-C; r runs the cell again.", file=printed)
        except BaseException as error:
            line = line_of(error, self.lesson.path)
            print(f"\n{self.lesson.path.name}{line}: {one_line(error)}", file=printed)
        self.results[number] = Result(printed.getvalue(), right, items)
        return self.results[number]

    def run_up_to(self, number):
        """Run what has not been run of the steps before this one, with a bar and without a word."""
        todo = [i for i in range(number) if i not in self.results and self.lesson.steps[i].code]
        bar = tqdm(todo, desc="running what comes before", unit="step", leave=False, disable=None)
        for i in bar:
            self.run(i)

    def evaluate(self, typed):
        """Print the value of what was typed, or do it, without touching the lesson's own names.

        What is assigned goes to a scratch namespace, and the arrays that are named are copies: a
        slip of the keyboard changes nothing.  With "!" in front it changes the lesson.
        """
        try:
            if typed.startswith("!"):
                exec(_compiled(typed[1:].strip()), self.namespace)
                return
            names = {n.id for n in ast.walk(ast.parse(typed)) if isinstance(n, ast.Name)}
            both = self.namespace | self.scratch
            copies = {n: _copied(both[n]) for n in names & both.keys()}
            seen = both | copies
            exec(_compiled(typed), seen)
            changed = {n: v for n, v in seen.items() if both.get(n) is not v}
            self.scratch |= {n: v for n, v in changed.items() if v is not copies.get(n)}
        except KeyboardInterrupt:
            print("stopped")
        except BaseException as error:
            print(one_line(error))

    def variables(self):
        """One line for each name of the lesson, without modules and functions."""
        for name, value in self.namespace.items():
            if not (name.startswith("_") or callable(value) or isinstance(value, ModuleType)):
                shape = getattr(value, "shape", None)
                yield f"{name:<20} {type(value).__name__}{'' if shape is None else f' {shape}'}"


def _compiled(text):
    return compile(text, "<typed>", "single", dont_inherit=True)


def _copied(value):
    try:
        return copy.deepcopy(value)
    except Exception:  # modules, generators: there is nothing to spoil by assigning
        return value


def one_line(error):
    """A raised exception in one line, even one whose own text raises."""
    try:
        text = str(error).partition("\n")[0]
    except Exception:
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}"


def line_of(error, path):
    """ ", line 7": the last line of the lesson's file that the error came through"""
    lines = [n for frame, n in traceback.walk_tb(error.__traceback__)
             if frame.f_code.co_filename == str(path)]  # fmt: skip
    return f", line {lines[-1]}" if lines else ""


@contextlib.contextmanager
def progress(seconds):
    """A bar that fills in that many seconds, for a cell that says how long it takes."""
    if not seconds or not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    form = "working, about {total} s |{bar}| {n} s"
    with tqdm(total=seconds, bar_format=form, leave=False, file=sys.stderr) as bar:

        def tick():
            while not over.wait(1):
                bar.update(min(1, seconds - bar.n))
                bar.refresh()

        thread = threading.Thread(target=tick, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
