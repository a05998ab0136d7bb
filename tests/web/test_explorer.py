"""The explorer's page as a reader uses it: touch, mouse, keys, sliders; and what it then shows."""

import re

import numpy as np
import pytest

from tests.web.helpers import digits_of, packed_of, planted, vae_of
from tinyvae import bernoulli, gaussian
from tinyvae.layers import sigmoid
from tools import explorers

STATE = """() => ({ z: [...state.z], x: [...state.x], mu: [...state.q.mu], number: state.number,
    logvar: [...state.q.logvar], p: [...state.p], half: HALF })"""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def state_of(page):
    """What the page knows, when it has drawn it"""
    page.evaluate(FRAMES)
    return {k: np.array(v) if isinstance(v, list) else v for k, v in page.evaluate(STATE).items()}


def place(page, selector, u, v):
    """The point of an element at u, v in [0, 1], in the window"""
    page.locator(selector).scroll_into_view_if_needed()
    box = page.locator(selector).bounding_box()
    return box["x"] + u * box["width"], box["y"] + v * box["height"]


def greys(page, selector, rows, columns):
    """How much ink the canvas shows in the middle of each pixel, from 0 to 1"""
    return np.array(
        page.evaluate(
            """([selector, rows, columns]) => {
                const shown = document.querySelector(selector);
                const canvas = new OffscreenCanvas(shown.width, shown.height);
                const c = canvas.getContext("2d", { willReadFrequently: true });
                c.drawImage(shown, 0, 0);
                const paper = rgb(THEME.paper)[0], ink = rgb(THEME.ink)[0], seen = [];
                for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) {
                    const x = ((j + 0.5) / columns) * canvas.width;
                    const y = ((i + 0.5) / rows) * canvas.height;
                    seen.push((c.getImageData(x, y, 1, 1).data[0] - paper) / (ink - paper));
                }
                return seen;
            }""",
            [selector, rows, columns],
        )
    )


def shows_what_is_decoded_at(page, vae, z):
    """z is where it should be, and the picture is p(x|z) there, by NumPy, to 1/100"""
    state = state_of(page)
    assert np.abs(state["z"] - z).max() < 0.03, (state["z"], z)
    rows, columns = page.evaluate("[ROWS, COLUMNS]")
    p = sigmoid(vae.decode(state["z"]))
    assert np.abs(state["p"] - p).max() < 1e-12
    assert np.abs(greys(page, "#y", rows, columns) - p).max() < 0.01
    for i in (1, 2):
        said = page.locator(f"#z{i}-says").inner_text().replace("\N{MINUS SIGN}", "-")
        assert abs(float(said) - state["z"][i - 1]) < 0.006
        assert abs(float(page.locator(f"#z{i}").input_value()) - state["z"][i - 1]) < 0.006


# --- z moves -----------------------------------------------------------------------------------


def moves(page, vae):
    """Mouse, keys and sliders each move z, and the picture with it"""
    half = page.evaluate("HALF")
    page.mouse.move(*place(page, "#plane", 0.5, 0.5))
    page.mouse.down()
    page.mouse.move(*place(page, "#plane", 0.75, 0.4), steps=4)
    shows_what_is_decoded_at(page, vae, [half / 2, 0.2 * half])  # while the button is down
    page.mouse.up()
    page.mouse.move(*place(page, "#plane", 0.1, 0.1))
    shows_what_is_decoded_at(page, vae, [half / 2, 0.2 * half])  # it stays where it was let go

    z = state_of(page)["z"]
    for key, step in {
        "ArrowLeft": (-0.1, 0), "ArrowUp": (0, 0.1), "Shift+ArrowRight": (0.5, 0),
        "ArrowDown": (0, -0.1), "Shift+ArrowDown": (0, -0.5),
    }.items():  # fmt: skip
        page.locator("#plane").press(key)
        z = z + step
        shows_what_is_decoded_at(page, vae, z)
    page.locator("#plane").press("Home")
    shows_what_is_decoded_at(page, vae, state_of(page)["mu"])

    for i, value in ((1, -1.25), (2, 0.75)):
        page.locator(f"#z{i}").fill(str(value))
    shows_what_is_decoded_at(page, vae, [-1.25, 0.75])
    page.locator("#z1").press("ArrowRight")
    shows_what_is_decoded_at(page, vae, [-1.24, 0.75])


