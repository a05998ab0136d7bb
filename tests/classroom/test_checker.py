"""Right functions pass, wrong ones are named, and whatever a file does gets one sentence."""

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from importlib.util import find_spec
from pathlib import Path

import mpmath
import numpy as np
import pytest
import scipy.linalg
from scipy.stats import multivariate_normal

from tinyvae import classroom, gaussian
from tinyvae.classroom.checker import kl as checker
from tinyvae.classroom.checker import sandbox as child
from tinyvae.classroom.checker.function import CannotRun
from tinyvae.classroom.checker.readings import read_name
from tinyvae.classroom.museum import catalogue as bugs
from tools import kill_matrix as matrix

ROOT = Path(__file__).parents[2]


# ---- right functions -----------------------------------------------------------------------------


def ours(mean_q, cov_q, mean_p, cov_p):
    return gaussian.kl(mean_q, cov_q, mean_p, cov_p)


def textbook(mean_q, cov_q, mean_p, cov_p):
    inverse = np.linalg.inv(cov_p)
    d = mean_p - mean_q
    log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
    return 0.5 * (np.trace(inverse @ cov_q) + d @ inverse @ d - len(d) + log_ratio)


def cholesky(m0, S0, m1, S1):
    L0, L1 = np.linalg.cholesky(S0), np.linalg.cholesky(S1)
    M, y = scipy.linalg.solve(L1, L0), scipy.linalg.solve(L1, m1 - m0)
    logs = 2 * np.log(np.diag(L1)).sum() - 2 * np.log(np.diag(L0)).sum()
    return float(0.5 * ((M**2).sum() + y @ y - len(y) + logs))


def from_scipy(mean_q, cov_q, mean_p, cov_p):
    """Cross-entropy minus entropy"""
    factor = scipy.linalg.cho_factor(cov_p)
    d = mean_q - mean_p
    cross = multivariate_normal(mean_p, cov_p).logpdf(mean_p)
    cross -= 0.5 * (np.trace(scipy.linalg.cho_solve(factor, cov_q)))
    cross -= 0.5 * d @ scipy.linalg.cho_solve(factor, d)
    return -cross - multivariate_normal(mean_q, cov_q).entropy()


def from_mpmath(mean_q, cov_q, mean_p, cov_p):
    with mpmath.workdps(30):
        S0, S1 = mpmath.matrix(cov_q.tolist()), mpmath.matrix(cov_p.tolist())
        d = mpmath.matrix((mean_p - mean_q).tolist())
        P = S1**-1
        M = P * S0
        tr = sum(M[i, i] for i in range(len(mean_q)))
        log_ratio = mpmath.log(mpmath.det(S1) / mpmath.det(S0))
        return (tr + (d.T * P * d)[0] - len(mean_q) + log_ratio) / 2


def single_inside(mean_q, cov_q, mean_p, cov_p):
    pair = (np.asarray(part, dtype=np.float32) for part in (mean_q, cov_q, mean_p, cov_p))
    return float(textbook(*pair))


def single(mu, logvar):
    mu, logvar = np.float32(mu), np.float32(logvar)
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1)


def textbook_terms(mu, logvar):
    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar)


def list_of_floats(mu, logvar):
    return [float(0.5 * np.sum(m**2 + np.exp(v) - 1 - v)) for m, v in zip(mu, logvar, strict=True)]


def one_float(mu_q, logvar_q, mu_p, logvar_p):
    ratio = np.exp(logvar_q - logvar_p)
    return float(
        0.5 * np.sum(ratio + (mu_q - mu_p) ** 2 / np.exp(logvar_p) - 1 - logvar_q + logvar_p)
    )


def of_std(mu_q, std_q, mu_p, std_p):
    return gaussian.kl_diagonal(mu_q, 2 * np.log(std_q), mu_p, 2 * np.log(std_p))


def of_var(mu, var):
    return 0.5 * (mu**2 + var - 1 - np.log(var)).sum(axis=-1)


def means_first(mu_q, mu_p, logvar_q, logvar_p):
    return gaussian.kl_diagonal(mu_q, logvar_q, mu_p, logvar_p)


