"""What does a file hold: losses, samplers, bounds, KLs, whole VAEs?  And is each of them right?

$ tinyvae check mine.py                   finds out what is in it, several functions included
$ tinyvae check loss mine.py:my_loss      says what it is meant to be
$ tinyvae check 03_elbo.py                an exercise

>>> kind_of("reparameterize", ["mu", "logvar"])
'sampler'
"""

import contextlib
import re
import sys
from dataclasses import replace
from pathlib import Path

from tinyvae.classroom.checker import bound, exercises, explain, final, loss, sampler, sandbox, vae
from tinyvae.classroom.checker.engine import (
    ALL_HINTS,
    LawVerdict,
    Report,
    Verdict,
    as_lists,
    hinted,
    lines,
    quiet,
)
from tinyvae.classroom.checker.function import CannotRun, LocalFile, as_function
from tinyvae.classroom.checker.roles import role_of, roles
from tinyvae.classroom.checker.values import escape

KINDS = {
    "kl": "a KL between Gaussians",
    "loss": "a loss of a VAE",
    "sampler": "a sampler of z",
    "bound": "a bound on log p(x)",
    "vae": "a whole VAE",
}
JUDGES = {"loss": loss.judge, "sampler": sampler.judge, "bound": bound.judge}
SCALARS = ("weight", "count", "step", "capacity", "floor", "batch index", "reading")


def kind_of(name, parameters, doc=""):
    """ "loss", "sampler", "bound", "kl", or "" for none of these: by the names alone"""
    short = name.rpartition(".")[2].lower()
    said = [role_of(p) for p in parameters]
    there = set(roles([p for p in parameters if role_of(p) != "reading"])[0]) if parameters else ()
    weights = [
        p for p in parameters if re.fullmatch(r"(log_?w(eights?)?|lw|log_?ws|logits?_?w)", p)
    ]
    if (
        weights
        or re.search(r"iwae|iw_?bound|importance|log_?mean_?exp|^bound|_bound", short)
        or (
            re.search(r"log_?p_?x$|marginal|log_?lik", short)
            and len(parameters) >= 2
            and "z" in said
        )
        or {"log_pz", "log_qz"} <= {p.lower() for p in parameters}
    ):
        return "bound"
    pictures = "x" in there and ("r" in there or "bundle" in there)
    latent = "mu" in there and "s" in there
    if re.search(r"(^|_)kld?(_|$)|kl_div|kullback|divergence", short) and "x" not in said:
        return "kl"
    if (pictures and latent) or ("recon" in there and ("kl" in there or latent)):
        return "loss"
    two = [p for p in parameters if role_of(p) in ("mu", "mu_p", "s", "s_p")]
    if len(two) == 4 and len(parameters) == 4:
        return "kl"
    if latent and not pictures:
        if (
            "eps" in said
            or any(sampler.RANDOM.search(p) for p in parameters)
            or re.search(r"sampl|repara|draw|noise|latent|^z$|get_z", short)
        ):
            return "sampler"
        return "kl"
    if pictures and re.search(r"nll|recon|bce|mse|loss|likelihood|cross_?ent|log_?p|cost", short):
        return "loss"
    if re.search(r"loss|elbo|criterion|objective", short) and parameters:
        return "loss"
    if re.search(r"sampling|repara", short):
        return "sampler"
    return ""


def found_in(file):
    """[(name, kind)]: what of the file can be judged, in its order"""
    entries, found, methods = file.entries(), [], {}
    whole = []
    for entry in entries:
        if entry.kind not in ("class", "object"):
            continue
        short = {m.rpartition(".")[2]: m for m in entry.methods}
        kinds = [k for k, p in vae.METHODS.items() if any(re.search(p, m) for m in short)]
        if "encode" in kinds and ("decode" in kinds or "forward" in kinds):
            whole.append(entry)
        elif entry.kind == "object" or len(short) <= 4:
            methods[entry.name] = short
    if whole:
        instances = {entry.type_name for entry in whole if entry.kind == "object"}
        found += [(e.name, "vae") for e in whole if e.kind == "object" or e.name not in instances]
    for entry in entries:
        if entry.kind == "function":
            found += _callable(file, entry.name)
        elif entry.name in methods:
            found += _methods(file, entry, methods[entry.name])
    if not found:
        for entry in entries:
            if entry.kind == "hidden function":
                found += _callable(file, entry.name)
    return found