def test_mouse_keys_and_sliders_move_z_and_the_picture(opens, page_8x8):
    with opens(page_8x8) as page:
        moves(page, vae_of(packed_of(page_8x8)))


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("(2 * u - 1) * half(), (1 - 2 * v)", "(2 * u - 1) * half(), (2 * v - 1)"),
        ("z[i] = Number(event.target.value)", "z[1 - i] = Number(event.target.value)"),
        ("state.z[1] + step * up", "state.z[1] - step * up"),
        ("value[d];\n    image.data[4 * d + 3]", "(1 - value[d]);\n    image.data[4 * d + 3]"),
        ("if (canvas.hasPointerCapture(event.pointerId)) at", "at"),
    ],
)
def test_wrong_move_is_seen(opens, page_8x8, right, wrong):
    with opens(planted(page_8x8, right, wrong)) as page, pytest.raises(AssertionError):
        moves(page, vae_of(packed_of(page_8x8)))


def test_touch_moves_z_and_draws(opens, page_8x8):
    with opens(page_8x8, width=375, height=667, has_touch=True, is_mobile=True) as page:
        half = page.evaluate("HALF")
        page.touchscreen.tap(*place(page, "#plane", 0.25, 0.7))
        shows_what_is_decoded_at(page, vae_of(packed_of(page_8x8)), [-half / 2, -0.4 * half])
        drags = page.context.new_cdp_session(page)
        steps = [place(page, "#plane", u, 0.5) for u in (0.3, 0.5, 0.8)]
        for kind, points in ("touchStart", steps[:1]), ("touchMove", steps[1:]), ("touchEnd", []):
            for x, y in points or [(None, None)]:
                touch = [] if x is None else [{"x": x, "y": y}]
                drags.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touch})
        shows_what_is_decoded_at(page, vae_of(packed_of(page_8x8)), [0.6 * half, 0])

        before = state_of(page)
        page.touchscreen.tap(*place(page, "#x", 1.5 / 8, 2.5 / 8))
        after = state_of(page)
        assert np.flatnonzero(after["x"] != before["x"]).tolist() == [2 * 8 + 1]


# --- x changes -----------------------------------------------------------------------------------


def figures(page):
    """What the table of the bound says, in nats"""
    said = {
        name: page.locator(f"#says-{name}").inner_text().replace("\N{MINUS SIGN}", "-")
        for name in ("recon", "kl", "elbo", "gap", "log-px", "recon-z")
    }
    assert all(re.fullmatch(r"-?\d+\.\d\d", text) for text in said.values()), said
    return {name: float(text) for name, text in said.items()}


def exact_log_px(vae, x):
    """log p(x) by a grid of its own: finer and wider than the page's"""
    line = np.linspace(-6, 6, 181) if len(x) < 100 else np.linspace(-5, 5, 151)
    z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    nlls = np.concatenate([bernoulli.nll(vae.decode(part), x) for part in np.array_split(z, 20)])
    log_joint = -nlls - 0.5 * (z**2).sum(axis=1) - np.log(2 * np.pi) + 2 * np.log(line[1] - line[0])
    return np.logaddexp.reduce(log_joint)


def adds_up(page, vae):
    """The figures are those of this x and this z, and add up as they are printed"""
    said, state = figures(page), state_of(page)
    mu, logvar = vae.encode(state["x"][None])
    assert np.abs(state["mu"] - mu).max() < 1e-12
    assert np.abs(state["logvar"] - logvar).max() < 1e-12
    assert abs(said["kl"] - gaussian.kl_to_standard_normal(mu, logvar)[0]) < 0.006
    assert abs(said["recon-z"] - bernoulli.nll(vae.decode(state["z"]), state["x"])) < 0.006
    assert abs(said["log-px"] - exact_log_px(vae, state["x"])) < 0.02
    assert abs(said["recon"] + said["kl"] + said["elbo"]) < 1e-9
    assert abs(said["elbo"] + said["gap"] - said["log-px"]) < 1e-9
    assert said["gap"] >= 0
    upper, lower = (
        page.evaluate(
            """(id) => [...document.getElementById(id).children].map((e) => e.offsetWidth)""", id
        )
        for id in ("bar-bound", "bar-truth")
    )
    whole, start = (
        -said["elbo"],
        int(page.evaluate("$('bar-says').textContent.split(' ').at(-1)") or 0),
    )
    assert abs(sum(upper) - sum(lower)) <= 2
    assert abs(upper[1] / sum(upper) - said["kl"] / (whole - start)) < 0.01
    assert abs(lower[1] / sum(lower) - said["gap"] / (whole - start)) < 0.01