def plain_numbers(m1, s1, m2, s2):
    from math import log

    return log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5


def with_options(mu, logvar, axis=-1, beta=1.0):
    return beta * 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(axis)


def sum_over_batch(mu, logvar):
    return -0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar))


def mean_over_batch(mu, logvar):
    return np.mean(-0.5 * np.sum(1 + logvar - mu**2 - np.exp(logvar), axis=1))


RIGHT = [
    ours,
    gaussian.kl,
    gaussian.kl_diagonal,
    gaussian.kl_to_standard_normal,
    textbook,
    cholesky,
    from_scipy,
    from_mpmath,
    single_inside,
    single,
    list_of_floats,
    one_float,
    of_std,
    of_var,
    means_first,
    plain_numbers,
    with_options,
    sum_over_batch,
    mean_over_batch,
]


@pytest.mark.parametrize("f", RIGHT, ids=lambda f: f.__name__)
def test_right_is_right(f):
    report = checker.check_kl(f)
    assert report.right, f"\n{report}"
    coarse = f in (single, single_inside)
    assert ("single precision" in report.takes) == coarse
    assert report.accuracy["relative_error"] < (1e-4 if coarse else 1e-12)


@pytest.mark.parametrize("seed", range(1, 6))
def test_right_is_right_for_other_seeds(seed):
    for f in (textbook, cholesky, single_inside, single, of_std):
        assert checker.check_kl(f, seed=seed).right


@pytest.mark.skipif(not find_spec("torch"), reason="PyTorch is not installed")
def test_right_in_torch():
    import torch
    from torch.distributions import MultivariateNormal, kl_divergence

    def adapter(mean_q, cov_q, mean_p, cov_p):
        return kl_divergence(MultivariateNormal(mean_q, cov_q), MultivariateNormal(mean_p, cov_p))

    def loss(mu, logvar):
        return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1)

    for f in (adapter, loss):
        report = checker.check_kl(f)
        assert report.right and "PyTorch tensors, double precision" in report.takes


@pytest.mark.skipif(not find_spec("jax"), reason="JAX is not installed")
def test_right_in_jax():
    import jax.numpy as jnp

    def kl(mu, logvar):
        return 0.5 * jnp.sum(mu**2 + jnp.exp(logvar) - 1 - logvar, -1)

    report = checker.check_kl(kl)
    assert report.right and "single precision" in report.takes


# ---- wrong functions -----------------------------------------------------------------------------


@pytest.mark.parametrize("bug", bugs.in_area("kl"), ids=lambda bug: bug.name)
def test_mistake_is_refused_and_called_by_its_name(bug):
    """But for the determinant that underflows: right for ordinary input, and named"""
    report = checker.check_kl(bug.f, examples=12)
    assert report.right == (bug.name == "determinant-underflows")
    assert "for ordinary input" in report.verdict or not report.right
    assert bug.name in report.names, f"\n{report}"
    assert bug.title in str(report)


# A floor under the batch's mean and under a single pair at once: seen, and described by its batch.
REFUSED_UNDER_ANOTHER_NAME = {"free-bits-on-the-mean"}


@pytest.mark.parametrize("signature", ["diagonal", "standard-normal"])
def test_mistake_is_named_in_the_other_signatures(signature):
    for bug in bugs.in_area("kl")[::3]:
        report = checker.check_kl(matrix.given(bug.f, signature), signature, examples=8)
        if bug.name in REFUSED_UNDER_ANOTHER_NAME:
            assert not report.right and report.diagnosis, f"{bug.name}\n{report}"
        else:
            assert report.right or bug.name in report.names, f"{bug.name}\n{report}"


@pytest.mark.parametrize("low, high", [(-20, 40), (-40, 20)])
def test_clipped_logvar_is_refused(low, high):
    def kl(mu, logvar):
        logvar = np.clip(logvar, low, high)
        return 0.5 * np.sum(mu**2 + np.exp(logvar) - 1 - logvar, axis=-1)

    report = checker.check_kl(kl)
    assert "Wrong at extremes" in report.verdict and "clipped" in report.verdict