def _callable(file, name, shown=None):
    """[(name, kind)] of one function, [] if it is none of these"""
    try:
        function = file.function(name)
    except CannotRun:
        return []
    parameters = [p.name for p in function.parameters or () if p.required and not p.variadic]
    if any(p.variadic == "*" for p in function.parameters or ()) and not parameters:
        parameters = ["recons", "input", "mu", "log_var"] if "loss" in name.lower() else []
    label = shown or name
    kind = kind_of(label, parameters)
    if kind == "kl" and not re.search(r"kl|div", label.lower()):
        kind = _by_value(function, kind)
    return [(name, kind)] if kind else []


def _by_value(function, kind):
    """mu and a scale, and a name that says nothing: z comes back, or a number"""
    try:
        sampler.samplers(function)
        return "sampler"
    except CannotRun:
        return kind


def _methods(file, entry, short):
    """The judged methods of a class that is no model: a loss module, a sampler, static KLs"""
    found = []
    for method, dotted in short.items():
        if method in ("forward", "__call__", "call"):
            name = entry.name if entry.kind == "object" else dotted
            found += _callable(file, name if file.has(name) else dotted, entry.name)
        else:
            found += _callable(file, dotted, method)
    return found


# ---- judging -------------------------------------------------------------------------------------


def verdict_of(name, kind, findings):
    """The engine's Verdict on what a judge found"""
    laws = [LawVerdict(*law) for law in findings.laws]
    if findings.right:
        return Verdict(name, "right", note=KINDS[kind], laws=laws)
    broken = next((law for law in laws if law.status == "wrong"), None)
    rows = [
        {"of": of, "yours": as_lists(y), "true": as_lists(true)} for of, y, true in findings.rows
    ]
    given = {n: as_lists(value) for n, value in findings.case.items()}
    return Verdict(
        name,
        "wrong",
        law=f"{broken.name}: {broken.formula}" if broken else "",
        given=given,
        rows=rows,
        diagnosis=_diagnosis(findings),
        names=findings.names,
        laws=laws,
    )


def _diagnosis(findings):
    """Lines that say what the mistakes are, and where the museum has more"""
    import textwrap

    from tinyvae.classroom.museum.catalogue import MUSEUM

    said = []
    for mistake in findings.mistakes:
        said += textwrap.wrap(mistake.says, 74)
        bug = MUSEUM.get(mistake.name)
        if bug:
            said += textwrap.wrap(f'This is {bug.code} "{bug.title}":', 74)
            said.append(f"    tinyvae bugs {bug.name}")
    told = [t for t in findings.told if t.startswith("Right")]
    return [*(line for t in told for line in textwrap.wrap(t, 74)), *said]


def judge(function, kind, name=None, seed=0):
    """(Verdict, what is told) on one function as a loss, a sampler, a bound or a KL"""
    name = name or function.shown_name
    if kind == "kl":
        return _judge_kl(function, name, seed)
    try:
        with quiet():
            findings = JUDGES[kind](function, seed)
    except CannotRun as reason:
        return Verdict(name, "cannot", message=_sentence(reason)), []
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        return Verdict(name, "cannot", message=_unforeseen(error)), []
    return verdict_of(name, kind, findings), findings.told


def judge_model(file, name, seed=0):
    """(Verdict, what is told) on a whole VAE"""
    try:
        with quiet():
            findings = vae.judge(file, name, seed)
    except CannotRun as reason:
        return Verdict(name or "the model", "cannot", message=_sentence(reason)), []
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        return Verdict(name or "the model", "cannot", message=_unforeseen(error)), []
    return verdict_of(name or "the model", "vae", findings), findings.told


def _judge_kl(function, name, seed):
    from tinyvae.classroom.checker import kl

    try:
        found = kl.check_kl(function, seed=seed)
    except CannotRun as reason:
        return Verdict(name, "cannot", message=_sentence(reason)), []
    laws = [LawVerdict(law.name, law.formula, law.status, law.note) for law in found.laws]
    if found.right:
        told = [found.verdict, *(f"{limit}." for limit in found.limits), *found.notes]
        return Verdict(name, "right", note=KINDS["kl"], laws=laws), told
    return (
        Verdict(
            name,
            "wrong",
            law=found.broken,
            given=dict(found.case),
            rows=[{"of": r["of"], "yours": r["given"], "true": r["true"]} for r in found.rows],
            diagnosis=list(found.diagnosis),
            names=list(found.names),
            laws=laws,
        ),
        list(found.notes),
    )


def _unforeseen(error):
    """One sentence where the judge itself fails on what a function answered"""
    said = escape(f"{type(error).__name__}: {error}", 100)
    return f"Its answers are of a kind that was not foreseen ({said}); please report it."


