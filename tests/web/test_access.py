"""For whom the pages are: by keyboard, on a phone, in the dark, read aloud; how quick they are."""

import re

import pytest

from tests.web.helpers import missing, planted
from tests.web.test_explorer import FRAMES, state_of
from tools import explorers

PAGES = "digits.html", "gaussians.html"
SIZES = (375, 667), (320, 568), (1200, 800)


def text_of(name):
    return (explorers.FOLDER / name).read_text("utf-8")


def violations(page):
    """What axe-core finds against WCAG 2.2 A and AA, and its own best practices"""
    try:
        from axe_playwright_python import sync_playwright as axe
    except ImportError:
        missing("axe-playwright-python (pip install -e '.[test]')")
    return [
        (v["id"], [node["html"] for node in v["nodes"]])
        for v in axe.Axe().run(page).response["violations"]
    ]


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(opens, name):
    for scheme in "light", "dark":
        with opens(text_of(name), color_scheme=scheme) as page:
            assert violations(page) == []
            assert page.evaluate("THEME.paper") == {"light": "#ffffff", "dark": "#15181b"}[scheme]


@pytest.mark.parametrize(
    "right, wrong",
    [
        ('aria-label="z1"', ""),
        ("--soft: #55595e", "--soft: #b5b9be"),
        ('<html lang="en">', "<html>"),
    ],
)
def test_axe_sees_what_is_planted(opens, right, wrong):
    text = text_of("digits.html").replace('z<sub>1</sub></span><input id="z1"',
                                          '</span><input id="z1"')  # fmt: skip
    with opens(planted(text, right, wrong)) as page:
        assert violations(page)


# --- sizes ---------------------------------------------------------------------------------------


def fits(page, width, height, name):
    """Nothing sideways, targets of 24 px, and what belongs together on one screen"""
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, canvas[tabindex], a")]
            .map((e) => [e.id || e.textContent, e.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.width < 24 || box.height < 24))
            .map(([id, box]) => `${id}: ${box.width} x ${box.height}`)"""
    )
    assert small == []
    if name == "digits.html":
        for selector in "#plane", "#x", "#y":
            box = page.locator(selector).bounding_box()
            assert box["y"] >= 0 and box["y"] + box["height"] <= height, selector
            assert box["x"] >= 0 and box["x"] + box["width"] <= width, selector
    if (name, width) == ("digits.html", 1200):  # a projector: all figures beside the plane
        box = page.locator("#says-recon-z").bounding_box()
        assert box["y"] + box["height"] <= height


@pytest.mark.parametrize("name", PAGES)
def test_pages_fit_phones_and_projectors(opens, name):
    with opens(text_of(name), width=1200, height=800) as page:
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            page.evaluate(FRAMES)
            fits(page, width, height, name)


@pytest.mark.parametrize(
    "style",
    ["main { min-width: 30rem }", "button { min-height: 1rem; padding: 0; line-height: 1 }",
     "#plane { margin-top: 20rem }"],
)  # fmt: skip
def test_page_that_does_not_fit_is_seen(opens, style):
    with opens(text_of("digits.html").replace("</style>", f"{style}</style>"), width=375,
               height=667) as page, pytest.raises(AssertionError):  # fmt: skip
        fits(page, 375, 667, "digits.html")


# --- keyboard and speech -------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_tab_reaches_everything_that_can_be_touched(opens, name):
    with opens(text_of(name)) as page:
        wanted = page.evaluate(
            """() => {
                const all = [...document.querySelectorAll("button, input, canvas[tabindex]")];
                all.forEach((e, i) => { e.dataset.stop = i; });
                const stops = all.filter((e) => e.type !== "radio" || e.checked);
                return stops.map((e) => e.dataset.stop);
            }"""
        )
        reached = []
        for _ in wanted:
            page.keyboard.press("Tab")
            stop, outline = page.evaluate(
                """() => [document.activeElement.dataset.stop,
                          getComputedStyle(document.activeElement).outlineStyle]"""
            )
            assert outline != "none"
            reached.append(stop)
        assert sorted(reached, key=int) == sorted(wanted, key=int)
        held = page.evaluate(
            """() => [...document.querySelectorAll("canvas")].filter((c) =>
                getComputedStyle(c).cursor === "crosshair" && c.tabIndex < 0).length"""
        )
        assert held == 0


def test_speech_waits_until_z_stands_still(opens):
    with opens(text_of("digits.html")) as page:
        page.wait_for_timeout(700)
        page.evaluate(
            """() => {
                window.heard = [];
                new MutationObserver(() => heard.push($("live").textContent))
                    .observe($("live"), { childList: true });
            }"""
        )
        for _ in range(8):
            page.locator("#plane").press("ArrowUp")
        assert page.evaluate("heard.length") == 0
        page.wait_for_timeout(900)
        z = state_of(page)["z"]
        (heard,) = page.evaluate("heard")
        assert f"{z[1]:.1f}" in heard and "ELBO" in heard


# --- nothing asked for ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_page_forbids_itself_all_requests(name):
    text = text_of(name)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    inline = "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert policy == f"default-src 'none'; {inline}"
    assert not re.search(r"https?://|//cdn|@import|url\(|<link|fetch\(|XMLHttp|import\(", text)


@pytest.mark.parametrize(
    "planted_",
    [
        "<img src='https://example.org/a.png' alt='a'>",
        "<script>fetch('https://example.org/a')</script>",
        "<script>console.log('a')</script>",
        "<script>throw new Error('a')</script>",
    ],
)
def test_request_or_error_is_seen(opens, planted_):
    with (
        pytest.raises(AssertionError, match=r"example|'a'|Error|a\b"),
        opens(text_of("gaussians.html").replace("</main>", f"</main>{planted_}")) as page,
    ):
        page.wait_for_timeout(200)


# --- quickly -------------------------------------------------------------------------------------


def busy(page, act):
    """The milliseconds that the page's own thread works at something, whatever else runs here"""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    times = []
    for do in (lambda: None), act:
        do()
        metrics = session.send("Performance.getMetrics")["metrics"]
        times += [1000 * m["value"] for m in metrics if m["name"] == "TaskDuration"]
    return times[1] - times[0]


def load_again(page):
    page.reload()
    page.wait_for_selector("html[data-ready]")


def quick(page):
    """A frame while dragging takes 16 ms, a new digit 100, and the page is ready in 2 s."""
    move = "for (let i = 0; i < 20; i++) { state.z = [Math.cos(i), Math.sin(i)]; showZ(); }"
    choose = "for (let i = 0; i < 20; i++) setX(digit(i), i);"
    assert busy(page, lambda: load_again(page)) <= 2000
    assert busy(page, lambda: page.evaluate(move)) / 20 <= 16
    assert busy(page, lambda: page.evaluate(choose)) / 20 <= 100


def test_pages_are_quick(opens, page_8x8, page_28x28):
    for text in page_8x8, page_28x28:
        with opens(text) as page:
            quick(page)


def test_slow_page_is_seen(opens, page_8x8):
    work = "for (let i = 0; i < 1e8; i++) window.spun = i;"
    slow = planted(page_8x8, "function sayPixel() {", f"function sayPixel() {{ {work}")
    with opens(slow) as page, pytest.raises(AssertionError):
        quick(page)


def test_without_a_browser_tests_are_skipped_here_and_fail_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        missing("Chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium, and CI=true"):
        missing("Chromium")