def draws(page, vae):
    """Choosing, mouse and keys change x; all figures follow"""
    digits = digits_of(packed_of(page.content()))
    adds_up(page, vae)
    page.locator("#labels button", has_text="7").click()
    chosen = state_of(page)
    assert packed_of(page.content())["labels"][chosen["number"]] == 7
    assert (chosen["x"] == digits[chosen["number"]]).all()
    assert np.abs(chosen["z"] - chosen["mu"]).max() < 1e-12
    adds_up(page, vae)
    page.locator("#labels button", has_text="7").click()
    assert state_of(page)["number"] > chosen["number"]  # the next of its kind
    page.locator("#number").fill("12")
    page.locator("#number").press("Enter")
    assert (state_of(page)["x"] == digits[12]).all()
    page.locator("#clear").click()
    assert not state_of(page)["x"].any()

    page.mouse.move(*place(page, "#x", 2.5 / 8, 1.5 / 8))
    page.mouse.down()
    page.mouse.move(*place(page, "#x", 2.5 / 8, 6.5 / 8), steps=20)
    page.mouse.up()
    assert np.flatnonzero(state_of(page)["x"]).tolist() == [8 * row + 2 for row in range(1, 7)]
    assert np.abs(greys(page, "#x", 8, 8) - state_of(page)["x"]).max() < 0.01
    adds_up(page, vae)

    page.locator("#clear").click()
    for key in ("ArrowRight", "Space", "ArrowUp", "ArrowLeft", "Enter"):  # from the middle, (4, 4)
        page.locator("#x").press(key)
    assert np.flatnonzero(state_of(page)["x"]).tolist() == [3 * 8 + 4, 4 * 8 + 5]
    page.locator("#x").press("Space")
    assert np.flatnonzero(state_of(page)["x"]).tolist() == [4 * 8 + 5]
    adds_up(page, vae)
    page.locator("#take").click()
    assert state_of(page)["x"].sum() > 5


def test_choosing_and_drawing_change_x_and_every_figure(opens, page_8x8):
    with opens(page_8x8) as page:
        draws(page, vae_of(packed_of(page_8x8)))


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("const elbo = -(recon + klQ);", "const elbo = -(recon - klQ);"),
        ("round(state.posterior.log_px - elbo)", "round(state.posterior.log_px - elbo) + 1"),
        ("state.posterior = grid.ready ? posterior(MODEL, grid, state.x)",
         "state.posterior ||= grid.ready ? posterior(MODEL, grid, state.x)"),
        ("[recon - start, ", "[recon, "),
        ("const turnPixel = () => {", "const turnPixel = () => { return;"),
        ("if (first) pen = 1 - state.x[pixel];", "pen = 1 - state.x[pixel];"),
    ],
)  # fmt: skip
def test_wrong_figure_is_seen(opens, page_8x8, right, wrong):
    with opens(planted(page_8x8, right, wrong)) as page, pytest.raises(AssertionError):
        draws(page, vae_of(packed_of(page_8x8)))


def test_grid_that_is_too_coarse_says_so(opens, page_8x8):
    """A bound above log p(x) would be an error of the grid, and is not shown as a gap of 0."""
    coarse = planted(page_8x8, "Math.max(0.1, GRID_HALF / 80)", "1.5")
    with opens(coarse, address="#x=12") as page:
        assert page.locator("#says-gap").inner_text() == "the grid is too coarse"
        assert page.locator("#says-log-px").inner_text() == "the grid is too coarse"


# --- what the plane shows ------------------------------------------------------------------------


