"""How time and memory grow: slopes on a log-log plot.

python -m benchmarks.growth QUANTITY VALUE  measures one point in a process of its own and prints
the seconds and the peak memory in MB.
"""

import json
import sys
import time

import numpy as np

from benchmarks.pairs import whole_process

BASE = {"images": 4000, "batch": 128, "hidden": 400, "latent": 20, "samples": 500}
GRID = {
    "images": [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000],
    "batch": [32, 64, 128, 256, 512, 1024],
    "hidden": [100, 200, 400, 800, 1600],
    "latent": [2, 5, 10, 20, 50, 100],
    "samples": [250, 500, 1000, 2000, 5000],
}
MEANS = {
    "images": "one epoch of training, against the number of images",
    "batch": "one step, against the batch size",
    "hidden": "one epoch of 4,000 images, against the hidden width",
    "latent": "one epoch of 4,000 images, against the latent dimensions",
    "samples": "log p(x) of 5 images, against the samples of each",
}


def point(quantity, value):
    """The median seconds of what `MEANS` says, with everything else as in BASE."""
    import tinyvae

    case = BASE | {quantity: value}
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (case["images"], 784), dtype=np.uint8)
    x = tinyvae.data.Pixels(levels)
    vae = tinyvae.VAE.create(784, (case["hidden"],), case["latent"], rng=rng, activation="relu")

    binary = tinyvae.data.binarize(x[:5], rng)

    def run():
        if quantity == "samples":
            tinyvae.evaluate.log_likelihood(vae, binary, rng, case["samples"])
        else:
            rows = slice(0, value if quantity == "batch" else None)
            tinyvae.fit(vae, x[rows] if quantity == "batch" else x, epochs=1, rng=rng,
                        batch_size=case["batch"], binarize=False,
                        report=tinyvae.train.silent)  # fmt: skip

    run()
    times = []
    while len(times) < 3 or (sum(times) < 0.5 and len(times) < 30):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def measure():
    """quantity -> (values, seconds, megabytes)"""
    curves = {}
    for quantity, values in GRID.items():
        points = []
        for value in values:
            command = [sys.executable, "-m", "benchmarks.growth", quantity, str(value)]
            _, memory, said = whole_process(command)
            points.append((json.loads(said), memory))
        curves[quantity] = (np.array(values), *np.array(points).T)
    return curves


def slope(values, results):
    """The exponent: the least-squares line through the upper half of a log-log plot."""
    half = len(values) // 2
    return np.polyfit(np.log(values[half:]), np.log(results[half:]), 1)[0]


def draw(curves, path):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    by_time, by_memory = figure.subplots(1, 2)
    for (quantity, (values, seconds, _)), marker, colour in zip(
        curves.items(),
        "os^Dv",
        ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000"],
        strict=True,
    ):
        label = f"{quantity}: slope {slope(values, seconds):.2f}"
        by_time.loglog(
            values / values[0], seconds / seconds[0], marker=marker, color=colour, label=label
        )
    by_time.set_xlabel("size / smallest size")
    by_time.set_ylabel("time / time of the smallest")
    steepest = max(slope(v, s) for v, s, _ in curves.values())
    by_time.set_title(f"Time grows no faster than size^{steepest:.1f}")
    by_time.legend()
    values, _, memory = curves["images"]
    by_memory.plot(values, memory, "o-", color="#0072B2", label="tinyvae, pixels kept as bytes")
    floats = memory[0] + (values - values[0]) * 784 * 4 / 2**20
    by_memory.plot(values, floats, "--", color="#D55E00", label="if they were float32")
    by_memory.set_xlabel("images of 28 x 28")
    by_memory.set_ylabel("peak memory of the process (MB)")
    per_image = (memory[-1] - memory[0]) / (values[-1] - values[0]) * 2**20
    by_memory.set_title(f"An image costs {per_image:.0f} bytes of memory")
    by_memory.set_ylim(0)
    by_memory.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    print(json.dumps(point(sys.argv[1], int(sys.argv[2]))))
