"""tinyvae.plot: what is drawn is what is there, and a title says what was found."""

import os
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure

from tinyvae import VAE, Autoencoder, data, fit, plot
from tinyvae.layers import sigmoid
from tinyvae.train import silent
from tools import kill


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def a_model(cls=VAE, latent_dim=2, data_dim=64):
    return cls.create(data_dim, (8,), latent_dim, rng=np.random.default_rng(0))


def picture(ax):
    (image,) = ax.images
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)
    return np.asarray(image.get_array())


# --- drawings -----------------------------------------------------------------------------------


def test_tiles_are_the_images_in_order(ax):
    x = np.random.default_rng(0).random((5, 6))
    plot.images(ax, x, (2, 3), columns=3)
    drawn = picture(ax)
    assert drawn.shape == (4, 9)
    assert np.array_equal(drawn[0:2, 3:6], x[1].reshape(2, 3))
    assert np.array_equal(drawn[2:4, 0:3], x[3].reshape(2, 3))
    assert np.all(drawn[2:4, 6:9] == 1)  # white where there is no image


def test_originals_stand_over_their_reconstructions(ax):
    rng = np.random.default_rng(0)
    x, x_hat = rng.random((4, 6)), rng.random((4, 6))
    plot.pairs(ax, x, x_hat, (2, 3), columns=2)
    drawn = picture(ax)
    assert np.array_equal(drawn[0:2, 3:6], x[1].reshape(2, 3))
    assert np.array_equal(drawn[2:4, 3:6], x_hat[1].reshape(2, 3))
    assert np.all(drawn[4] == 1)
    assert np.array_equal(drawn[5:7, 0:3], x[2].reshape(2, 3))
    assert np.array_equal(drawn[7:9, 0:3], x_hat[2].reshape(2, 3))


def test_labels_are_told_apart_without_colour(ax):
    mu = np.random.default_rng(0).standard_normal((40, 2))
    y = np.arange(40) % 10
    plot.latent_plane(ax, mu, y)
    assert len(ax.collections) == 10
    shapes = [drawn.get_paths()[0].vertices.tobytes() for drawn in ax.collections]
    assert len(set(shapes)) == 10
    for label, drawn in enumerate(ax.collections):
        assert np.array_equal(drawn.get_offsets(), mu[y == label])


def test_colours_of_labels_differ_and_show_on_white(ax):
    plot.latent_plane(ax, np.zeros((10, 2)), np.arange(10))
    colours = np.array([drawn.get_facecolor()[0][:3] for drawn in ax.collections])
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert np.min(distances + 9 * np.eye(10)) > 0.2
    assert np.max(colours @ [0.2126, 0.7152, 0.0722]) < 0.75  # none is as light as the ground


def test_a_plane_without_labels(ax):
    mu = np.random.default_rng(0).standard_normal((40, 2))
    plot.latent_plane(ax, mu, prior=False)
    assert np.array_equal(ax.collections[0].get_offsets(), mu)
    assert not ax.patches


def test_the_circle_holds_95_percent_of_the_prior(ax):
    plot.latent_plane(ax, np.zeros((1, 2)))
    z = np.random.default_rng(0).standard_normal((100_000, 2))
    inside = np.mean(np.linalg.norm(z, axis=1) < ax.patches[0].radius)
    assert inside == pytest.approx(0.95, abs=5 * np.sqrt(0.05 * 0.95 / 100_000))


def test_the_grid_is_the_decoder_at_quantiles(ax):
    vae = VAE.create(6, (8,), 2, rng=np.random.default_rng(0))
    plot.decoded_grid(ax, vae, (2, 3), n=4)
    drawn = picture(ax)
    # the quartiles' middles of N(0, 1): quantiles 1/8, 3/8, 5/8, 7/8, from a table
    z = np.array([-1.150349, -0.318639, 0.318639, 1.150349])
    for row, column in (0, 0), (0, 3), (2, 1):
        at = np.array([[z[column], z[3 - row]]], np.float32)  # z_1 to the right, z_2 upwards
        tile = drawn[2 * row : 2 * row + 2, 3 * column : 3 * column + 3]
        assert np.allclose(tile.ravel(), sigmoid(vae.decode(at))[0], atol=1e-6)
    minus = "\N{MINUS SIGN}"
    for axis in ax.xaxis, ax.yaxis:
        names = [tick.get_text() for tick in axis.get_ticklabels()]
        assert names == [f"{minus}1.2", f"{minus}0.3", "0.3", "1.2"]
    assert ax.get_yticks()[0] > ax.get_yticks()[-1]  # an image's rows count downwards


def test_the_grid_needs_a_plane(ax):
    with pytest.raises(ValueError, match="needs 2 latent dimensions, and the model has 3"):
        plot.decoded_grid(ax, a_model(latent_dim=3), (8, 8))


HISTORY = [
    {"epoch": n, "recon": 30.0 - n, "kl": 1.0 + n, "elbo": -31.0,
     "test_recon": 31.0 - n, "test_kl": 1.5 + n, "test_elbo": -32.5}
    for n in (1, 2, 3)
]  # fmt: skip


def test_the_curve_is_in_nats_and_told_apart_in_black_and_white(ax):
    plot.learning_curve(ax, HISTORY)
    drawn = {tuple(line.get_ydata()): line for line in ax.lines}
    for name in "recon", "kl", "test_recon", "test_kl":
        assert tuple(row[name] for row in HISTORY) in drawn
    assert tuple(-row["test_elbo"] for row in HISTORY) in drawn
    looks = {(line.get_linestyle(), line.get_marker()) for line in ax.lines}
    assert len(looks) == len(ax.lines) == 6
    assert "nats" in ax.get_ylabel()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "test"]