def plane_is_to_scale(page):
    """Ellipses of q: mu and exp(logvar / 2) in pixels.  The cloud lies where the posterior does.

    Then z = mu + sigma eps, for the eps that is shown.
    """
    state = state_of(page)
    size, ellipses, cloud = page.evaluate(
        """() => {
            const real = CanvasRenderingContext2D.prototype.ellipse, seen = [];
            CanvasRenderingContext2D.prototype.ellipse = function (...is) { seen.push(is); };
            plane.draw();
            CanvasRenderingContext2D.prototype.ellipse = real;
            const canvas = document.createElement("canvas"), own = canvas.getContext("2d");
            canvas.width = canvas.height = 300;
            drawCloud(own, 300);
            const ink = own.getImageData(0, 0, 300, 300).data, cloud = [0, 0, 0], p = [0, 0, 0];
            for (let i = 0; i < 300; i++) for (let j = 0; j < 300; j++) {
                const weight = ink[4 * (300 * i + j) + 3] ** 2; // the density's root is drawn
                cloud[0] += weight;
                cloud[1] += weight * HALF * ((2 * j + 1) / 300 - 1);
                cloud[2] += weight * HALF * (1 - (2 * i + 1) / 300);
            }
            state.posterior.p.forEach((v, g) => {
                const z = gridPoint(grid, g);
                if (Math.max(...z.map(Math.abs)) > HALF) return;
                p[0] += v; p[1] += v * z[0]; p[2] += v * z[1];
            });
            return [plane.width, seen, [cloud, p].map((m) => [m[1] / m[0], m[2] / m[0]])];
        }"""
    )
    scale = size / (2 * state["half"])
    x, y = size / 2 + state["mu"][0] * scale, size / 2 - state["mu"][1] * scale
    for r in (1, 2):
        radii = r * np.exp(state["logvar"] / 2) * scale
        wanted = np.array([x, y, *radii])
        assert any(np.abs(np.array(e[:4]) - wanted).max() < 0.01 for e in ellipses), (r, ellipses)
    assert np.abs(np.subtract(*cloud)).max() < 0.03, cloud

    page.locator("#draw-eps").click()
    said = page.locator("#eps-says").inner_text().replace("\N{MINUS SIGN}", "-")
    z, mu, sigma, eps = np.array(re.findall(r"-?\d+\.\d+", said), float).reshape(4, 2)
    drawn = state_of(page)
    assert np.abs(sigma - np.exp(drawn["logvar"] / 2)).max() < 0.006
    assert np.abs(drawn["z"] - (drawn["mu"] + np.exp(drawn["logvar"] / 2) * eps)).max() < 0.01
    assert np.abs(drawn["z"] - z).max() < 0.006 and np.abs(mu - drawn["mu"]).max() < 0.006


def test_ellipses_and_posterior_are_to_scale(opens, page_8x8):
    with opens(page_8x8, address="#x=3") as page:
        plane_is_to_scale(page)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("r * Math.exp(logvar / 2) * scale", "r * Math.exp(logvar) * scale"),
        ("r * Math.exp(logvar / 2) * scale", "1.3 * r * Math.exp(logvar / 2) * scale"),
        ("side - 1 - Math.floor(g / side)", "Math.floor(g / side)"),
        ("(grid.half + grid.cell / 2) * size", "HALF * size"),
        ("[...reparameterize(state.q.mu, state.q.logvar, eps)]",
         "[...reparameterize(state.q.mu, state.q.logvar, eps.map((e) => e / 2))]"),
    ],
)  # fmt: skip
def test_wrong_scale_is_seen(opens, page_8x8, right, wrong):
    text = planted(page_8x8, right, wrong)
    with opens(text, address="#x=3") as page, pytest.raises(AssertionError):
        plane_is_to_scale(page)


