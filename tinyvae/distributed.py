"""The same step, its gradient summed over MPI ranks: `mpiexec -n 2 tinyvae train ...`

The loss of a batch is a mean over its rows, so its gradient is a sum over its rows, and a sum can
be taken in parts, by whom and where one likes:

    d loss / d params  =  sum over ranks of  (rows of the rank / rows of the batch) d loss_rank

Every rank runs the same program, `tinyvae.fit`, with the same random numbers; only the three parts
of a step are shared out.  The ranks of one machine do them on memory that all of them see, and wait
for one another after each (the barriers of MPI):

    rows         loss_and_grads of a share of the batch's rows, into a vector of the rank's own
    sum          a share of the sum of these vectors; then once over the machines, by Allreduce
    update       the optimiser's step for a share of the parameters

What comes out is what one process computes, but for the rounding of sums in another order: the
same bits for the same number of ranks.  docs/distributed.md says what it costs and how far it goes.

Needs the extra `mpi`, and one BLAS thread for each core that a rank has.
"""

import copy
import os
from contextlib import contextmanager

import numpy as np

from tinyvae import blas, evaluate, fast
from tinyvae.contracts import check_integer

ALIGNED = 16  # numbers: shares begin at a cache line of 64 bytes, in float32 as in float64
SET_BY_MPIEXEC = ("PMI_SIZE", "PMI_RANK"), ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK")


def rank_among_several(environment=os.environ):
    """The rank of this process if mpiexec started several, else None; MPI need not be there."""
    for size, rank in SET_BY_MPIEXEC:
        if environment.get(size, "1") != "1":
            return int(environment[rank])
    return None


