"""Training a VAE in several processes, each with a share of the batch and of the parameters.

BLAS multiplies matrices in many threads, but NumPy passes over arrays in one, so for half of a
step's time one core is at work.  Here every process has a BLAS of one thread, all are at work on
arrays in memory that they share, and a step has three parts, after each of which all wait for all:

    backward     a share of the rows of the batch: recon, kl, and d loss / dy of all y = x W + b
    gradients    a share of all dW = x^T dy and db = sum dy, which are sums over the whole batch
    update       the optimiser's step for a share of the parameters

What comes out is what `VAE.loss_and_grads` and the optimiser compute, up to rounding.  On two cores
a step of 784-400-20 takes 0.79 of the time that it takes in one process with batches of 128, and
0.83 with batches of 512 (python -m benchmarks step).
"""

import json
import math
import mmap
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress

import numpy as np

from tinyvae import blas, checkpoint, inplace
from tinyvae.arrays import exactly, finite, quietly, whole
from tinyvae.vae import VAE

PARTS = "backward", "gradients", "update"
ONE_THREAD = dict.fromkeys(
    ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"], "1"
)
PATIENCE = 2e-3  # seconds of asking again and again: to be woken up takes longer than most waits
TIME_TO_END = 10.0  # seconds
KEPT = 30_000_000  # bytes: the arrays of a step are smaller
FEW_ROWS = 64  # of a dW: fewer do not pay as a share
MOST = 0.75  # of the pixels: to pick them out costs more than it saves
CACHE_LINE = 64  # bytes
ALIGNED = 16  # parameters: one cache line in float32, two in float64


@contextmanager
def data_parallel(model, optimizer, processes, batch_size, dtype):
    """Share out the steps of a training  ->  at_work, for `with at_work() as (model, optimizer)`

    In there `loss_and_grads` and `step` are the work of all processes, for x of that dtype and
    batches of at most that size.

    Raises ValueError where processes cannot share memory, for a model that is no VAE, and if one
    process would have no image of the batch; ChildProcessError when one dies.
    """
    whole(2, processes=processes)
    if os.name != "posix":
        raise ValueError("processes must be 1 on this system: they could share no memory")
    if type(model) is not VAE:
        raise ValueError(f"processes must be 1 for {type(model).__name__}: only a VAE has more")
    if processes > batch_size:
        raise ValueError(f"processes must be at most the images of a batch, {batch_size}")
    team = Team(model, optimizer, processes, batch_size, dtype)
    try:
        yield team.at_work
    finally:
        team.close()


class Team:
    """A VAE and its optimiser in one, at work in several processes, of which this is the first.

    Meanwhile parameters and moments are in the memory that all share.
    """

    def __init__(self, model, optimizer, processes, batch_size, dtype):
        self.model, self.optimizer, self.latent_dim = model, optimizer, model.latent_dim
        self.blas = blas.libraries()
        run = checkpoint.Run(model, {}, optimizer, None, [])
        arrays = _arrays(run, batch_size, dtype)
        plan = {"run": checkpoint.describe(run), "arrays": arrays, "processes": processes}
        plan["patience"] = PATIENCE if processes <= _cores() else 0.0  # no core for mere waiting
        with _shared_file(_size(arrays)) as file:
            self.share = Share(plan, 0, file.fileno())
            self.helpers, self.lent = [], self._lend()
            try:
                for rank in range(1, processes):
                    self.helpers.append(Helper(rank, file.fileno()))
                for helper in self.helpers:
                    helper.begin(plan)
            except BaseException:
                self.close()
                raise

    @contextmanager
    def at_work(self):
        """As long as it lasts, BLAS has one thread, here as in the helpers."""
        with self.blas.limit(limits=1):
            yield self, self

    @property
    def t(self):
        """Steps that the optimiser has taken"""
        return self.optimizer.t

    @quietly
    def loss_and_grads(self, x, eps, beta=1.0):
        """loss, recon (B,), kl (B,) and grads, as `VAE.loss_and_grads`"""
        finite(beta=beta)
        exactly((len(x), self.latent_dim), eps=eps)
        memory, rows = self.share.memory, slice(len(x))
        memory["images"][rows], memory["eps"][rows] = x, eps
        np.any(x, axis=0, out=memory["shown"])  # the pixels that are not black in every image
        memory["size and beta"][:] = len(x), beta
        self._do("backward")
        self._do("gradients")
        recon, kl = memory["recon"][rows].copy(), memory["kl"][rows].copy()
        return np.mean(recon + beta * kl), recon, kl, self.share.grads

    def step(self, grads):
        """The optimiser's step, by the gradients of the last `loss_and_grads`"""
        self._do("update")
        self.optimizer.t += 1

    def close(self):
        """Send the helpers home, and give the model and the optimiser their own arrays back."""
        try:
            for helper in self.helpers:
                helper.end()
        finally:
            for kind, arrays in self._kinds():
                for name, own in self.lent[kind].items():
                    own[...] = arrays[name]
                    arrays[name] = own

    def _lend(self):
        """Put the parameters and the moments into the memory.    ->  the arrays they were in"""
        lent = {kind: dict(arrays) for kind, arrays in self._kinds()}
        for kind, arrays in self._kinds():
            for name, shared in self.share.named(kind).items():
                shared[...] = arrays[name]
                arrays[name] = shared
        return lent

    def _kinds(self):
        return [("params", self.model.params), *self.optimizer.moments.items()]

    def _do(self, part):
        for helper in self.helpers:
            helper.tell(part[:1].encode())
        getattr(self.share, part)()
        for helper in self.helpers:
            helper.hear()


