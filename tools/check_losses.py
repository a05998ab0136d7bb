"""The verdicts on losses, samplers, bounds and models as people write them, against the truth.

    $ python -m tools.check_losses               all cases, of the libraries that are installed
    $ python -m tools.check_losses numpy         of one library

tests/classroom/cases/{losses,samplers,bounds,models}/LIBRARY.txt hold the cases: a line

    ### what it is | right            or            ### what it is | wrong | the mistake's names

and its code.  tests/classroom/test_check_losses.py runs those of NumPy.
"""

import importlib.util
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path

from tinyvae.classroom.checker import bound, loss, sampler, vae
from tinyvae.classroom.checker.function import CannotRun, LocalFile

CASES = Path(__file__).parent.parent / "tests" / "classroom" / "cases"
FOLDERS = {"losses": "loss", "samplers": "sampler", "bounds": "bound", "models": "vae"}
IMPORTS = {
    "numpy": "import math\nimport numpy as np\n",
    "torch": "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n",
    "jax": "import jax\nimport jax.numpy as jnp\n",
}
JUDGES = {"loss": loss.judge, "sampler": sampler.judge, "bound": bound.judge}


@dataclass(frozen=True)
class Case:
    """One piece of code, and what is true of it."""

    kind: str  # "loss", "sampler", "bound" or "vae"
    library: str
    what: str
    truth: str  # "right" or "wrong"
    names: tuple[str, ...]  # of the mistakes
    code: str

    def file(self):
        """The code, run, as a LocalFile"""
        module = types.ModuleType("case")
        exec(compile(IMPORTS[self.library] + self.code, "case", "exec"), module.__dict__)
        return LocalFile(module)

    def verdict(self):
        """(what the checker says, the names of the mistakes, its sentences)"""
        file = self.file()
        try:
            if self.kind == "vae":
                found = vae.judge(file)
            else:
                last = [e.name for e in file.entries() if e.kind in ("function", "class")][-1]
                found = JUDGES[self.kind](file.function(last))
        except CannotRun as reason:
            return "cannot", [], [str(reason)]
        said = [mistake.says for mistake in found.mistakes]
        return ("right" if found.right else "wrong"), found.names, said


def cases(library):
    """All cases of a library"""
    found = []
    for folder, kind in FOLDERS.items():
        path = CASES / folder / f"{library}.txt"
        if not path.exists():
            continue
        for block in path.read_text(encoding="utf-8").split("### ")[1:]:
            head, _, code = block.partition("\n")
            what, truth, *names = (part.strip() for part in head.split("|"))
            names = tuple(names[0].split(", ")) if names else ()
            found.append(Case(kind, library, what, truth, names, code))
    return found


def main(libraries):
    """Print what differs from the truth, and the rates.    ->  exit status"""
    status = 0
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            print(f"{library}: not installed")
            continue
        there, named, slowest = cases(library), 0, 0.0
        agree, wrong = 0, [case for case in there if case.truth == "wrong"]
        for case in there:
            start = time.perf_counter()
            verdict, names, said = case.verdict()
            slowest = max(slowest, time.perf_counter() - start)
            agree += verdict == case.truth
            is_named = set(case.names) <= set(names)
            named += case.truth == "wrong" == verdict and is_named
            if verdict != case.truth or (case.truth == "wrong" and not is_named):
                print(f"  {case.kind}: {case.what}: {verdict}, {case.truth} is true; {said}")
        print(
            f"{library}: {agree} of {len(there)} verdicts agree; {named} of {len(wrong)} mistakes "
            f"have their names; slowest {slowest:.1f} s"
        )
        status = status or int(agree < len(there))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(IMPORTS)))
