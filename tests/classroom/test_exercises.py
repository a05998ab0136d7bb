"""The exercises: solutions are right, holes are to do, wrong answers show a small case."""

import ast
import doctest
import importlib.util
import json
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tinyvae import cli
from tinyvae.classroom.checker import engine, exercises
from tinyvae.classroom.checker.exercise_laws import HOLES, TITLES
from tinyvae.classroom.checker.function import CannotRun, LocalFile
from tinyvae.classroom.museum.catalogue import MUSEUM

FOLDER = Path(__file__).parents[2] / "lessons" / "exercises"
PATHS = {int(path.name[:2]): path for path in sorted(FOLDER.glob("*.py"))}
SOLUTIONS = {number: FOLDER / "solutions" / path.name for number, path in PATHS.items()}

every_exercise = pytest.mark.parametrize("number", TITLES)


def module_of(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report_on(module, function=None):
    """What `tinyvae check FILE` finds, without its child process"""
    return exercises.judge_file(LocalFile(module), function=function, shown="mine.py")


def statuses(report):
    return {hole.name: hole.status for hole in report.holes}


# ---- the files -----------------------------------------------------------------------------------


@every_exercise
def test_solution_is_right(number):
    report = report_on(module_of(SOLUTIONS[number]))
    assert (report.exercise, set(statuses(report).values())) == (number, {"right"}), str(report)
    assert str(report).endswith("\n\nAll right.")


@every_exercise
def test_holes_are_to_do_and_nothing_else(number):
    report = report_on(module_of(PATHS[number]))
    assert set(statuses(report).values()) == {"todo"}
    names = [hole.name for hole in HOLES[number]]
    assert list(statuses(report)) == names
    assert [line.split() for line in str(report).splitlines()[2:-2]] == [["todo", n] for n in names]


@every_exercise
def test_exercise_is_its_solution_with_holes(number):
    def tree(path, cut):
        parsed = ast.parse(path.read_text(encoding="utf-8"))
        for node in parsed.body:
            if isinstance(node, ast.FunctionDef) and cut:
                node.body = [node.body[0], ast.parse("raise NotImplementedError").body[0]]
        return ast.dump(parsed)

    assert tree(PATHS[number], cut=False) == tree(SOLUTIONS[number], cut=True)


@every_exercise
def test_exercise_can_be_handed_out_alone(number):
    source = PATHS[number].read_text(encoding="utf-8")
    assert source.isascii()
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import)]
    assert [alias.name for node in found for alias in node.names] == ["numpy"]
    assert "import from" not in source and f"tinyvae check {PATHS[number].name}" in source


@every_exercise
def test_fact_to_check_by_hand_is_one(number):
    module = module_of(SOLUTIONS[number])
    failed, tried = doctest.testmod(module)
    assert failed == 0
    assert tried >= len(HOLES[number]), "each hole has its fact"


def test_every_lesson_has_its_exercise():
    lessons = {path.name for path in FOLDER.parent.glob("[0-9][0-9]_*.py")}
    assert lessons <= {path.name for path in PATHS.values()}
    assert set(PATHS) == set(TITLES) == set(HOLES)


# ---- bad manners ---------------------------------------------------------------------------------


def told(number, **functions):
    """What `tinyvae check FILE` finds in the holes of an exercise, with some functions in them"""
    module = module_of(PATHS[number])
    vars(module).update(functions)
    return report_on(module)


def lost(a):
    raise ZeroDivisionError("on a bad day")


def leaves(a):
    raise SystemExit("enough")


def eats(a):
    return np.zeros(2**57)


def remembers(a, seen=[]):  # noqa: B006
    seen.append(a)
    return float(len(seen))


BAD_MANNERS = [
    (lost, "it raised ZeroDivisionError: on a bad day (test_exercises.py, line "),
    (leaves, "it raised SystemExit: enough (test_exercises.py, line "),
    (eats, "it raised MemoryError: Unable to allocate 1.00 EiB"),
    (lambda a: None, "it gave None: is a `return` missing?"),
    (lambda a: "0.5", "it gave the text '0.5', not a number"),
    (lambda a, b: 0.0, "it raised TypeError: "),
    (lambda a: a.fill(7) or 0.0, "it changes its argument a in place"),
    (lambda a: np.array([a.mean()]), "result has shape (1,), where () is meant"),
    (0.5, "There is no function log_mean_exp any more."),
]


@pytest.mark.parametrize(("f", "says"), BAD_MANNERS)
def test_bad_manners_have_their_sentence(f, says):
    report = told(2, log_mean_exp=f)
    assert statuses(report) == {"log_mean_exp": "wrong", "log_density": "todo", "log_px": "todo"}
    assert report.holes[0].message.startswith(says)
    assert says in str(report)


def test_answer_that_depends_on_earlier_calls_is_wrong():
    assert statuses(told(2, log_mean_exp=remembers))["log_mean_exp"] == "wrong"


def test_results_are_counted():
    two = told(6, linear_backward=lambda dy, x, W: (dy @ W.T, x.T @ dy))
    one = told(6, linear_backward=lambda dy, x, W: dy @ W.T)
    assert "it gave 2 results, where 3 are meant: dx, dW, db" in str(two)
    assert "it gave one result, where 3 are meant: dx, dW, db" in str(one)


def test_one_function_can_be_asked_for():
    assert statuses(report_on(module_of(SOLUTIONS[6]), "tanh")) == {"tanh": "right"}


# ---- what a student sees -------------------------------------------------------------------------