def test_mistake_is_named_in_single_precision():
    def swapped(mean_q, cov_q, mean_p, cov_p):
        return np.float32(single_inside(mean_p, cov_p, mean_q, cov_q))

    assert checker.check_kl(swapped).names == ["swapped-arguments"]


def weighted(a=0.5, b=0.5, c=0.5, k=-0.5, one=0.0):
    def kl(mean_q, cov_q, mean_p, cov_p):
        P, d = np.linalg.inv(cov_p), mean_q - mean_p
        log_ratio = np.linalg.slogdet(cov_p)[1] - np.linalg.slogdet(cov_q)[1]
        return a * log_ratio + b * np.trace(P @ cov_q) + c * d @ P @ d + k * len(d) + one

    return kl


@pytest.mark.parametrize(
    "f, said",
    [
        (weighted(b=1), "The trace is counted twice"),
        (weighted(a=0.75), "The log-determinant ratio has the weight 3/4 instead of 1/2"),
        (weighted(k=-1), "- 2 k stands where - k belongs"),
        (weighted(one=0.125), "the constant 1/8"),
        (weighted(1.5, 1.5, 1.5, -1.5), "It is 3 times the KL"),
        (weighted(0, 0, 0, 0, 0.3), "It is 3/10, whatever"),
        (lambda mu, logvar: single(mu, logvar) / np.log(2), "in bits, not in nats"),
        (lambda m0, S0, m1, S1: 2 * textbook(m0, S0, m1, S1) / len(m0),
         "the 1/2 in front is missing; it averages over the dimensions"),
        (lambda m0, S0, m1, S1: weighted(c=1)(m0, S0, m1, S1) / len(m0),
         "counted twice: its 1/2 is missing; it averages over the dimensions"),
        (lambda mu, logvar: 0.5 * (mu**2 + np.exp(2 * logvar) - 1 - 2 * logvar).sum(-1),
         "logvar is used as a log standard deviation"),
        (lambda mu, std: 0.5 * (mu**2 + np.exp(std) - 1 - std).sum(-1),
         "std is used as a log-variance"),
        (lambda mu, logvar: 0.5 * (mu**2 + logvar**2 - 1 - 2 * np.log(abs(logvar))).sum(-1),
         "logvar is used as a standard deviation"),
        (lambda m0, cov0, m1, cov1: textbook(m0, np.linalg.inv(cov0), m1, np.linalg.inv(cov1)),
         "is used as a precision"),
        (lambda m0, S0, m1, S1: textbook(m0, S0, m1, S1) + 0.5 * np.trace(S0),
         "the trace is that of Sq"),
        (lambda mu, logvar: np.full(len(mu) + 3, 0.0), "shape (8,)"),
        (lambda mu, logvar: single(mu, logvar) + np.random.default_rng().random(), "is random"),
        (lambda mu, logvar: single(abs(mu) ** 0.9, logvar), "not a mistake we know"),
    ],
)  # fmt: skip
def test_mistake_that_is_not_in_the_museum_is_described(f, said):
    report = checker.check_kl(f, examples=10)
    assert not report.right
    assert said.lower() in " ".join(str(report).lower().split()), f"\n{report}"


def test_arguments_that_are_written_to():
    def kl(mu, logvar):
        mu *= mu
        return 0.5 * (mu + np.exp(logvar) - 1 - logvar).sum(-1)

    report = checker.check_kl(kl)
    assert report.broken == "arguments untouched"
    assert "it changes its argument mu in place" in str(report)
    assert "It changes its argument mu in place" in " ".join(report.diagnosis)


@pytest.mark.parametrize("f, word", [(sum_over_batch, "sum"), (mean_over_batch, "mean")])
def test_reduced_batch_is_noted(f, word):
    assert f"the {word} over the batch" in " ".join(checker.check_kl(f).notes)


def test_batch_that_is_summed_away_is_wrong():
    report = checker.check_kl(lambda mu, logvar: textbook_terms(mu, logvar).sum(axis=0))
    assert not report.right
    assert "sums over the batch (axis 0)" in report.verdict


