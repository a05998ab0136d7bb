"""`tinyvae lesson N --step`: question, pause, code, pause, result, on a projector."""

from tinyvae.classroom.presenter import terminal
from tinyvae.classroom.presenter.cells import Cells
from tinyvae.classroom.presenter.figures import projected
from tinyvae.classroom.presenter.script import LessonError, without_claims

HELP = """\
Enter, space, right, page down   go on: to the code, to the result, to the next step
b, left, page up                 go back a screen
g 7                              go to step 7 (what comes before it is run)
l                                list the steps
f                                unfold the code, that of a figure too; fold it again
r                                run the cell again
restart                          forget everything and begin again
v NAME                           look at a variable, or at any expression:  v gap["close"]
v                                which variables there are
q                                quit (so does Ctrl-D); Ctrl-C ends a cell, not the lesson
Anything else is Python on a copy of the lesson's names:  2 * log_px
With ! in front it changes the lesson's own:  !DRAWS = 1000"""
PROMPT = "[Enter] on   b back   g N go to   l list   f code   q quit   ? help > "


class Quit(Exception):
    """The person wants to stop."""


class Presenter:
    """Where the lesson stands: the step, and the screen of the step."""

    def __init__(self, lesson, predict=False, read=None):
        self.lesson, self.predict = lesson, predict
        self.cells, self.guesses, self.unfolded = Cells(lesson), {}, set()
        self.read = read or terminal.reader(PROMPT)
        self.step, self.screen = 0, "text"

    def screens(self):
        """The screens of this step, in their order."""
        step = self.lesson.steps[self.step]
        first = ["text"] if step.text or step.question else []
        code = ["code"] if step.code and (not step.draws or self.step in self.unfolded) else []
        return [*first, *code, *(["result"] if step.code else [])]

    # ---- showing ---------------------------------------------------------------------------------

    def lines(self):
        """What this screen shows."""
        step = self.lesson.steps[self.step]
        if self.screen == "text":
            question = ["", *terminal.question_lines(step.question)] if step.question else []
            return terminal.text_lines(step.text) + question
        if self.screen == "code":
            return self.code_lines(step)
        guess = self.guesses.get(self.step)
        said = ["", f"You said: {guess}"] if guess else []
        result = self.cells.results[self.step].output.strip("\n")
        result = result or ("(a figure)" if step.draws else "(it prints nothing)")
        afterwards = ["", *terminal.text_lines(step.afterwards)] if step.afterwards else []
        return terminal.result_lines(result) + said + afterwards

    def code_lines(self, step):
        """The cell without its claim, which comes with the result; unfolded, all of it."""
        whole = self.step in self.unfolded
        return terminal.code_lines(step.code if whole else without_claims(step.code))

    def show(self):
        """The screen, a page at a time.    ->  what was typed after the last page"""
        header = f"lesson {self.lesson.number}, {self.step + 1} of {len(self.lesson.steps)}"
        asks = self.screen == "text" and self.lesson.steps[self.step].question
        name = "question" if asks else self.screen
        every = list(terminal.pages(self.lines(), f"{header}: {name}"))
        for number, page in enumerate(every, 1):
            terminal.show_page(page)
            if number < len(every) and (typed := self.ask()):
                return typed
        return self.ask()

    def ask(self):
        """What is typed, once it says where to go; the rest is answered here.    Raises Quit."""
        while True:
            try:
                typed = self.read(PROMPT)
            except KeyboardInterrupt:
                print("\nq quits.")
                continue
            except EOFError:
                raise Quit from None
            if typed in ("?", "h", "help"):
                print(HELP)
            elif typed == "l":
                self.list_steps()
            elif typed == "v":
                print("\n".join(self.cells.variables()))
            elif typed in ("", "b", "f", "r", "restart") or typed.split()[0] == "g":
                return typed
            elif typed in ("q", "quit", "exit", "quit()", "exit()"):
                raise Quit
            else:
                text = typed[2:] if typed.startswith("v ") and "=" not in typed else typed
                self.cells.evaluate(text.strip())

    def list_steps(self):
        for place, step in enumerate(self.lesson.steps):
            if step.heading:
                here = "->" if place <= self.step < self._next_heading(place) else "  "
                print(f"{here} {terminal.tex_in(step.heading)}")

    def _next_heading(self, place):
        later = range(place + 1, len(self.lesson.steps))
        return next((i for i in later if self.lesson.steps[i].heading), len(self.lesson.steps))

    # ---- going -----------------------------------------------------------------------------------

    def present(self):
        """Go through the lesson until its end, or q.    ->  whether all that was run holds"""
        try:
            while self.step < len(self.lesson.steps):
                self.go(self.show())
        except Quit:
            print()
        return all(result.right for result in self.cells.results.values())

    def go(self, command):
        """Do what was typed: run, unfold, or move to another screen."""
        if command == "f":
            self.unfolded ^= {self.step}
            self.screen = "code" if "code" in self.screens() else self.screens()[0]
        elif command == "restart":
            self.cells.restart()
            self.step, self.screen = 0, "text"
        elif command == "r" and self.lesson.steps[self.step].code:
            self.run_cell()
        elif command == "b":
            self.go_back()
        elif command.startswith("g"):
            self.go_to(command[1:].strip())
        elif command == "":
            self.go_on()

    def go_on(self):
        screens = self.screens()
        after = screens[screens.index(self.screen) + 1 :]
        if self.screen == "text" and self.predict and self.lesson.steps[self.step].question:
            self.guesses[self.step] = self.read("your guess > ")
        if not after:
            self.enter_step(self.step + 1)
        elif after[0] == "result" and self.step not in self.cells.results:
            self.run_cell()
        else:
            self.screen = after[0]

    def go_back(self):
        screens = self.screens()
        before = screens[: screens.index(self.screen)]
        if before:
            self.screen = before[-1]
        elif self.step:
            self.step -= 1
            done = [s for s in self.screens() if s != "result" or self.step in self.cells.results]
            self.screen = done[-1]

    def go_to(self, number):
        """To the step of that number, once everything before it has been run."""
        try:
            place = self.lesson.place(int(number) if number.isdecimal() else 0)
        except LessonError as error:
            print(f"{error}; l lists them, g 2 goes to the second")
            return
        self.cells.run_up_to(place)
        self.enter_step(place)

    def enter_step(self, number):
        self.step = number
        if number < len(self.lesson.steps):
            self.screen = self.screens()[0]
            if self.screen == "result" and number not in self.cells.results:
                self.run_cell()

    def run_cell(self):
        seconds = self.lesson.steps[self.step].seconds
        if seconds:
            print(f"running, about {seconds} s ...", flush=True)
        self.cells.run(self.step)
        terminal.drop_typed_keys()
        self.screen = "result"


def step_through(lesson, start=None, predict=False, figures=None):
    """Present the lesson from this step on; `figures` says where they go.    ->  exit status"""
    with figures or projected(lesson.number):
        presenter = Presenter(lesson, predict)
        if start is not None:
            presenter.go_to(str(start))
        return 0 if presenter.present() else 1