STUDENT = """\
import numpy as np
EXERCISE = 2
def log_mean_exp(a):
    raise NotImplementedError
def log_density(z, mu, logvar):
    return -0.5 * ((z - mu) ** 2 / np.exp(logvar) + np.log(2 * np.pi)).sum(axis=1)
def log_px(log_px_given_z, z, mu, logvar):
    zero = np.zeros_like(mu)
    weight = log_density(z, zero, zero) - log_density(z, mu, logvar)
    return log_mean_exp(log_px_given_z + weight)
"""

SEEN = """\
Exercise 2: the intractable integral

  todo   log_mean_exp
  wrong  log_density   log N(z; mu, diag exp(logvar)), row by row
  todo   log_px        needs log_mean_exp

log_density breaks  log N(z; mu, diag exp(logvar)), row by row

  given  z      = [[0]]
         mu     = [0]
         logvar = [1]
  yours  log_p  = [-0.9189385]
  true   log_p  = [-1.418939]

  This is A33 "Gaussian log-density without its log sigma"
      wrong  log N(x; mu, sigma^2) = -1/2 sum [ (x - mu)^2 / sigma^2 + log 2 pi ]
      right  log N(x; mu, sigma^2) = -1/2 sum [ (x - mu)^2 / sigma^2 + log sigma^2 + log 2 pi ]
      `tinyvae bugs normaliser-missing` tells more

1 wrong, 2 to do.
"""


def student(tmp_path, source=STUDENT):
    path = tmp_path / "homework.py"  # renamed: the line in it says which exercise it is
    path.write_text(source, encoding="utf-8")
    return path


def check(capsys, *arguments):
    """Exit status, stdout and stderr of `tinyvae check`"""
    status = cli.main(["check", *map(str, arguments)])
    return status, *capsys.readouterr()


def test_command_prints_what_a_student_reads(tmp_path, capsys):
    status, out, err = check(capsys, student(tmp_path, STUDENT + "print('hello')\n"))
    assert (status, err) == (1, "")
    assert out == SEEN + "Note: It printed 1 line to stdout, kept apart here; first: 'hello'\n"


def test_hole_that_calls_a_wrong_one_points_there(tmp_path):
    done = STUDENT.replace("raise NotImplementedError", "return np.log(np.mean(np.exp(a)))")
    report = report_on(module_of(student(tmp_path, done)))
    assert set(statuses(report).values()) == {"wrong"}
    assert report.holes[2].note == "needs log_mean_exp and log_density, also wrong: see there first"
    assert "log_px breaks" not in str(report), "its case would only tell the others' mistakes"


def test_right_has_status_0_and_a_hole_has_status_1(capsys):
    status, out, err = check(capsys, SOLUTIONS[7], "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    assert (found["exercise"], found["right"]) == (7, True)
    assert [hole["status"] for hole in found["holes"]] == ["right"] * 3
    seen = check(capsys, f"{PATHS[7]}:loss")
    assert seen == (1, "Exercise 7: training a VAE\n\n  todo   loss\n\n1 to do.\n", "")


def test_numbers_that_json_does_not_know_are_strings(tmp_path, capsys):
    source = STUDENT.replace("raise NotImplementedError", "return np.nan")
    status, out, _ = check(capsys, f"{student(tmp_path, source)}:log_mean_exp", "--json")
    assert status == 1
    assert json.loads(out)["holes"][0]["rows"][0]["yours"] == "nan"


def test_page_shows_what_is_printed():
    page = (FOLDER.parents[1] / "docs" / "exercises.md").read_text(encoding="utf-8")
    assert textwrap.indent(str(told(5, reparameterize=std_is_exp_logvar)), "    ") in page
    for number, holes in HOLES.items():
        names = ", ".join(f"`{hole.name}`" for hole in holes)
        assert f"| `{PATHS[number].name}` | {names} |" in page


def std_is_exp_logvar(mu, logvar, eps):
    return mu + np.exp(logvar) * eps


# ---- the guard -----------------------------------------------------------------------------------

GUARDED = {
    "while True: pass": "homework.py, line 4: a call was not done after 1 seconds: an endless loop",
    "__import__('os')._exit(0)": "a call ended the whole process with exit status 0",
}


@pytest.mark.parametrize("body", GUARDED)
def test_guard_works_here_too(body, tmp_path, capsys):
    """The other functions have their verdicts all the same."""
    path = student(tmp_path, STUDENT.replace("raise NotImplementedError", body))
    status, out, err = check(capsys, path, "--timeout", "1" if "while" in body else "60")
    assert status == 1 and "wrong  log_density" in out
    assert "cannot log_mean_exp" in out and "log_mean_exp has no verdict" in out
    assert err.startswith("tinyvae check: log_mean_exp: ") and GUARDED[body] in err
    status, out, err = check(capsys, f"{path}:log_mean_exp", "--timeout", "5", "--json")
    assert status == 2 and err.count("\n") == 1
    assert json.loads(out)["holes"][0]["status"] == "cannot"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("EXERCISE = True", "mine.py says EXERCISE = True: there are 1 to 15"),
        ("EXERCISE = 2.0", "mine.py says EXERCISE = 2.0: there are 1 to 15"),
        ("EXERCISE = 99", "mine.py says EXERCISE = 99: there are 1 to 15"),
        ("EXERCISE = [2]", "mine.py says EXERCISE = [2]: there are 1 to 15"),
    ],
)
def test_file_that_is_no_exercise_is_refused(line, says, tmp_path):
    module = module_of(student(tmp_path, STUDENT.replace("EXERCISE = 2", line)))
    with pytest.raises(CannotRun) as refusal:
        report_on(module)
    assert says in str(refusal.value)