def world():
    """All ranks: mpi4py's COMM_WORLD.    Raises ImportError if mpi4py or an MPI is missing."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ImportError(f"needs mpi4py and an MPI: pip install tinyvae[mpi] ({reason})") from None
    return MPI.COMM_WORLD


def broadcast(comm, content=b""):
    """The bytes that rank 0 calls this with, in every rank"""
    size = np.array([len(content)])
    comm.Bcast(size)
    received = np.frombuffer(content, np.uint8) if comm.rank == 0 else np.empty(size, np.uint8)
    comm.Bcast(received)
    return received.tobytes()


def share(count, rank, ranks):
    """The slice of ``count`` things that is this rank's; the shares differ by one at most.

    >>> [share(5, rank, 2) for rank in (0, 1)]
    [slice(0, 2, None), slice(2, 5, None)]
    """
    return slice(count * rank // ranks, count * (rank + 1) // ranks)


@contextmanager
def shared_out(comm, model, optimizer):
    """The model and its optimiser, at work in all ranks of ``comm``, for `fit`

    To be called by every rank with the same arguments, and so must be what it gives.  Meanwhile
    parameters and moments are in the memory that the ranks of a machine share.
    """
    with _own_cores(comm):
        ranks = Ranks(comm, model, optimizer)
        try:
            yield ranks, ranks
        finally:
            ranks.close()


@contextmanager
def _own_cores(comm):
    """BLAS has its share of the machine's cores: with more threads ranks wait for one another."""
    from mpi4py import MPI

    machine, libraries = comm.Split_type(MPI.COMM_TYPE_SHARED), blas.libraries()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with libraries.limit(limits=max(1, cores // machine.size)):
        yield


class Ranks:
    """A model and its optimiser in one, as `fit` wants them, whose work all ranks share."""

    def __init__(self, comm, model, optimizer):
        from mpi4py import MPI

        self.comm, self.model, self.optimizer = comm, model, optimizer
        self.latent_dim, self.params = model.latent_dim, model.params
        self.machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
        leads = self.machine.rank == 0
        self.leaders = comm.Split(0 if leads else MPI.UNDEFINED)  # one rank of every machine
        self.places, size = _places(model.params)
        dtype = np.result_type(*model.params.values())
        vectors = len(optimizer.moments) + 2 + self.machine.size
        length = vectors * size * dtype.itemsize if leads else 0
        self.window = MPI.Win.Allocate_shared(length, dtype.itemsize, comm=self.machine)
        memory = np.ndarray((vectors, size), dtype, self.window.Shared_query(0)[0])
        self.sum, *self.parts = memory[: 1 + self.machine.size]
        self.grads = self._named(self.sum)
        self.mine = share(size // ALIGNED, self.machine.rank, self.machine.size)
        self.mine = slice(self.mine.start * ALIGNED, self.mine.stop * ALIGNED)
        self.own = self._move_into(memory[1 + self.machine.size :])
        self.update = _of_share(optimizer, memory[1 + self.machine.size :], self.mine)

    @property
    def t(self):
        """Steps that the optimiser has taken"""
        return self.optimizer.t

    def loss(self, x, eps, beta=1.0):
        """recon (B,) and kl (B,), as the model's own `loss`, a share of the rows by every rank"""
        rows = share(len(x), self.comm.rank, self.comm.size)
        terms = self.model.loss(x[rows], eps[rows], beta) if len(x[rows]) else ()
        return self._everybodys(terms, rows, x)

    def loss_and_grads(self, x, eps, beta=1.0):
        """loss, recon (B,), kl (B,) and grads, as the model's own `loss_and_grads`"""
        rows = share(len(x), self.comm.rank, self.comm.size)
        part, terms = self.parts[self.machine.rank], ()
        part[...] = 0
        if len(x[rows]):
            _, *terms, grads = self.model.loss_and_grads(x[rows], eps[rows], beta)
            for name, array in self._named(part).items():
                np.multiply(grads[name], len(x[rows]) / len(x), out=array)
        recon, kl = self._everybodys(terms, rows, x)
        self.machine.Barrier()  # all parts are there
        np.copyto(self.sum[self.mine], self.parts[0][self.mine])
        for other in self.parts[1:]:
            self.sum[self.mine] += other[self.mine]
        self.machine.Barrier()  # the machine's sum is there
        if self.machine.size < self.comm.size:
            self._sum_over_machines()
        return np.mean(recon + beta * kl), recon, kl, self.grads

    def step(self, grads):
        """The optimiser's step, by the gradients of the last `loss_and_grads`"""
        self.update.step({"all": self.sum[self.mine]})
        self.optimizer.t = self.update.t
        self.machine.Barrier()  # all parameters are there

    def close(self):
        """Give the model and the optimiser their own arrays back."""
        for arrays, own in self.own:
            for name, array in own.items():
                array[...] = arrays[name]
                arrays[name] = array

    def _sum_over_machines(self):
        from mpi4py import MPI

        if self.machine.rank == 0:
            self.leaders.Allreduce(MPI.IN_PLACE, self.sum)
        self.machine.Barrier()  # the sum over machines is there

    def _everybodys(self, terms, rows, x):
        """recon and kl of the whole batch, from those of every rank's rows"""
        from mpi4py import MPI

        dtype = np.result_type(x, *self.params.values())
        both = np.zeros((2, len(x)), dtype)
        if len(x[rows]):
            both[:, rows] = terms
        self.comm.Allreduce(MPI.IN_PLACE, both)
        return both

    def _named(self, vector):
        """name -> array, in a vector of all parameters, or of as many gradients or moments"""
        return {
            name: vector[start : start + self.params[name].size].reshape(self.params[name].shape)
            for name, start in self.places.items()
        }

    def _move_into(self, vectors):
        """Put parameters and moments into shared memory  ->  (dict, the arrays that it had)"""
        own = []
        for arrays, vector in zip(_kinds(self.model, self.optimizer), vectors, strict=True):
            own.append((arrays, dict(arrays)))
            for name, shared in self._named(vector).items():
                if self.machine.rank == 0:
                    shared[...] = arrays[name]
                arrays[name] = shared
        self.machine.Barrier()
        return own


def _kinds(model, optimizer):
    return [model.params, *optimizer.moments.values()]


def _places(params):
    """name -> where it starts in a vector of all parameters; and the vector's length"""
    places, start = {}, 0
    for name, p in params.items():
        places[name] = start
        start += -(-p.size // ALIGNED) * ALIGNED
    return places, start


def _of_share(optimizer, vectors, mine):
    """An optimiser like that one, of a share of the parameters"""
    params, *moments = ({"all": vector[mine]} for vector in vectors)
    of_share = copy.copy(optimizer)
    of_share.params, of_share.moments = params, dict(zip(optimizer.moments, moments, strict=True))
    return fast.InBlocks(of_share)


def estimate(comm, vae, x, rng, samples=5000):
    """`evaluate.estimate` of all rows of x, some of them by every rank: the same in each

    The draws are those of one process: every rank draws them all, and weighs its own.
    """
    from mpi4py import MPI

    check_integer(1, samples=samples)
    rows = share(len(x), comm.rank, comm.size)
    fields = np.zeros((len(evaluate.Estimate._fields), len(x)))
    with _own_cores(comm):
        for row in range(len(x)):
            if rows.start <= row < rows.stop:
                one = evaluate.estimate(vae, x[row : row + 1], rng, samples)
                fields[:, row] = np.ravel(one)
            else:
                evaluate.draw(vae, rng, samples)
    comm.Allreduce(MPI.IN_PLACE, fields)
    return evaluate.Estimate(*fields)
