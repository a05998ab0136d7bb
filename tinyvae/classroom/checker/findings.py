"""What the judges of losses, samplers, bounds and models find, and how the engine reports it."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong: a sentence, and a name for it: the museum's where it has one."""

    says: str
    name: str = ""


@dataclass
class Findings:
    """What a judge found.

    takes     what the function was called with
    laws      [name, formula, "ok", "wrong" or "-", note]
    told      sentences that the verdict does not depend on: under which reading, which reduction
    mistakes  what is wrong
    case      the smallest case: arguments by name;  rows: (of what, yours, true)
    """

    takes: str = ""
    laws: list = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    case: dict = field(default_factory=dict)
    rows: list = field(default_factory=list)

    @property
    def right(self):
        """True if no law is broken."""
        return not self.mistakes

    @property
    def names(self):
        """The names of the mistakes."""
        return list(dict.fromkeys(m.name for m in self.mistakes if m.name))

    def law(self, name, formula, wrong=(), note=""):
        """Record a law: wrong if there are mistakes, "-" if a note says why it is not judged."""
        wrong = [wrong] if isinstance(wrong, Mistake) else list(wrong)
        self.mistakes += wrong
        self.laws.append([name, formula, "wrong" if wrong else "-" if note else "ok", note])