def test_import_that_fails_costs_only_what_needs_it(tmp_path, capsys):
    path = student(tmp_path, "import nothere\n" + STUDENT + "nothere.plot()\n")
    status, out, err = check(capsys, path)
    assert (status, err) == (1, "")
    assert "wrong  log_density" in out and "No module named 'nothere'" in " ".join(out.split())


def test_exercise_is_known_by_its_functions():
    source = STUDENT.replace("EXERCISE = 2", "")
    space = {"__name__": "theirs"}
    exec(source, space)
    file = LocalFile(space)
    assert exercises.judge_file(file).exercise == 2
    assert exercises.judge_file(file, exercise=2).exercise == 2
    del space["log_density"], space["log_px"]
    with pytest.raises(CannotRun, match="it has no line such as EXERCISE = 4"):
        exercises.judge_file(file, shown="mine.py")


def test_renamed_function_is_pointed_to():
    source = STUDENT.replace("log_density(z, mu, logvar):", "log_densety(z, mu, logvar):")
    space = {"__name__": "theirs"}
    exec(source, space)
    report = exercises.judge_file(LocalFile(space))
    assert "Did you mean log_densety, which the file has?" in report.holes[1].message


def test_function_that_nobody_asked_for_is_refused():
    with pytest.raises(CannotRun, match="exercise 2 does not ask for kl: log_mean_exp, log_dens"):
        report_on(module_of(PATHS[2]), "kl")


def test_file_that_cannot_be_run_is_refused(tmp_path, capsys):
    for path, says in [
        (tmp_path / "nowhere.py", "there is no file"),
        (tmp_path, "is a folder"),
        (student(tmp_path, "def f(:\n"), "homework.py, line 1: SyntaxError"),
    ]:
        status, out, err = check(capsys, path)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("tinyvae check: ") and says in err


@pytest.mark.parametrize("option", ["--seed=-1", "--timeout=0", "--timeout=-1", "--timeout=nan"])
def test_option_that_makes_no_sense_is_refused(option, capsys):
    status, out, err = check(capsys, PATHS[1], option)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "must be" in err and option.split("=")[1] in err


def test_slow_function_is_still_tried_in_all_sizes(monkeypatch):
    """Time is short for the search of the smallest case only, not for finding one."""
    monkeypatch.setattr(engine, "SHRINKING", 0.0)
    verdict = exercises.judge(HOLES[3][0], lambda a, x: nll(a, x) / a.shape[1])  # right for D = 1
    assert verdict.status == "wrong"


# ---- wrong answers -------------------------------------------------------------------------------

right = {number: module_of(path) for number, path in SOLUTIONS.items()}
log_mean_exp, log_density = right[2].log_mean_exp, right[2].log_density
nll, kl = right[6].nll, right[3].kl


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def in_place_adam(p, dp, m, v, t, rate):
    m *= 0.9
    m += 0.1 * dp
    v = 0.999 * v + 0.001 * dp**2
    return p - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), m, v


def adam(p, dp, m, v, t, rate, one=1.0, root=np.sqrt, tiny=1e-8, second=2, inside=0.0):
    m, v = 0.9 * m + (1 - 0.9) * dp, 0.999 * v + 0.001 * dp**second
    m_hat, v_hat = m / (one - 0.9**t), v / (one - 0.999**t)
    return p - rate * m_hat / (root(v_hat + inside) + tiny), m, v


def without_correction(p, dp, m, v, t, rate):
    m, v = 0.9 * m + 0.1 * dp, 0.999 * v + 0.001 * dp**2
    return p - rate * m / (np.sqrt(v) + 1e-8), m, v


def full_kl(trace=1.0, distance=1.0, k=1.0, logs=1.0, half=0.5, swap=False, bracket=False):
    """KL(q || p) with these weights of its terms"""

    def kl(mean_q, cov_q, mean_p, cov_p):
        if swap:
            mean_q, cov_q, mean_p, cov_p = mean_p, cov_p, mean_q, cov_q
        d, inverse = mean_q - mean_p, np.linalg.inv(cov_p)
        ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
        rest = trace * np.trace(inverse @ cov_q) + distance * d @ inverse @ d - k * len(d)
        return half * rest + logs * ratio if bracket else half * (rest + logs * ratio)

    return kl


def noisy(f):
    return lambda *args: f(*args) + 0.01 * np.random.default_rng().standard_normal()