def test_a_curve_without_a_test_set_and_without_a_kl(ax):
    rows = [{"epoch": n, "recon": 30.0 - n, "kl": 0.0, "elbo": n - 30.0} for n in (1, 2)]
    plot.learning_curve(ax, rows)
    assert [list(line.get_ydata()) for line in ax.lines] == [[29, 28]]
    assert ax.get_legend() is None


# --- the figures of a run -----------------------------------------------------------------------


def drawn(model, dataset, history=HISTORY):
    """file name -> title of its figure; drawn to the last dot, so that a warning would show"""
    titles = {}
    with plot.style():
        for name, figure in plot.figures(model, dataset, history, np.random.default_rng(0)):
            figure.savefig(os.devnull, format="png", dpi=20)
            titles[name] = figure.axes[0].get_title(loc="left")
    return titles


@pytest.mark.parametrize(
    "cls, latent_dim, labels",
    [(VAE, 1, True), (VAE, 1, False), (VAE, 2, False), (VAE, 5, True), (Autoencoder, 2, True)],
)
def test_every_run_can_be_drawn(cls, latent_dim, labels, digits):
    dataset = digits if labels else digits._replace(y_train=None, y_test=None)
    titles = drawn(a_model(cls, latent_dim), dataset)
    names = ["samples.png", "reconstructions.png", "latent.png", "grid.png", "curve.png"]
    assert list(titles) == [name for name in names if latent_dim == 2 or name != "grid.png"]
    assert all(titles.values())
    if latent_dim > 2:
        assert "first two principal components of mu" in titles["latent.png"]


@pytest.mark.parametrize("size", [1, 2])
def test_the_smallest_data_can_be_drawn(size):
    x = np.full((size, 1), 0.5, np.float32)
    titles = drawn(a_model(data_dim=1), data.Dataset(x, x, None, None, (1, 1)), [])
    assert "curve.png" not in titles


class Perfect(VAE):
    """It hands back what it gets, and its codes are the label's own place."""

    def reconstruct(self, x):
        return x

    def encode(self, x):
        return x[:, :2], np.zeros((len(x), 2))


def test_titles_are_computed_from_what_is_drawn():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 20)
    x = np.where(y[:, None] == 0, 0.1, 0.9) + 0.01 * rng.random((40, 4))
    dataset = data.Dataset(x, x, y, y, (2, 2))
    perfect = Perfect({}, 4, (8,), 2, "tanh")
    perfect.params = VAE.create(4, (8,), 2, rng=rng).params
    titles = drawn(perfect, dataset)
    assert "keep 100% of their variance" in titles["reconstructions.png"]
    assert (
        "100% of the codes lie next to one with the same label\n(by chance: 50%)"
        in titles["latent.png"]
    )
    blind = drawn(perfect, dataset._replace(y_train=None, y_test=None))
    inside = np.mean(np.linalg.norm(x[:, :2], axis=1) < 2.4477)
    assert blind["latent.png"].startswith(f"{inside:.0%} of the codes lie within the radius")


def test_a_collapsed_decoder_is_seen_in_the_title(digits):
    model = a_model()
    model.params["logits.W"][:] = 0  # whatever z, the same picture
    title = drawn(model, digits)["samples.png"]
    assert "resemble one training image,\nof 1 of the 10 labels" in title


def test_the_curve_says_whether_it_got_worse(digits):
    assert (
        "32.5 nats after 3 epochs = 28.0 recon + 4.5 KL (test)"
        in drawn(a_model(), digits)["curve.png"]
    )
    worse = [*HISTORY, HISTORY[-1] | {"epoch": 4, "test_elbo": -40.0}]
    title = drawn(a_model(), digits, worse)["curve.png"]
    assert title == "32.5 nats at epoch 1 was the best; now 40.0 (test)"


def test_the_plane_of_principal_components_is_that_of_the_covariance():
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((500, 4)) @ np.diag([3.0, 0.1, 2.0, 0.2]) + 5
    plane, share = plot._principal_plane(codes)
    values = np.linalg.eigvalsh(np.cov(codes.T))[::-1]
    assert np.allclose(np.var(plane, axis=0, ddof=1), values[:2])
    assert share == pytest.approx(values[:2].sum() / values.sum())


# --- manners ------------------------------------------------------------------------------------


def test_no_screen_is_needed_and_nothing_global_changes():
    code = (
        "import matplotlib as mpl; before = dict(mpl.rcParams)\n"
        "from tinyvae import plot\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert dict(mpl.rcParams) == before\n"
    )
    subprocess.run([sys.executable, "-c", code], env=kill.ENVIRONMENT | {"DISPLAY": ":77"},
                   check=True)  # fmt: skip


def test_the_style_ends_with_its_context():
    before = mpl.rcParams["font.size"]
    with plot.style():
        assert mpl.rcParams["font.size"] == plot.STYLE["font.size"] >= 14
    assert mpl.rcParams["font.size"] == before


def test_drawing_is_repeatable_to_the_byte(digits, tmp_path):
    rng = np.random.default_rng(0)
    vae = a_model()
    history = fit(vae, digits.x_train, epochs=1, rng=rng, x_test=digits.x_test, report=silent)
    for folder in "a", "b":
        (tmp_path / folder).mkdir()
        with plot.style():
            for name, figure in plot.figures(vae, digits, history, np.random.default_rng(3)):
                figure.savefig(tmp_path / folder / name, dpi=20)
    assert kill.contents(tmp_path / "a") == kill.contents(tmp_path / "b")