def _sentence(reason):
    text = str(reason)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def judge_file(file, *, kind=None, function=None, seed=0, shown=""):
    """The Report on a file: on one function of a kind, or on all that can be judged.

    Raises CannotRun if there is nothing of the kind.
    """
    report = Report(shown, [], file=shown, seed=seed)
    for name, what in _chosen(file, kind, function, shown):
        if what == "vae":
            verdict, told = judge_model(file, name, seed)
        else:
            verdict, told = judge(file.function(name), what, escape(name, 80), seed)
        report.holes.append(verdict)
        if told and verdict.status == "right":
            report.notes.append(f"{verdict.name}: {' '.join(dict.fromkeys(told))}")
    return report


def _chosen(file, kind, function, shown):
    """[(name, kind)] of what is to be judged"""
    if kind == "vae":
        return [(function, "vae")]
    if kind and function:
        return [(function, kind)]
    there = found_in(file)
    if function:
        named = [(n, k) for n, k in there if n == function]
        if not named:
            classes = {e.name for e in file.entries() if e.kind in ("class", "object")}
            if function in classes:
                return [(function, "vae")]
            named = _callable(file, function) if file.has(function) else []
        if not named:
            file.function(function)  # says so if there is none
            raise CannotRun(
                f"{function} in {shown} is none of {', '.join(KINDS)} by its names: say which, as "
                f"in `tinyvae check loss {shown}:{function}`"
            )
        return named
    if kind:
        named = [(n, k) for n, k in there if k == kind]
        if not named:
            functions = file.functions()
            if len(functions) != 1:
                listed = ", ".join(map(escape, functions)) or "none"
                raise CannotRun(
                    f"{shown} holds nothing that looks like {KINDS[kind]}; it has {listed}. "
                    f"Name one, as in {shown}:{functions[0] if functions else 'name'}"
                )
            named = [(functions[0], kind)]
        return named
    if not there:
        functions = ", ".join(map(escape, file.functions())) or "none"
        raise CannotRun(
            f"{shown} holds nothing that can be judged; its functions: {functions}. Say what one "
            f"is, as in `tinyvae check loss {shown}:name` ({', '.join(KINDS)})"
        )
    return there


# ---- from Python, and as tests -------------------------------------------------------------------


def _check(f, kind, seed):
    verdict, told = judge(as_function(f), kind, seed=seed)
    if verdict.status == "cannot":
        raise CannotRun(verdict.message)
    return Report(verdict.name, [verdict], [" ".join(told)] if told and verdict.right else [])


def check_loss(f, *, seed=0):
    """Judge a loss of a VAE: a reduction of R + beta K.    ->  Report

    f    loss(recon_x, x, mu, logvar) in any form: NumPy, PyTorch or JAX; its arguments are
         recognised by their names and by what it does with them

    Raises CannotRun, a ValueError, if it cannot be called.

    >>> import numpy as np
    >>> def loss(recon_x, x, mu, logvar):
    ...     kl = -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1)
    ...     return np.mean(np.mean((recon_x - x) ** 2, axis=1) + kl)
    >>> check_loss(loss).holes[0].names
    ['mean-over-pixels']
    """
    return _check(f, "loss", seed)


def check_sampler(f, *, seed=0):
    """Judge a sampler of z ~ N(mu, sigma^2), f(mu, logvar) or with its noise.    ->  Report

    >>> import numpy as np
    >>> check_sampler(lambda mu, logvar, eps: mu + np.exp(logvar) * eps).holes[0].names
    ['std-is-exp-logvar']
    """
    return _check(f, "sampler", seed)


def check_bound(f, *, seed=0):
    """Judge a bound on log p(x), f(log_w) or from the parts of the log-weights.    ->  Report

    >>> import numpy as np
    >>> check_bound(lambda log_w: np.mean(log_w)).holes[0].names
    ['mean-of-logs']
    """
    return _check(f, "bound", seed)


def check_vae(model, *, loss=None, seed=0):
    """Judge a whole VAE: an object with encode, decode and a loss or forward.    ->  Report

    loss    a function of what forward gives, where the model has no loss of its own
    """
    space = {"__name__": type(model).__module__, "model": model}
    if loss is not None:
        space["loss"] = loss
    file = LocalFile(space)
    verdict, told = judge_model(file, "model", seed)
    if verdict.status == "cannot":
        raise CannotRun(verdict.message)
    return Report(
        type(model).__name__, [verdict], [" ".join(told)] if told and verdict.right else []
    )


def _laws(check, what):
    def laws(f, **options):
        def test():
            __tracebackhide__ = True
            report = check(f, **options)
            if not report.right:  # not an assert, which python -O leaves out
                raise AssertionError(f"\n{report}")

        test.__name__ = f"test_{getattr(f, '__name__', what)}"
        test.__doc__ = f"The laws of {KINDS[what]}."
        return test

    laws.__name__ = f"{what}_laws"
    laws.__doc__ = f"A test for pytest, which fails with the report:  test_mine = {what}_laws(mine)"
    return laws


