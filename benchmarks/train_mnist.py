"""Ten epochs of the PyTorch example's VAE on grey MNIST, start to finish, by one of three loops.

784-400-20, relu, Adam 1e-3, batches of 128; prints the test loss, recon + kl in nats, and, where it
runs on several ranks, the sum of their peak memory in MB, else 0.

python -m benchmarks.train_mnist tinyvae|example|tuned [EPOCHS]

``tinyvae`` is what `tinyvae train` does, in one process or, started by mpiexec, on all its ranks.
``example`` is the loop of the PyTorch example: a DataLoader that converts and collates image by
image, nn.Module, binary cross-entropy of sigmoids, Adam.  It reads the files as tinyvae does, for
torchvision is not needed to be slow.  ``tuned`` is what a PyTorch user does next: the data as one
tensor, slices of a permutation, logits, fused Adam.
"""

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from tinyvae import data


def by_tinyvae(epochs):
    """The test loss, the peak memory of all ranks, and whether this is the one that tells"""
    import tinyvae
    from tinyvae import distributed, fast
    from tinyvae.optim import Adam

    mnist, rng = data.load("mnist"), np.random.default_rng(0)
    model = vae = tinyvae.VAE.create(784, (400,), 20, rng=rng, activation="relu")
    optimizer, memory, tells = fast.InBlocks(Adam(vae.params)), 0, True
    with ExitStack() as stack:
        if distributed.rank_among_several() is not None:
            comm = distributed.world()
            shared_out = distributed.shared_out(comm, vae, Adam(vae.params))
            model, optimizer = stack.enter_context(shared_out)
            tells = comm.rank == 0
        tinyvae.fit(model, mnist.x_train, epochs=epochs, batch_size=128, rng=rng, binarize=False,
                    optimizer=optimizer, report=tinyvae.train.silent)  # fmt: skip
        loss = sum(tinyvae.train.mean_loss(model, mnist.x_test, rng, binarize=False))
        if distributed.rank_among_several() is not None:
            of_each = np.zeros(comm.size)
            of_each[comm.rank] = peak_memory()
            comm.Allreduce(of_each.copy(), of_each)
            memory = of_each.sum()
    return loss, memory, tells


def peak_memory():
    """MB that this process has had at most; what ranks share counts in each"""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def by_torch(epochs, tuned):
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(1)
    mnist = data.load("mnist")

    class Twin(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = nn.Linear(784, 400)
            self.fc21, self.fc22 = nn.Linear(400, 20), nn.Linear(400, 20)
            self.fc3, self.fc4 = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            h = F.relu(self.fc1(x))
            mu, logvar = self.fc21(h), self.fc22(h)
            z = mu + torch.randn_like(mu) * torch.exp(0.5 * logvar)
            return self.fc4(F.relu(self.fc3(z))), mu, logvar

    def loss(x):
        logits, mu, logvar = twin(x)
        if tuned:
            recon = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        else:
            recon = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
        return recon - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())

    class Images(torch.utils.data.Dataset):
        def __init__(self, x):
            self.levels = torch.tensor(x.levels)

        def __len__(self):
            return len(self.levels)

        def __getitem__(self, i):
            return self.levels[i].float().div(255)

    def batches(x, shuffle):
        if not tuned:
            yield from torch.utils.data.DataLoader(Images(x), batch_size=128, shuffle=shuffle)
            return
        levels = torch.tensor(x.levels)
        order = torch.randperm(len(levels)) if shuffle else torch.arange(len(levels))
        for rows in order.split(128):
            yield levels[rows].float().div_(255)

    twin = Twin()
    adam = torch.optim.Adam(twin.parameters(), 1e-3, fused=tuned)
    for _ in range(epochs):
        for x in batches(mnist.x_train, shuffle=True):
            adam.zero_grad()
            value = loss(x)
            value.backward()
            value.item()  # the example adds it up
            adam.step()
    with torch.no_grad():
        return sum(loss(x).item() for x in batches(mnist.x_test, shuffle=False)) / 10_000


if __name__ == "__main__":
    loop, epochs = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
    if loop == "tinyvae":
        loss, memory, tells = by_tinyvae(epochs)
        if tells:
            print(loss, memory)
    else:
        print(by_torch(epochs, tuned=loop == "tuned"), 0)