# exercise, hole -> (a wrong answer, the museum's name for it or "")
# fmt: off
WRONG = {
    (1, "probability"): [
        (lambda x, p_z, p_x: np.sum(p_z * np.where(x == 1, p_x, 1).prod(axis=1)), ""),
        (lambda x, p_z, p_x: np.prod(np.where(x == 1, p_z @ p_x, 1 - p_z @ p_x)), ""),
        (lambda x, p_z, p_x: np.mean(np.where(x == 1, p_x, 1 - p_x).prod(axis=1)), ""),
        (lambda x, p_z, p_x: np.max(p_z * np.where(x == 1, p_x, 1 - p_x).prod(axis=1)), ""),
        (lambda x, p_z, p_x: p_z * np.where(x == 1, p_x, 1 - p_x).prod(axis=1), ""),
    ],
    (1, "log_likelihood"): [
        (lambda X, p_z, p_x: sum(right[1].probability(x, p_z, p_x) for x in X), ""),
        (lambda X, p_z, p_x: np.log(sum(right[1].probability(x, p_z, p_x) for x in X)), ""),
        (lambda X, p_z, p_x: -right[1].log_likelihood(X, p_z, p_x), ""),
        (lambda X, p_z, p_x: right[1].log_likelihood(X, p_z, p_x) / len(X), ""),
    ],
    (1, "ring"): [
        (lambda z: z / 10 + z / np.linalg.norm(z), ""),
        (lambda z: z / 10 + z / np.linalg.norm(z, axis=0), ""),
        (lambda z: z / np.linalg.norm(z, axis=1, keepdims=True), ""),
        (lambda z: z / 10 + z[:, ::-1] / np.linalg.norm(z, axis=1, keepdims=True), ""),
        (lambda z: np.linalg.norm(z), ""),
    ],
    (2, "log_mean_exp"): [
        (lambda a: np.log(np.mean(np.exp(a))), ""),
        (lambda a: np.mean(a), "mean-of-logs"),
        (lambda a: log_mean_exp(a) + np.log(len(a)), "samples-not-averaged"),
        (lambda a: log_mean_exp(a) - a.max(), "largest-weight-lost"),
        (noisy(lambda a: log_mean_exp(a)), ""),
    ],
    (2, "log_density"): [
        (lambda z, mu, logvar: log_density(z, mu, logvar) + logvar.sum() / 2, "normaliser-missing"),
        (lambda z, mu, logvar: log_density(z, mu, 2 * logvar), ""),
        (lambda z, mu, logvar: 2 * log_density(z, mu, logvar), ""),
        (lambda z, mu, logvar: log_density(z, mu, logvar).sum(), ""),
        (lambda z, mu, logvar: -log_density(z, mu, logvar), ""),
        (lambda z, mu, logvar: log_density(z, mu, logvar) / len(mu), ""),
    ],
    (2, "log_px"): [
        (lambda p, z, mu, lv: log_mean_exp(p), ""),
        (lambda p, z, mu, lv: log_mean_exp(p + log_density(z, 0 * mu, 0 * mu)), ""),
        (lambda p, z, mu, lv: log_mean_exp(p) - kl(mu[None], lv[None])[0],
         "closed-form-kl-in-weights"),
        (lambda p, z, mu, lv: np.mean(
            p + log_density(z, 0 * mu, 0 * mu) - log_density(z, mu, lv)), "mean-of-logs"),
        (lambda p, z, mu, lv: log_mean_exp(
            p - log_density(z, 0 * mu, 0 * mu) + log_density(z, mu, lv)), ""),
        (lambda p, z, mu, lv: np.log(np.mean(
            np.exp(p + log_density(z, 0 * mu, 0 * mu) - log_density(z, mu, lv)))), ""),
    ],
    (3, "recon"): [
        (lambda a, x: nll(a, x) / a.shape[1], "mean-over-pixels"),
        (lambda a, x: -nll(a, x), ""),
        (lambda a, x: nll(sigmoid(a), x), "sigmoid-twice"),
        (lambda a, x: ((sigmoid(a) - x) ** 2).sum(axis=1), "squared-error"),
        (lambda a, x: -(x * np.log(sigmoid(a)) + (1 - x) * np.log(1 - sigmoid(a))).sum(axis=1),
         "log-of-sigmoid"),
    ],
    (3, "kl"): [
        (lambda mu, lv: 2 * kl(mu, lv), "half-missing"),
        (lambda mu, lv: -kl(mu, lv), "sign-turned"),
        (lambda mu, lv: kl(mu, 2 * lv), "two-conventions"),
        (lambda mu, lv: kl(mu, lv).mean(), ""),
        (lambda mu, lv: 0 * kl(mu, lv), "kl-to-itself"),
        (lambda mu, lv: kl(mu, lv)[:, None], ""),
    ],
    (3, "elbo"): [
        (lambda mu, lv, a, x: nll(a, x) + kl(mu, lv), ""),
        (lambda mu, lv, a, x: kl(mu, lv) - nll(a, x), "kl-subtracted"),
        (lambda mu, lv, a, x: -nll(a, x) / x.shape[1] - kl(mu, lv), "mean-over-pixels"),
        (lambda mu, lv, a, x: np.mean(-nll(a, x) - kl(mu, lv)), ""),
    ],
    (3, "gap"): [
        (lambda q, p_z, p_x: np.sum(q * np.log(q / p_z)), ""),
        (lambda q, p_z, p_x: np.sum(q * np.log(q / (p_z * p_x))), ""),
        (lambda q, p_z, p_x: right[3].gap(p_z * p_x / (p_z @ p_x), q, np.ones(len(q))), ""),
    ],
    (4, "kl_to_standard_normal"): [
        (lambda mu, lv: 2 * kl(mu, lv), "half-missing"),
        (lambda mu, lv: kl(mu, lv) / mu.shape[-1], "mean-over-dimensions"),
        (lambda mu, lv: 0.5 * (mu**2 + np.exp(lv) - 1 + lv).sum(axis=-1), "logdet-inverted"),
        (lambda mu, lv: 0.5 * (mu**2 + np.exp(lv) - 1 - lv), ""),
    ],
    (4, "kl_diagonal"): [
        (lambda a, b, c, d: right[4].kl_diagonal(c, d, a, b), "swapped-arguments"),
        (lambda a, b, c, d: right[4].kl_diagonal(0 * a, b, 0 * c, d), "means-left-out"),
        (lambda a, b, c, d: right[4].kl_diagonal(a, b, c, d).sum(), ""),
    ],
    (4, "kl"): [
        (full_kl(half=1.0), "half-missing"),
        (full_kl(k=0.0), "dimension-missing"),
        (full_kl(swap=True), "swapped-arguments"),
        (full_kl(logs=-1.0), "logdet-inverted"),
        (full_kl(bracket=True), ""),
        (lambda *pair: np.array([right[4].kl(*pair)]), ""),
    ],
    (5, "reparameterize"): [
        (std_is_exp_logvar, "std-is-exp-logvar"),
        (lambda mu, lv, eps: mu + 0.1 * np.exp(lv / 2) * eps, "noise-too-small"),
        (lambda mu, lv, eps: mu + lv * eps, ""),
        (lambda mu, lv, eps: mu, ""),
        (lambda mu, lv, eps: mu + np.exp(lv / 2) * np.random.default_rng().normal(size=eps.shape),
         ""),
    ],
    (5, "reparameterize_backward"): [
        (lambda dz, lv, eps: (dz, dz * eps * np.exp(lv / 2)), "half-lost-in-backward"),
        (lambda dz, lv, eps: (0 * dz, 0 * dz), "gradient-blocked"),
        (lambda dz, lv, eps: (dz, dz * eps * np.exp(lv)), "std-is-exp-logvar"),
        (lambda dz, lv, eps: (dz, eps * np.exp(lv / 2) / 2), ""),
        (lambda dz, lv, eps: dz, ""),
    ],
    (5, "score_gradient"): [
        (lambda f, z, mu, lv: f[:, None] * (mu - z) / np.exp(lv), ""),
        (lambda f, z, mu, lv: f[:, None] * (z - mu), ""),
        (lambda f, z, mu, lv: f[:, None] * (z - mu) / np.exp(lv / 2), ""),
        (lambda f, z, mu, lv: (f[:, None] * (z - mu) / np.exp(lv)).mean(axis=0), ""),
    ],
    (6, "linear"): [
        (lambda x, W, b: x @ W, ""),
        (lambda x, W, b: x @ W - b, ""),
        (lambda x, W, b: None, ""),
        (lambda x, W, b: W.T @ x.T + b, ""),
    ],
    (6, "linear_backward"): [
        (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.mean(axis=0)), ""),
        (lambda dy, x, W: (dy @ W.T, dy.T @ x, dy.sum(axis=0)), ""),
        (lambda dy, x, W: (dy @ W.T, x.T @ dy / len(x), dy.sum(axis=0)), ""),
        (lambda dy, x, W: (dy @ W.T, x.T @ dy, dy.sum(axis=0, keepdims=True)), ""),
        (lambda dy, x, W: (dy @ W.T, x.T @ dy), ""),
        (lambda dy, x, W: (dy @ W, x.T @ dy, dy.sum(axis=0)), ""),
    ],
    (6, "tanh"): [
        (lambda a: (np.exp(a) - np.exp(-a)) / (np.exp(a) + np.exp(-a)), ""),
        (lambda a: sigmoid(a), ""),
        (lambda a: np.tan(a), ""),
    ],
    (6, "tanh_backward"): [
        (lambda dy, y: dy * (1 - np.tanh(y) ** 2), ""),
        (lambda dy, y: dy * y * (1 - y), ""),
        (lambda dy, y: 1 - y**2, ""),
    ],
    (6, "nll"): [
        (lambda a, x: nll(a, 1 - x), ""),
        (lambda a, x: nll(a, x).sum(), ""),
        (lambda a, x: np.log(1 + np.exp((1 - 2 * x) * a)).sum(axis=1), ""),
    ],
    (6, "nll_backward"): [
        (lambda d, a, x: d[:, None] * (sigmoid(a) - x) / a.shape[1], "mean-over-pixels"),
        (lambda d, a, x: d[:, None] * (x - sigmoid(a)), ""),
        (lambda d, a, x: sigmoid(a) - x, ""),
        (lambda d, a, x: d * (sigmoid(a) - x), ""),
    ],
    (6, "kl_backward"): [
        (lambda d, mu, lv: (d[:, None] * mu, d[:, None] * (np.exp(lv) - 1)), ""),
        (lambda d, mu, lv: (d[:, None] * mu, d[:, None] * (np.exp(2 * lv) - 1)), "two-conventions"),
        (lambda d, mu, lv: (mu, (np.exp(lv) - 1) / 2), ""),
        (lambda d, mu, lv: (d[:, None] * mu / len(mu), d[:, None] * (np.exp(lv) - 1) / 2), ""),
    ],
    (7, "loss"): [
        (lambda r, k, beta: np.sum(r + beta * k), "summed-over-batch"),
        (lambda r, k, beta: np.mean(r - beta * k), "kl-subtracted"),
        (lambda r, k, beta: np.mean(r + k), "beta-ignored"),
        (lambda r, k, beta: r + beta * k, ""),
        (lambda r, k, beta: np.mean(beta * r + k), ""),
    ],
    (7, "q_backward"): [
        (lambda dz, dkl, mu, lv, eps: right[5].reparameterize_backward(dz, lv, eps), ""),
        (lambda dz, dkl, mu, lv, eps: right[6].kl_backward(dkl, mu, lv), ""),
        (lambda dz, dkl, mu, lv, eps: (dz + dkl * mu, 0 * mu), ""),
    ],
    (7, "adam_step"): [
        (in_place_adam, ""),
        (without_correction, ""),
        (lambda *args: adam(*args, tiny=1e-6), ""),
        (lambda *args: adam(*args, second=1), ""),
        (lambda *args: adam(*args, tiny=0.0, inside=1e-8), ""),
        (lambda *args: adam(*args)[0], ""),
        (lambda p, dp, m, v, t, rate: (p - rate * dp, m, v), ""),
        (lambda p, dp, m, v, t, rate: adam(p, -dp, -m, v, t, rate), ""),
    ],
    (8, "autoencoder_loss"): [
        (lambda a, x: nll(a, x).mean() / a.shape[1], "mean-over-pixels"),
        (lambda a, x: nll(a, x).sum(), "summed-over-batch"),
        (lambda a, x: ((sigmoid(a) - x) ** 2).sum(axis=1).mean(), ""),
        (lambda a, x: nll(a, x), ""),
    ],
    (8, "aggregate_moments"): [
        (lambda mu, lv: (mu.mean(axis=0), np.cov(mu.T, bias=True).reshape(mu.shape[1], -1)), ""),
        (lambda mu, lv: (mu.mean(axis=0), np.diag(np.exp(lv).mean(axis=0))), ""),
        (lambda mu, lv: (mu.mean(axis=0), right[8].aggregate_moments(mu, lv / 2)[1]), ""),
        (lambda mu, lv: (mu.mean(axis=0), np.diag(np.diag(right[8].aggregate_moments(mu, lv)[1]))),
         ""),
        (lambda mu, lv: (mu[0], right[8].aggregate_moments(mu, lv)[1]), ""),
    ],
    (8, "kl_of_moments"): [
        (lambda mean, cov: 2 * right[8].kl_of_moments(mean, cov), "half-missing"),
        (lambda mean, cov: right[8].kl_of_moments(mean, np.diag(np.diag(cov))),
         "logdet-of-diagonal"),
        (lambda mean, cov: right[8].kl_of_moments(0 * mean, cov), "means-left-out"),
        (lambda mean, cov: np.array([right[8].kl_of_moments(mean, cov)]), ""),
    ],
    (9, "log_weights"): [
        (lambda r, z, logvar, eps: -r + 0.5 * (eps**2 - logvar - z**2).sum(axis=1), ""),
        (lambda r, z, logvar, eps: -r + 0.5 * (eps**2 + logvar).sum(axis=1), ""),
        (lambda r, z, logvar, eps: r + 0.5 * (eps**2 + logvar - z**2).sum(axis=1), ""),
        (lambda r, z, logvar, eps: -r + 0.5 * (z**2 + logvar - z**2).sum(axis=1), ""),
    ],
    (9, "bound"): [
        (np.mean, "mean-of-logs"),
        (lambda a: log_mean_exp(a) + np.log(len(a)), "samples-not-averaged"),
        (lambda a: log_mean_exp(a) - a.max(), "largest-weight-lost"),
        (lambda a: log_mean_exp(a) - np.log(len(a)), ""),
        (lambda a: np.log(np.mean(np.exp(a))), ""),
    ],
    (9, "bound_backward"): [
        (lambda dbound, a: np.full_like(a, dbound / len(a)), ""),
        (lambda dbound, a: np.exp(a - a.max()) / np.exp(a - a.max()).sum(), ""),
        (lambda dbound, a: dbound * np.exp(a) / np.exp(a).sum(), ""),
        (lambda dbound, a: dbound * np.exp(a - a.max()), ""),
    ],
    (10, "unit_kl"): [
        (lambda l, s2: 0.5 * np.log(l / s2), ""),
        (lambda l, s2: np.log(np.maximum(l / s2, 1)), ""),
        (lambda l, s2: 0.5 * np.log(np.maximum(l - s2, 1)), ""),
    ],
    (10, "best_decoder"): [
        (lambda l, u, s2: (u * np.sqrt(l)).T, ""),
        (lambda l, u, s2: (u * np.maximum(l - s2, 0)).T, ""),
        (lambda l, u, s2: u * np.sqrt(np.maximum(l - s2, 0)), ""),
        (lambda l, u, s2: u @ (u * np.sqrt(np.maximum(l - s2, 0))).T, ""),
    ],
    (10, "expected_nll"): [
        (lambda x, mu, var, W, b, s2: right[10].expected_nll(x, mu, 0 * var, W, b, s2), ""),
        (lambda x, mu, var, W, b, s2: right[10].expected_nll(x, mu, var**2, W, b, s2), ""),
        (lambda x, mu, var, W, b, s2: right[10].expected_nll(x, mu, var, W, 0 * b, s2), ""),
        (lambda x, mu, var, W, b, s2: right[10].expected_nll(x, mu, var, W, b, s2)
         - len(x) / 2 * np.log(s2), ""),
    ],
    (11, "continuous_bernoulli_nll"): [
        (lambda a, x: nll(a, x), ""),
        (lambda a, x: nll(a, x).mean() + 0 * a[:, 0], ""),
        (lambda a, x: -right[11].continuous_bernoulli_nll(a, x), ""),
        (lambda a, x: right[11].continuous_bernoulli_nll(a, 1 - x), ""),
    ],
    (11, "continuous_bernoulli_nll_backward"): [
        (lambda dnll, a, x: dnll[:, None] * (sigmoid(a) - x), ""),
        (lambda dnll, a, x: right[11].continuous_bernoulli_nll_backward(1 + 0 * dnll, a, x), ""),
        (lambda dnll, a, x: -right[11].continuous_bernoulli_nll_backward(dnll, a, x), ""),
    ],
    (11, "gaussian_nll"): [
        (lambda x_hat, s, x: 0.5 * ((x - x_hat) ** 2 / np.exp(s) + np.log(2 * np.pi)).sum(axis=1),
         "normaliser-missing"),
        (lambda x_hat, s, x: 0.5 * ((x - x_hat) ** 2).sum(axis=1), ""),
        (lambda x_hat, s, x: right[11].gaussian_nll(x_hat, 2 * s, x), ""),
        (lambda x_hat, s, x: right[11].gaussian_nll(x_hat, s, x) / x.shape[1], ""),
    ],
    (11, "best_logvar"): [
        (lambda x_hat, x: np.log(np.sum((x - x_hat) ** 2, axis=1).mean()), ""),
        (lambda x_hat, x: 0.5 * np.log(np.mean((x - x_hat) ** 2)), ""),
        (lambda x_hat, x: np.log(np.mean(np.abs(x - x_hat))), ""),
    ],
    (12, "rate_distortion"): [
        (lambda l, t: (0.5 * np.log(l / t), np.minimum(l, t)), ""),
        (lambda l, t: (0.5 * np.log(np.maximum(l / t, 1)), np.full_like(l, t)), ""),
        (lambda l, t: (np.log(np.maximum(l / t, 1)), np.minimum(l, t)), ""),
    ],
    (12, "best_diagonal"): [
        (lambda P: (np.diag(np.linalg.inv(P)), right[12].best_diagonal(P)[1]), ""),
        (lambda P: (1 / np.diag(P), 2 * right[12].best_diagonal(P)[1]), ""),
        (lambda P: (1 / np.diag(P), -right[12].best_diagonal(P)[1]), ""),
    ],
    (12, "free_bits"): [
        (lambda kl, floor: np.maximum(kl, floor).mean(axis=0).sum(), ""),
        (lambda kl, floor: max(kl.mean(axis=0).sum(), floor), ""),
        (lambda kl, floor: np.maximum(kl.mean(axis=0) - floor, 0).sum(), ""),
    ],
    (12, "information"): [
        (lambda q: np.mean(np.sum(q * np.log(q * q.shape[1]), axis=1)), ""),
        (lambda q: right[12].information(q) / np.log(2), ""),
        (lambda q: np.sum(q * np.log(q / q.mean(axis=0))), ""),
    ],
    (13, "elbo"): [
        (lambda q, log_px: (q * (log_px - np.log(q))).sum(axis=1), ""),
        (lambda q, log_px: (q * (log_px + np.log(q.shape[1]) - np.log(q))).sum(axis=1), ""),
        (lambda q, log_px: -right[13].elbo(q, log_px), ""),
        (lambda q, log_px: right[13].elbo(q, log_px).mean(), ""),
    ],
    (13, "elbo_gradient"): [
        (lambda q, f: q * f, ""),
        (lambda q, f: q * (f - f.mean(axis=1, keepdims=True)), ""),
        (lambda q, f: f - (q * f).sum(axis=1, keepdims=True), ""),
    ],
    (13, "score_gradient"): [
        (lambda f, z, q, baseline: (f - baseline)[:, None] * z, ""),
        (lambda f, z, q, baseline: f[:, None] * (z - q), ""),
        (lambda f, z, q, baseline: (f - baseline)[:, None] * (q - z), ""),
    ],
    (13, "gumbel_softmax"): [
        (lambda a, g, t: right[13].gumbel_softmax(a, t * g, t), ""),
        (lambda a, g, t: right[13].gumbel_softmax(a, g, 1.0), ""),
        (lambda a, g, t: right[13].gumbel_softmax(a, g, 1 / t), ""),
    ],
    (14, "log_weight"): [
        (lambda log_px, t: np.diff(t)[::-1] @ log_px, ""),
        (lambda log_px, t: t[1:] @ log_px, ""),
        (lambda log_px, t: log_px.mean(axis=0), ""),
        (lambda log_px, t: -np.diff(t) @ log_px, ""),
    ],
    (14, "refresh"): [
        (lambda z, e, m, s, k: m + k * (z - m) + s * e, ""),
        (lambda z, e, m, s, k: m + k * (z - m) + (1 - k) * s * e, ""),
        (lambda z, e, m, s, k: m + k * (z - m) + np.sqrt(1 - k**2) * s**2 * e, ""),
        (lambda z, e, m, s, k: k * z + np.sqrt(1 - k**2) * s * e, ""),
        (lambda z, e, m, s, k: m + np.sqrt(1 - k**2) * (z - m) + k * s * e, ""),
    ],
    (14, "leapfrog"): [
        (lambda z, p, v, h: (z + h * p, p - h * (z + h * p) / v), ""),
        (lambda z, p, v, h: (z + h * (p - h * z / v / 2), p - h * z / v / 2), ""),
        (lambda z, p, v, h: (z + h * p, p - h * z / v), ""),
        (lambda z, p, v, h: right[14].leapfrog(z, p, np.sqrt(v), h), ""),
        (lambda z, p, v, h: right[14].leapfrog(z, p, -v, h), ""),
    ],
    (14, "accept"): [
        (lambda a, p, b, q, u: (np.log(u) < b - a) * 1.0, ""),
        (lambda a, p, b, q, u: (np.log(u) > b - a + ((p**2 - q**2) / 2).sum(axis=1)) * 1.0, ""),
        (lambda a, p, b, q, u: right[14].accept(a, q, b, p, u), ""),
        (lambda a, p, b, q, u: (u < b - a + ((p**2 - q**2) / 2).sum(axis=1)) * 1.0, ""),
    ],
    (15, "kl_weight"): [
        (lambda loss, recon, kl: np.mean((loss - recon)[kl != 0] / kl[kl != 0]), ""),
        (lambda loss, recon, kl: np.sum(kl * loss) / np.sum(kl**2), ""),
        (lambda loss, recon, kl: np.mean((loss - recon) * kl) / (kl.var() + 1), ""),
        (lambda loss, recon, kl: -right[15].kl_weight(loss, recon, kl), ""),
        (lambda loss, recon, kl: np.sum(loss - recon) / (np.sum(kl) + np.sum(kl == 0)), ""),
    ],
    (15, "pixels_alone"): [
        (lambda t, x: right[15].pixels_alone(t, x) / x.shape[1], ""),
        (lambda t, x: right[15].pixels_alone(x, t), ""),
        (lambda t, x: -right[15].pixels_alone(t, x), ""),
        (lambda t, x: right[15].pixels_alone(t, x) * len(x), ""),
    ],
    (15, "active_units"): [
        (lambda mu: np.sum(np.mean(mu**2, axis=0) > 0.01), ""),
        (lambda mu: np.sum(mu.std(axis=0) > 0.01), ""),
        (lambda mu: np.sum(mu.var(axis=1) > 0.01), ""),
    ],
}
# fmt: on
CASES = [
    pytest.param(number, name, f, bug, id=f"{number}-{name}-{i}")
    for (number, name), answers in WRONG.items()
    for i, (f, bug) in enumerate(answers)
]