loss_laws = _laws(check_loss, "loss")
sampler_laws = _laws(check_sampler, "sampler")
bound_laws = _laws(check_bound, "bound")
vae_laws = _laws(check_vae, "vae")


# ---- the command ---------------------------------------------------------------------------------


def is_exercise(path):
    """Does the file, or a cell of the notebook, say which exercise it is?"""
    try:
        text = "\n".join(sandbox.read_cells(path, any_encoding=True)[0])
    except CannotRun:
        return False
    return re.search(r"^\s*EXERCISE\s*=", text, re.MULTILINE) is not None


def main(path, function=None, *, kind=None, json=False, hints=ALL_HINTS, seed=0, **options):
    """Judge what a file holds, print the report.  Returns the exit status:

    0 all right, 1 something is wrong, 2 no verdict, with a sentence on stderr.
    """
    prog = f"tinyvae check {kind}" if kind else "tinyvae check"
    shown = sandbox.short(path)
    try:
        runs = _compiles(path)
        with sandbox.open_file(path, seed=seed, lenient=runs, **options) as file:
            if not json and runs:
                print(_ascii(shown), flush=True)
            try:
                report = _report(file, kind, function, seed, shown)
            except CannotRun as reason:
                notes = [note for note in file.notes() if note.startswith("importing")]
                raise CannotRun(". ".join([str(reason), *notes[:1]])) from None
            report.notes += file.notes()
    except CannotRun as reason:
        print(f"{prog}: {_ascii(reason)}", file=sys.stderr)
        if json:
            print(exercises.unjudged(path, reason).as_json())
        return 2
    return _printed(report, prog, json, hints)


def _report(file, kind, function, seed, shown):
    """The Report on a file: on what it holds, or on an exercise that its names say it is"""
    if kind is None and function is None and not found_in(file):
        with contextlib.suppress(CannotRun):
            exercise = exercises.which_exercise(file, None, shown)
            return exercises.judge_file(file, exercise=exercise, seed=seed, shown=shown)
    return judge_file(file, kind=kind, function=function, seed=seed, shown=shown)


def _printed(report, prog, json, hints):
    """Print the report, whose title is printed already, and give the exit status"""
    told = replace(report, holes=[hinted(hole, hints) for hole in report.holes])
    print(told.as_json() if json else _ascii("\n".join(list(lines(told))[1:])))
    for hole in report.holes:
        if hole.status == "cannot":
            print(f"{prog}: {hole.name}: {_ascii(hole.message)}", file=sys.stderr)
    return report.status


def _compiles(path):
    """Is it Python?  What is not gives one sentence on stderr, and nothing else"""
    try:
        compile(Path(path).read_bytes(), str(path), "exec")
    except (OSError, SyntaxError, ValueError):
        return Path(path).suffix == ".ipynb"
    return True


def _ascii(text):
    return str(text).encode("ascii", "backslashreplace").decode()


def arguments(parser):
    """Add what `tinyvae check [KIND] FILE` takes to a parser; `run` does what it says."""
    parser.usage = "tinyvae check [loss|sampler|bound|vae|kl] FILE[:NAME] [options]"
    parser.add_argument(
        "words",
        nargs="+",
        metavar="FILE[:NAME]",
        help="a Python file or a notebook, or one thing in it; before it, if you like, what it is",
    )
    parser.add_argument("--exercise", type=int, help="which one it is, if the file does not say")
    sandbox.arguments(parser)
    return parser


def run(args):
    """`tinyvae check [KIND] FILE` with parsed arguments.  Returns the exit status."""
    *kinds, target = args.words
    kind = kinds[0] if kinds else None
    try:
        if len(kinds) > 1 or kind not in (None, *KINDS):
            said = " ".join(map(escape, kinds))
            raise CannotRun(f"{said}: before the file stands one of {', '.join(KINDS)}, or nothing")
        path, function = sandbox.split(target)
    except CannotRun as reason:
        print(f"tinyvae check: {_ascii(reason)}", file=sys.stderr)
        return 2
    if kind is None and function is None and explain.is_explain(path):
        return explain.main(path, json=args.json)
    if kind is None and function is None and final.is_final(path):
        return final.main(path, **sandbox.options(args))
    if kind is None and (args.exercise is not None or is_exercise(path)):
        return exercises.main(path, function, exercise=args.exercise, **sandbox.options(args))
    return main(path, function, kind=kind, **sandbox.options(args))