def test_numbers_by_coordinate_and_columns_are_right_and_told():
    report = checker.check_kl(textbook_terms)
    assert report.right and "one number a coordinate (sum them)" in report.verdict
    report = checker.check_kl(lambda mu, logvar: textbook_terms(mu, logvar).sum(-1, keepdims=True))
    assert report.right and "kept as a column" in report.verdict


def test_mistake_beyond_the_dimensions_that_one_tries_is_seen():
    report = checker.check_kl(lambda mu, logvar: textbook_terms(mu, logvar)[..., :8].sum(-1))
    assert report.broken == "many dimensions" and report.names == []
    report = checker.check_kl(lambda mu, logvar: single(mu, logvar) / (mu.shape[-1] < 100))
    assert report.right and "in 300 dimensions it gives inf" in report.limits


def test_report_speaks_of_no_arguments_but_the_functions_own():
    def kl(m, lv):
        return single(m, lv) + 0.1 * lv.sum(-1)

    report = str(checker.check_kl(kl))
    for name in ("mean_q", "cov_q", "mean_p", "cov_p", "logvar", "mu"):
        assert not re.search(rf"\b{name}\b", report)


def test_smallest_case_is_small():
    report = checker.check_kl(bugs.MUSEUM["dimension-missing"].f)
    zero = {"mean_q": [0], "cov_q": [[1]], "mean_p": [0], "cov_p": [[1]]}
    assert report.broken == "zero at equality"
    assert report.case == zero
    assert (report.got, report.true) == (0.5, 0.0)
    report = checker.check_kl(bugs.MUSEUM["trace-of-diagonals"].f)
    assert len(report.case["mean_q"]) == 2


def test_report_is_the_same_every_time():
    f = bugs.MUSEUM["symmetrised"].f
    assert checker.check_kl(f).as_json() == checker.check_kl(f).as_json()


def test_report_fits_a_projector():
    wrong = [bug.f for bug in bugs.in_area("kl")[:4]]
    for f in (ours, single_inside, plain_numbers, sum_over_batch, *wrong):
        text = str(checker.check_kl(f))
        assert text.isascii() and "\n\n\n" not in text
        assert max(map(len, text.splitlines())) <= 100


# ---- what it takes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kind, explicit, side",
    [
        ("mean_q", "mean", True, "q"),
        ("covar_prior", "cov", True, "p"),
        ("qLogVar", "logvar", True, "q"),
        ("q_log_var", "logvar", True, "q"),
        ("lstds_1", "logstd", True, ""),
        ("qm", "mean", False, "q"),
        ("pv", "var", False, "p"),
        ("post_std", "std", True, "q"),
        ("sigma1", "std", False, ""),
        ("S0", "cov", False, ""),
        ("z_mean", "mean", True, ""),
        ("z_p", "sample", True, "p"),
        ("q_sqrt", "cholesky", True, "q"),
        ("Lambda_q", "precision", False, "q"),
        ("sigma2_p", "var", True, "p"),
        ("K_mm", "cov", False, ""),
        ("log_sigma", "logstd", True, ""),
    ],
)
def test_names_are_read(name, kind, explicit, side):
    read = read_name(name)
    assert (read.kinds[0], read.explicit, read.side) == (kind, explicit, side)


def test_flags_overrule_one_thing_each():
    def kl(a, s, b, t):
        return np.sum(np.log(t / s) + (s**2 + (a - b) ** 2) / (2 * t**2) - 0.5, axis=-1)

    assert "KL(a || b)" in checker.check_kl(kl).verdict.replace("N(a, s)", "a").replace(
        "N(b, t)", "b"
    )
    assert not checker.check_kl(kl, scale="logvar", examples=5).right
    assert checker.check_kl(kl, scale="std", examples=5).right
    assert checker.check_kl(kl, q="first", examples=5).right
    assert not checker.check_kl(kl, q="second", examples=5).right
    assert checker.check_kl(kl, order="mean_q,scale_q,mean_p,scale_p", examples=5).right
    assert not checker.check_kl(kl, order="mean_p,scale_p,mean_q,scale_q", examples=5).right