def test_pixels_numbers_decoded_plane_walk_and_ink(opens, page_8x8):
    vae, packed = vae_of(packed_of(page_8x8)), packed_of(page_8x8)
    with opens(page_8x8, address="#x=12", reduced_motion="reduce") as page:
        page.mouse.move(*place(page, "#y", 3.5 / 8, 2.5 / 8))
        state = state_of(page)
        assert (
            f"row 3, column 4: {state['p'][2 * 8 + 3]:.3f}" in page.locator("#y-says").inner_text()
        )
        for key in ("ArrowDown", "ArrowRight"):
            page.locator("#y").press(key)
        said, pixel = page.locator("#y-says").inner_text(), 3 * 8 + 4
        cost = bernoulli.nll(vae.decode(state["z"])[pixel:][:1], state["x"][pixel:][:1])
        assert f"row 4, column 5: {state['p'][pixel]:.3f}" in said
        assert f"{cost:.3f} nats" in said

        before = page.evaluate("$('plane').toDataURL()")
        page.locator("#show-decoded").check()
        page.evaluate(FRAMES)
        assert page.evaluate("$('plane').toDataURL()") != before
        before = page.evaluate("$('y').toDataURL()")
        page.locator("#show-numbers").check()
        page.evaluate(FRAMES)
        assert page.evaluate("$('y').toDataURL()") != before

        codes = vae.encode(digits_of(packed))[0]
        page.locator("#walk-way").fill("0.25")
        assert np.abs(state_of(page)["z"] - (0.75 * codes[9] + 0.25 * codes[16])).max() < 1e-9
        page.locator("#walk-to").fill("20")
        page.locator("#walk-to").press("Enter")
        page.locator("#walk-play").click()  # reduced motion: one step of eight for each press
        assert np.abs(state_of(page)["z"] - (codes[9] + (codes[20] - codes[9]) / 8)).max() < 1e-9

        page.wait_for_timeout(300)
        n = page.evaluate("draws.n")
        for _ in range(200):
            page.evaluate("drawInk(false)")
        assert page.evaluate("draws.n") == n + 1600
        average = np.array(page.evaluate("[...draws.sum].map((s) => s / draws.n)"))
        assert np.abs(average - state_of(page)["p"]).max() < 5 * 0.5 / np.sqrt(1600)
        page.locator("#ink-again").click()
        assert f"average of {n + 1608} draws" in page.locator("#ink-says").inner_text()


def test_walk_moves_by_itself_and_stops(opens, page_8x8):
    with opens(page_8x8) as page:
        page.locator("#walk-play").click()
        page.wait_for_timeout(700)
        page.locator("#walk-play").click()
        way = float(page.locator("#walk-way").input_value())
        assert 0 < way < 1
        page.wait_for_timeout(200)
        assert float(page.locator("#walk-way").input_value()) == way


# --- the address ---------------------------------------------------------------------------------


def test_address_holds_x_and_z(opens, page_8x8):
    with opens(page_8x8, address="#x=12&z=0.3,-1") as page:
        state = state_of(page)
        assert state["number"] == 12 and state["z"].tolist() == [0.3, -1]
        page.locator("#plane").press("ArrowUp")
        page.wait_for_timeout(300)
        assert page.url.endswith("#x=12&z=0.3,-0.9")
        page.locator("#x").press("Space")
        page.wait_for_timeout(300)
        drawn, address = state_of(page)["x"], page.url.split("#")[1]
        assert re.fullmatch(r"pixels=[0-9a-f]{16}&z=-?[\d.]+,-?[\d.]+", address)
        page.evaluate("location.hash = '#x=0'")
        page.wait_for_timeout(100)
        assert state_of(page)["number"] == 0
        page.evaluate("(address) => { location.hash = address }", address)
        page.wait_for_timeout(100)
        assert (state_of(page)["x"] == drawn).all()
        for odd in (
            "x=9999",
            "x=-1",
            "x=1.5",
            "x=abc",
            "z=1",
            "z=a,b",
            "z=NaN,1",
            "pixels=zz",
            "%",
            "",
        ):
            before = state_of(page)
            page.evaluate("(address) => { location.hash = address }", odd)
            page.wait_for_timeout(30)
            assert (state_of(page)["x"] == before["x"]).all(), odd
            assert np.isfinite(state_of(page)["z"]).all(), odd
        page.evaluate("location.hash = '#z=99,-99'")
        page.wait_for_timeout(100)
        assert np.abs(state_of(page)["z"]).max() == state_of(page)["half"]


def guide():
    """The rows of docs/explorer.md: the link's address, and its four figures"""
    text = (explorers.FOLDER.parent / "explorer.md").read_text("utf-8")
    row = re.compile(
        r"^\| \[[^]]*\]\(explorer/digits\.html(#[^)]*)\) \|.*?" + r"\| (-?[\d.]+) " * 4, re.M
    )
    return [(found[0], [float(n) for n in found[1:]]) for found in row.findall(text)]