def numbers_in(value):
    return np.concatenate([np.ravel(entry) for entry in value.values()])


@pytest.mark.parametrize(("number", "name", "f", "bug"), CASES)
def test_wrong_answer_is_found_with_a_small_case(number, name, f, bug):
    hole = next(hole for hole in HOLES[number] if hole.name == name)
    verdict = exercises.judge(hole, f)
    assert verdict.status == "wrong", "it passes"
    assert verdict.law and verdict.given
    assert verdict.message or verdict.rows
    given = numbers_in(verdict.given)
    assert len(given) <= 20 and np.abs(given).max() <= 1000, verdict.given
    said = " ".join(verdict.diagnosis)
    assert (f'"{MUSEUM[bug].title}"' in said) if bug else ("This is" not in said), said


def test_every_hole_has_wrong_answers():
    asked = {(number, hole.name) for number, holes in HOLES.items() for hole in holes}
    assert set(WRONG) == asked
    assert all(len(answers) >= 3 for answers in WRONG.values())
    assert all(
        name in MUSEUM for holes in HOLES.values() for hole in holes for name in hole.known_mistakes
    )


@pytest.mark.slow
@pytest.mark.parametrize(("number", "name"), WRONG)
def test_every_law_is_broken_by_a_wrong_answer(number, name):
    hole = next(hole for hole in HOLES[number] if hole.name == name)
    with np.errstate(all="ignore"):
        for law in hole.laws:
            answers = [exercises.Asked(f, hole) for f, _ in WRONG[number, name]]
            assert any(
                engine.smallest(law, f, sizes=exercises.SIZES, seed=0, examples=10) for f in answers
            ), law.formula