@pytest.mark.parametrize(
    "f, options, said",
    [
        (lambda mu, logvar, *, beta: 0, {}, "keyword argument 'beta'"),
        (lambda mu, logvar: 0, {"signature": "half"}, "signature is diagonal or"),
        (textbook, {"signature": "full", "std": True}, "not full"),
        (textbook, {"examples": 2}, "at least 3"),
        ("kl", {}, "'kl' is a str, not a function"),
        (lambda mu, logvar: nothing, {}, "NameError"),  # noqa: F821
    ],
)
def test_what_cannot_be_judged_says_why(f, options, said):
    with pytest.raises(CannotRun, match=said):
        checker.check_kl(f, **options)


# ---- a test for other people's suites ------------------------------------------------------------

test_ours = classroom.kl_laws(gaussian.kl)


def test_kl_laws_fails_with_the_report():
    with pytest.raises(AssertionError, match="swapped-arguments"):
        classroom.kl_laws(bugs.MUSEUM["swapped-arguments"].f)()


def test_importing_the_classroom_is_cheap():
    code = "import sys, tinyvae.classroom; print('hypothesis' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert out.stdout == "False\n", out.stderr


# ---- the command ---------------------------------------------------------------------------------

KL = "    return 0.5 * (mu**2 + np.exp(logvar) - 1 - logvar).sum(-1)\n"