def test_figures_of_the_teachers_page(opens, page_8x8):
    rows = guide()
    assert len(rows) == 9
    with opens(page_8x8) as page:
        for address, numbers in rows:
            page.evaluate("(address) => { location.hash = address; }", address)
            page.wait_for_timeout(50)
            said = figures(page)
            assert [said[name] for name in ("recon", "kl", "gap", "log-px")] == numbers, address


@pytest.mark.slow
def test_costs_of_the_teachers_page(opens, page_8x8):
    with opens(page_8x8) as page:
        page.evaluate("() => { while (training.epoch < EPOCHS) trainBatch(); showTraining(); }")
        costs = page.evaluate("nets.map((net) => net.cost.toFixed(1))")
        text = (explorers.FOLDER.parent / "explorer.md").read_text("utf-8")
        said = "autoencoder {}, and recon + KL of {} (beta 0.25), {} (beta 1), {}"
        assert said.format(*costs) in text


# --- training ------------------------------------------------------------------------------------


def learns(page):
    """Four networks learn beside each other: curve and planes move; pause holds, again restarts"""
    nets = """() => nets.map((net) => ({ costs: net.costs, codes: [...net.codes],
        logvar: [...net.model.params["logvar.W"]], noise: net.loss.noise, beta: net.loss.beta }))"""
    page.evaluate("training.order")
    first = page.evaluate(nets)
    assert [(net["noise"], net["beta"]) for net in first] == [(0, 0), (1, 0.25), (1, 1), (1, 4)]
    assert all(net["codes"] == first[0]["codes"] for net in first)  # the same first weights
    pictures = (
        "() => [...document.querySelectorAll('#nets canvas, #curve')].map((c) => c.toDataURL())"
    )
    page.locator("#train").scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    before = page.evaluate(pictures)
    page.locator("#train").click()
    for _ in range(200):
        page.wait_for_timeout(50)
        if page.evaluate("training.epoch") >= 1:
            break
    page.locator("#train").click()  # pause
    epoch = page.evaluate("training.epoch")
    page.wait_for_timeout(150)
    assert page.evaluate("training.epoch") == epoch
    epoch = page.evaluate(
        """() => {
            while (training.epoch < 12) trainBatch();
            showTraining();
            return training.epoch;
        }"""
    )
    page.evaluate(FRAMES)
    second, after = page.evaluate(nets), page.evaluate(pictures)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert page.locator("#train-says").inner_text() == f"epoch {epoch} of 100"
    for net, start in zip(second, first, strict=True):
        assert len(net["costs"]) == epoch + 1
        assert net["costs"][-1] < 0.75 * net["costs"][0]  # nats
        assert net["codes"] != start["codes"]
    assert second[0]["logvar"] == first[0]["logvar"]  # no noise and no KL: nothing asks for sigma
    spread = [np.std(net["codes"]) for net in second]
    assert spread[0] > spread[2] > spread[3]  # the KL holds the codes together
    page.locator("#train-again").click()
    assert page.evaluate(nets) == first
    before = page.evaluate("[...state.z]")
    page.locator("#nets canvas").first.press("ArrowRight")  # z is one for all planes
    assert np.allclose(state_of(page)["z"], [before[0] + 0.1, before[1]])


def test_four_networks_learn_in_the_page(opens, page_8x8):
    with opens(page_8x8) as page:
        learns(page)


@pytest.mark.parametrize(
    "right, wrong",
    [
        ("(e) => net.loss.noise * e", "(e) => e"),
        ("      net.loss.beta,\n", "      1,\n"),
        ("adamStep(net.adam, net.model.params, grads, RATE);", ""),
        ("createModel(D, 32, 2, createRandom(7).uniform)", "createModel(D, 32, 2, random.uniform)"),
    ],
)
def test_wrong_training_is_seen(opens, page_8x8, right, wrong):
    with opens(planted(page_8x8, right, wrong)) as page, pytest.raises(AssertionError):
        learns(page)


def test_large_pictures_are_explored_alike_and_not_trained_on(opens, page_28x28):
    with opens(page_28x28, address="#x=3") as page:
        assert page.locator("#training").count() == 0
        plane_is_to_scale(page)
        adds_up(page, vae_of(packed_of(page_28x28)))