class Share:
    """What one process does of a step, on the memory that all share."""

    def __init__(self, plan, rank, descriptor):
        # glibc gives freed memory back to the system, until it has seen a larger block freed.  From
        # here on it keeps it: else a helper has hundreds of page faults in every step.
        np.empty(KEPT, np.uint8)
        self.rank, self.processes = rank, plan["processes"]
        self.memory = memory = _mapped(plan["arrays"], descriptor)
        self.vae = checkpoint.empty_model(plan["run"]["model"])
        self.places = _places(self.vae)
        self.vae.params.update(self.named("params"))
        self.grads = self.named("grads")
        self.dy = {name: memory[f"dy.{name}"] for name in self.vae.shapes()}
        self.x = {name: memory.get(f"x.{name}") for name in self.dy}
        self.x["logvar"] = self.x["mu"]
        lines = len(memory["params"]) // ALIGNED
        low, high = (lines * (rank + k) // self.processes * ALIGNED for k in (0, 1))
        state = plan["run"]["optimizer"]
        kinds = [kind for kind in ("params", "grads", "m", "v") if kind in memory]
        mine = {f"{kind}.all": memory[kind][low:high] for kind in kinds}
        self.optimizer = checkpoint.optimizer_of(state, {"all": mine["params.all"]}, mine)
        self.grads_of_part = {"all": mine["grads.all"]}

    def named(self, kind):
        """key -> array, in the vector of all parameters, all gradients or all moments of a kind"""
        return {
            key: self.memory[kind][start : start + rows * width].reshape(
                (rows, width) if key.endswith("W") else width
            )
            for key, (start, rows, width) in self.places.items()
        }

    def backward(self):
        """recon, kl and all dy, for a share of the rows of the batch

        Pixels that are black in the whole batch change no y, and their rows of dW are 0: if they
        are many, the first product leaves them out.
        """
        size, beta = self.memory["size and beta"].tolist()
        self.batch = slice(int(size))
        rows = slice(*(int(size) * (self.rank + k) // self.processes for k in (0, 1)))
        images, shown, first = self.memory["images"], self.memory["shown"], self.vae.encoder[0]
        W = {name: self.vae.params[f"{name}.W"] for name in self.dy}
        self.x[first], self.seen = images, None
        if np.count_nonzero(shown) < MOST * len(shown):
            self.seen = np.flatnonzero(shown)
            shape = int(size), len(self.seen)
            self.x[first] = self.memory[f"x.{first}"].ravel()[: math.prod(shape)].reshape(shape)
            np.take(images[rows], self.seen, axis=1, out=self.x[first][rows], mode="clip")
            W[first] = W[first].take(self.seen, axis=0)
        if rows.start < rows.stop:
            x, dy = ({k: array[rows] for k, array in kind.items()} for kind in (self.x, self.dy))
            self.memory["recon"][rows], self.memory["kl"][rows] = inplace.backward(
                self.vae, W, images[rows], self.memory["eps"][rows], beta, size, x, dy
            )

    def gradients(self):
        """A share of the gradients: some db, and some rows of some dW"""
        first = self.vae.encoder[0]
        for key, rows in self._rows_of_gradients():
            name, kind = key.rsplit(".", 1)
            x, dy, grads = self.x[name][self.batch], self.dy[name][self.batch], self.grads[key]
            if kind == "b":
                np.sum(dy, axis=0, out=grads)
            elif name == first and self.seen is not None:
                grads[self.seen[rows]] = x[:, rows].T @ dy
            else:
                np.matmul(x[:, rows].T, dy, out=grads[rows])
        if self.seen is not None:
            black = np.flatnonzero(~self.memory["shown"])
            self.grads[f"{first}.W"][black[self.rank :: self.processes]] = 0

    def update(self):
        """The optimiser's step for a share of the parameters"""
        self.optimizer.step(self.grads_of_part)

    def _rows_of_gradients(self):
        """Key and rows of what this process computes; of the first dW, rows of the pixels seen"""
        shapes, first = {k: place[1:] for k, place in self.places.items()}, self.vae.encoder[0]
        shapes[f"{first}.W"] = self.x[first].shape[1], self.dy[first].shape[1]
        total = sum(rows * width for rows, width in shapes.values())
        edges = [total * (self.rank + k) // self.processes for k in (0, 1)]
        for key, (rows, width) in shapes.items():
            low, high = (_cut(edge, rows, width) for edge in edges)
            if low < high:
                yield key, slice(low, high)
            edges = [edge - rows * width for edge in edges]


def _cut(edge, rows, width):
    """The row at which a matrix is cut in shares, for the element at which it should be

    No share is a product of few rows: to read all of dy for them costs more than it saves, and a
    step with such shares took 1.02 of the time (784-400-20, batches of 128 and of 512).
    """
    row = min(max(edge // width, 0), rows)
    return row if FEW_ROWS <= row <= rows - FEW_ROWS else rows if row > rows / 2 else 0


def _places(vae):
    """key -> start, rows and width, in a vector of all parameters; a bias is one row"""
    places, start = {}, 0
    for name, (inputs, outputs) in vae.shapes().items():
        for kind, rows in ("b", 1), ("W", inputs):
            places[f"{name}.{kind}"] = start, rows, outputs
            start += math.ceil(rows * outputs / ALIGNED) * ALIGNED
    return places


class Helper:
    """Another process, as the first one sees it: it hears a letter, does that part, and answers.

    Both talk by pipes: these order what the two see of the memory, and end when one of them dies.
    """

    def __init__(self, rank, descriptor):
        code = (
            "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
            "from tinyvae import parallel; parallel.serve(int(sys.argv[2]), int(sys.argv[3]))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(sys.path), str(rank), str(descriptor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            pass_fds=[descriptor],
            env=os.environ | ONE_THREAD,
            start_new_session=True,  # Ctrl-C is for the first process alone
        )
        self.answers = self.process.stdout.fileno()
        os.set_blocking(self.answers, False)

    def begin(self, plan):
        self.patience = plan["patience"]
        self.tell(json.dumps(plan).encode() + b"\n")
        self.hear()

    def tell(self, part):
        try:
            self.process.stdin.write(part)
        except BrokenPipeError:
            raise self._died() from None

    def hear(self):
        if not _hear(self.answers, self.patience):
            raise self._died()

    def _died(self):
        return ChildProcessError(f"process {self.process.pid}, one of those that train, has died")

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(TIME_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def serve(rank, descriptor):
    """What a helper does, until the first process closes the pipe, or dies."""
    plan = json.loads(sys.stdin.buffer.readline())
    share = Share(plan, rank, descriptor)
    os.set_blocking(0, False)
    parts = {part[:1].encode(): getattr(share, part) for part in PARTS}
    with suppress(BrokenPipeError), np.errstate(over="ignore", invalid="ignore"):
        os.write(1, b"!")
        while letter := _hear(0, plan["patience"]):
            parts[letter]()
            os.write(1, letter)


def _hear(descriptor, patience):
    """One byte from a pipe, or none, if nobody is left to write one"""
    until = time.perf_counter() + patience
    while time.perf_counter() < until:
        try:
            return os.read(descriptor, 1)
        except BlockingIOError:
            pass
    os.set_blocking(descriptor, True)
    try:
        return os.read(descriptor, 1)
    finally:
        os.set_blocking(descriptor, False)


def _arrays(run, batch_size, dtype):
    """name -> shape and dtype of all that is shared"""
    vae = run.model
    own = vae.params["logits.W"].dtype
    dtype = np.result_type(dtype, own).str
    start, rows, width = list(_places(vae).values())[-1]
    vector, batch = (math.ceil((start + rows * width) / ALIGNED) * ALIGNED,), (batch_size,)
    arrays = dict.fromkeys(["params", *run.optimizer.moments], (vector, own.str))
    arrays |= {"grads": (vector, dtype), "size and beta": ((2,), "float64")}
    arrays |= {"recon": (batch, dtype), "kl": (batch, dtype)}
    arrays["images"] = (batch_size, vae.data_dim), dtype
    arrays["shown"] = (vae.data_dim,), "bool"
    arrays["eps"] = (batch_size, vae.latent_dim), dtype
    for name, (inputs, outputs) in vae.shapes().items():
        arrays[f"dy.{name}"] = (batch_size, outputs), dtype
        if name != "logvar":  # its x is that of mu
            arrays[f"x.{name}"] = (batch_size, inputs), dtype
    return arrays


def _bytes(shape, dtype):
    """What an array takes, in whole cache lines"""
    return math.ceil(math.prod(shape) * np.dtype(dtype).itemsize / CACHE_LINE) * CACHE_LINE


def _size(arrays):
    return sum(_bytes(*shape_and_dtype) for shape_and_dtype in arrays.values())


def _mapped(arrays, descriptor):
    """name -> array, in the memory of that file"""
    memory, mapped, start = mmap.mmap(descriptor, _size(arrays)), {}, 0
    for name, (shape, dtype) in arrays.items():
        mapped[name] = np.ndarray(shape, dtype, memory, start)
        start += _bytes(shape, dtype)
    return mapped


def _cores():
    """The cores that this process may use"""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _shared_file(size):
    """A file without a name, in memory where the system can"""
    if hasattr(os, "memfd_create"):
        file = os.fdopen(os.memfd_create("tinyvae"), "r+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    file.truncate(size)
    return file