def run(tmp_path, source, *options, name="mine.py", function=""):
    """The exit status, stdout and stderr of the command for a file with this source"""
    if isinstance(source, bytes):
        (tmp_path / name).write_bytes(source)
    elif source is not None:
        (tmp_path / name).write_text(textwrap.dedent(source), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "tinyvae.classroom.checker.kl", name + function, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


GOOD = "import numpy as np\ndef kl(mu, logvar):\n" + KL


def test_command_right(tmp_path):
    done = run(tmp_path, GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Right: KL(q || N(0, I))" in done.stdout and "laws hold" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.py"]  # nothing is left behind


def test_command_wrong(tmp_path):
    done = run(tmp_path, GOOD.replace("0.5 * ", ""))
    assert done.returncode == 1
    assert 'M01 "1/2 missing"' in done.stdout


def test_command_json(tmp_path):
    done = run(tmp_path, "print('hi')\n" + GOOD.replace("- 1", ""), "--json", "--seed", "3")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["right"] is False and report["seed"] == 3
    assert report["names"] == ["dimension-missing"]
    assert {law["status"] for law in report["laws"]} <= {"ok", "wrong", "told", "-"}
    assert "'hi'" in report["notes"][-1]


def test_command_json_has_no_nan(tmp_path):
    source = GOOD.replace("return", "return np.where(logvar[..., 0] == 0, np.nan, 1) *")
    done = run(tmp_path, source, "--json")
    report = json.loads(done.stdout, parse_constant=lambda text: pytest.fail(text))
    assert report["got"] == "nan"


LOOP = "def kl(mu, logvar):\n    while True:\n        pass\n"
CANNOT = {
    "endless loop": (LOOP, ["mine.py, line", "a call was not done after 2 seconds"]),
    "loop at import": ("while True:\n    pass\n", ["importing it was not done"]),
    "crash": (
        "import ctypes\ndef kl(mu, logvar):\n    ctypes.string_at(0)\n",
        ["mine.py, line 3: a call crashed the Python interpreter (SIGSEGV"],
    ),
    "abort": ("import os\ndef kl(mu, logvar):\n    os.abort()\n", ["line 3", "(SIGABRT)"]),
    "os._exit": (
        "import os\ndef kl(mu, logvar):\n    os._exit(0)\n",
        ["a call ended the whole process with exit status 0, as os._exit does"],
    ),
    "sys.exit": (
        "import sys\ndef kl(mu, logvar):\n    sys.exit(3)\n",
        ["line 3: it calls sys.exit(3)"],
    ),
    "exit at import": ("raise SystemExit\n", ["line 1: it calls sys.exit(None)"]),
    "syntax": ("def kl(mu, logvar):\n    return (mu\n", ["mine.py, line 2: SyntaxError: '(' was"]),
    "indentation": ("def kl(mu, logvar):\nreturn 0\n", ["line 2: IndentationError"]),
    "not text": (b"\x00\x01\xff", ["mine.py"]),
    "not utf-8": (b"x = '\xff'\n", ["mine.py"]),
    "import fails": (
        "import numpy\nimport nothere\n",
        ["No module named 'nothere' (mine.py, line 2)"],
    ),
    "raises": (
        "import numpy as np\ndef kl(mu, logvar):\n    return np.linalg.cholesky(-np.eye(2))\n",
        ["kl(mu, logvar) raised LinAlgError", "(mine.py, line 3)", "NumPy arrays"],
    ),
    "reads": ("def kl(mu, logvar):\n    return input()\n", ["EOFError", "line 2"]),
    "reads at import": ("input()\n", ["nobody is there to type anything"]),
    "no function": ("x = 3\n", ["mine.py defines no function"]),
    "two functions": (
        "def kl_a(mu, logvar): pass\ndef kl_b(mu, logvar): pass\n",
        ["2 functions that may be meant: kl_a, kl_b. Name one, as in mine.py:kl_a"],
    ),
    "two without kl": ("def f(a, b): pass\ndef g(a, b): pass\n", ["meant: f, g"]),
    "gives nothing": ("def kl(a, b, c, d): pass\n", ["kl(a, b, c, d) returned no number"]),
    "gives nan": ("def kl(mu, logvar):\n    return float('nan')\n", ["returned only nan"]),
}  # fmt: skip


@pytest.mark.parametrize("source, said", CANNOT.values(), ids=CANNOT)
def test_command_says_in_one_sentence_why_it_cannot_run(tmp_path, source, said):
    done = run(tmp_path, source, "--timeout", "2")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    for part in said:
        assert part in done.stderr


@pytest.mark.parametrize(
    "name, function, said",
    [
        ("nothere.py", "", "there is no file nothere.py"),
        ("folder", "", "is a folder"),
        ("notes.txt", "", "does not end in .py"),
        ("lesson.ipynb", "", "is not a notebook that can be read"),
        ("mine.py", ":kl_", "has no function kl_: it has kl"),
        ("mine.py", ":x", "x in mine.py is a int, not a function"),
        ("mine.py", ":", "after the colon comes the name of a function"),
        ("mine.py", ":k l", "after the colon comes the name of a function"),
    ],
)
def test_command_with_a_wrong_name(tmp_path, name, function, said):
    (tmp_path / "folder").mkdir()
    for text in ("notes.txt", "lesson.ipynb"):
        (tmp_path / text).write_text("{}")
    (tmp_path / "mine.py").write_text(GOOD + "x = 3\n")
    done = run(tmp_path, None, name=name, function=function)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.skipif(not child.memory_is_guarded(), reason="memory is limited on Linux only")
def test_memory_bomb(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "def kl(mu, logvar):\n    a = []\n    while True:\n        a.append(bytearray(10**7))\n"
    )
    with (
        pytest.raises(CannotRun, match=r"mine.py, line 4: it asked for more than 0.5 GB of memory"),
        child.open_file(path, timeout=60, memory=2**29) as file,
    ):
        file.function("kl").call([np.zeros(2), np.zeros(2)])


def test_what_it_prints_is_kept_apart(tmp_path):
    talks = "import sys\nprint('loaded')\nprint('oh', file=sys.stderr)\n" + GOOD
    done = run(tmp_path, talks)
    assert (done.returncode, done.stderr) == (0, "")
    assert not done.stdout.startswith("loaded")
    assert "It printed 1 line to stdout" in done.stdout
    assert "It printed 1 line to stderr" in done.stdout


def test_what_it_leaves_behind_is_ended(tmp_path):
    leaves = """
        import subprocess, sys, threading, time
        threading.Thread(target=time.sleep, args=(60,)).start()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open("pid", "w").write(str(child.pid))
    """
    began = time.monotonic()
    done = run(tmp_path, textwrap.dedent(leaves) + GOOD)
    assert done.returncode == 0
    assert time.monotonic() - began < 45
    pid = int((tmp_path / "pid").read_text())
    time.sleep(0.5)
    stat = Path(f"/proc/{pid}/stat")
    assert not stat.exists() or stat.read_text().split()[2] == "Z"


def test_file_may_be_called_like_a_module(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "random.py").write_text("from helper import half\n" + GOOD.replace("0.5", "half"))
    (folder / "helper.py").write_text("half = 0.5\n")
    done = run(tmp_path, None, name="theirs/random.py")
    assert done.returncode == 0, done.stderr


def test_function_is_found_among_others(tmp_path):
    source = "from math import exp\nimport numpy as np\nclass VAE: pass\ndef _h(): pass\n"
    source += "def helper(x): pass\n" + GOOD.replace("def kl", "def KL_term")
    assert run(tmp_path, source).returncode == 0
    assert run(tmp_path, source, function=":KL_term").returncode == 0
    nested = (
        "import numpy as np\nclass Loss:\n    @staticmethod\n    def kl(mu, logvar):\n    " + KL
    )
    assert run(tmp_path, nested, function=":Loss.kl").returncode == 0


def test_colon_in_a_path():
    assert child.split("mine.py:kl") == ("mine.py", "kl")
    assert child.split("C:\\work\\mine.py") == ("C:\\work\\mine.py", None)
    assert child.split("C:\\work\\mine.py:kl") == ("C:\\work\\mine.py", "kl")
    assert child.split("C:mine.py") == ("C:mine.py", None)


@pytest.mark.skipif(sys.platform == "win32", reason="times are of POSIX")
def test_verdict_takes_less_than_five_seconds(tmp_path):
    """Of work, parent and child together: other programs may be using this machine."""
    import resource

    for source in (GOOD, GOOD.replace("0.5 * ", "")):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(tmp_path, source)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5


# ---- the page ------------------------------------------------------------------------------------


def blocks(page):
    """The indented blocks of a Markdown page, without their indentation"""
    lines = [*page.splitlines(), "end"]
    block = []
    for line in lines:
        if line.startswith("    ") or (block and not line):
            block.append(line)
        elif block:
            yield textwrap.dedent("\n".join(block)).strip("\n") + "\n"
            block = []


PAGE = list(blocks((ROOT / "docs" / "check.md").read_text(encoding="utf-8")))
ADAPTERS = [block for block in PAGE if "def kl(" in block]


def test_page_shows_what_is_printed(tmp_path):
    (shown,) = [block for block in PAGE if block.startswith("$ tinyvae check kl mine.py\n")]
    (source,) = [block for block in ADAPTERS if "log_ratio + np.trace" in block]
    done = run(tmp_path, source)
    assert done.stdout == shown.partition("\n")[2]


def test_each_law_on_the_page_runs_as_shown():
    space, precision = {}, "def my_kl(mean_q, cov_q, mean_p, cov_p):"
    (source,) = [block for block in ADAPTERS if "log_ratio + np.trace" in block]
    exec(source.replace("np.trace(precision * cov_q)", "np.trace(precision @ cov_q)")
         .replace("def kl(mean_q, cov_q, mean_p, cov_p):", precision)
         .replace("(cov_q)[1] - np.linalg.slogdet(cov_p)", "(cov_p)[1] - np.linalg.slogdet(cov_q)"),
         space)  # fmt: skip
    first, second = [b for b in PAGE if "laws.affine" in b]
    exec(first, space)
    space["test_change_of_units"]()
    exec(second, space)


@pytest.mark.parametrize("library", ["torch", "scipy", "mpmath"])
def test_adapter_on_the_page_is_right(library):
    if not find_spec(library):
        pytest.skip(f"{library} is not installed")
    (source,) = [block for block in ADAPTERS if library in block]
    namespace = {}
    exec(source, namespace)
    report = checker.check_kl(namespace["kl"])
    assert report.right, f"\n{report}"


@pytest.mark.parametrize("option", ["--seed=-3", "--timeout=-1", "--timeout=0", "--timeout=nan"])
def test_options_out_of_range_are_refused(tmp_path, option):
    done = run(tmp_path, GOOD, option)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert option.split("=")[0].strip("-") in done.stderr