# ---- other right answers -------------------------------------------------------------------------


def kl_by_cholesky(mean_q, cov_q, mean_p, cov_p):
    root_q, root_p = np.linalg.cholesky(cov_q), np.linalg.cholesky(cov_p)
    ratio = np.linalg.solve(root_p, root_q)
    d = np.linalg.solve(root_p, mean_q - mean_p)
    logs = np.log(np.diag(root_p)).sum() - np.log(np.diag(root_q)).sum()
    return 0.5 * ((ratio**2).sum() + d @ d - len(d)) + logs


def nll_by_pixel(logits, x):
    """Python's own numbers, in a list"""
    pixel = [[max(a, 0) - t * a + np.log1p(np.exp(-abs(a))) for a, t in zip(*row, strict=True)]
             for row in zip(logits.tolist(), x.tolist(), strict=True)]  # fmt: skip
    return [sum(row) for row in pixel]


def linear_backward_by_example(dy, x, W):
    dW = sum(np.outer(x_n, dy_n) for x_n, dy_n in zip(x, dy, strict=True))
    return [np.array([W @ row for row in dy]), dW, sum(dy)]


# fmt: off
OTHERS = {
    (1, "ring"): lambda z: z * (0.1 + 1 / np.hypot(z[:, 0], z[:, 1]))[:, None],
    (2, "log_mean_exp"): lambda a: np.logaddexp.reduce(a) - np.log(len(a)),
    (3, "recon"): nll_by_pixel,
    (3, "kl"): lambda mu, logvar: (
        (mu**2 + np.expm1(logvar) - logvar) / 2).sum(axis=1).astype(np.float32),
    (3, "gap"): lambda q, p_z, p_x: (
        np.log(p_z @ p_x) - np.sum(q * np.log(p_x)) + np.sum(q * np.log(q / p_z))),
    (4, "kl"): kl_by_cholesky,
    (5, "reparameterize"): lambda mu, logvar, eps: mu + np.sqrt(np.exp(logvar)) * eps,
    (6, "linear_backward"): linear_backward_by_example,
    (6, "nll_backward"): lambda dnll, logits, x: dnll[:, None] * (
        0.5 + 0.5 * np.tanh(logits / 2) - x),
    (7, "loss"): lambda recon, kl, beta: float(recon.mean() + beta * kl.mean()),
    (8, "aggregate_moments"): lambda mu, logvar: (
        mu.mean(axis=0),
        mu.T @ mu / len(mu) - np.outer(mu.mean(axis=0), mu.mean(axis=0))
        + np.diag(np.exp(logvar).mean(axis=0))),
}
# fmt: on


@pytest.mark.parametrize(("number", "name"), OTHERS)
def test_other_right_answer_is_right(number, name):
    hole = next(hole for hole in HOLES[number] if hole.name == name)
    verdict = exercises.judge(hole, OTHERS[number, name])
    assert verdict.status == "right", verdict
