// What both pages share: canvases that fit their place, the theme's colours, pointers and keys.

const $ = (id) => document.getElementById(id);
const THEME = {};
const LABEL_COLOURS = {
  // told apart by their numeral, too; each 4.5 : 1 on its paper
  light: [
    "#0068a3",
    "#b84a00",
    "#00735a",
    "#9c3f74",
    "#7a5a00",
    "#2f6f9e",
    "#5b3fa8",
    "#555555",
    "#8f2020",
    "#006a75",
  ],
  dark: [
    "#74bdea",
    "#ffa062",
    "#54cfa9",
    "#ee9ac6",
    "#e6bd45",
    "#9fd3f5",
    "#c0aaff",
    "#c4c4c4",
    "#ff9a9a",
    "#62d2dd",
  ],
};
const darkly = matchMedia("(prefers-color-scheme: dark)");
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
const surfaces = [];

function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of [
    "paper",
    "card",
    "ink",
    "soft",
    "line",
    "edge",
    "blue",
    "orange",
    "green",
    "orange-fill",
    "blue-fill",
  ]) {
    THEME[name] = style.getPropertyValue(`--${name}`).trim();
  }
  THEME.labels = LABEL_COLOURS[darkly.matches ? "dark" : "light"];
}
readTheme();
darkly.addEventListener("change", () => {
  readTheme();
  surfaces.forEach((surface) => surface.soon());
});

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

function createSurface(canvas, aspect, draw) {
  // draw(context, width, height), in CSS pixels
  const surface = { canvas, width: 0, height: 0, waiting: 0 };
  surface.draw = () => {
    cancelAnimationFrame(surface.waiting);
    surface.waiting = 0;
    const width = canvas.clientWidth,
      ratio = Math.min(devicePixelRatio || 1, 2);
    if (!width) return;
    const height = Math.round(width * (typeof aspect === "function" ? aspect(width) : aspect));
    if (
      canvas.width !== Math.round(width * ratio) ||
      canvas.height !== Math.round(height * ratio)
    ) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.aspectRatio = `${width} / ${height}`;
    }
    Object.assign(surface, { width, height, ratio });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    draw(context, width, height);
  };
  surface.soon = () => {
    surface.waiting ||= requestAnimationFrame(surface.draw);
  };
  new ResizeObserver(surface.soon).observe(canvas);
  surfaces.push(surface);
  return surface;
}

function onPointer(canvas, act) {
  // act(u, v, first), u and v in [0, 1] from the upper left corner
  const at = (event, first) => {
    const box = canvas.getBoundingClientRect();
    act(
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
      first,
      event,
    );
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    at(event, true);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) at(event, false);
  });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function onArrows(canvas, act, others = {}) {
  // act(right, up, event); others: key -> function
  canvas.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (ARROWS[event.key]) act(...ARROWS[event.key], event);
    else if (others[event.key]) others[event.key](event);
    else return;
    event.preventDefault();
  });
}

const clip = (value, low, high) => Math.max(low, Math.min(high, value));
const fixed = (value, digits = 2) => {
  // with a true minus, and no minus before zero
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "\u2212");
};
const pair = (v, digits = 2) => `(${fixed(v[0], digits)}, ${fixed(v[1], digits)})`;

const timers = {};
function later(name, wait, act) {
  // act once, when nothing has asked again for so many milliseconds
  clearTimeout(timers[name]);
  timers[name] = setTimeout(act, wait);
}

const say = (text, wait = 600) =>
  // to who listens to the page, when things stand still
  later("live", wait, () => {
    $("live").textContent = text;
  });

function setBar(id, parts) {
  // parts: [length, text] each; the text stands where it fits
  const bar = $(id),
    total = parts.reduce((sum, [length]) => sum + length, 0);
  parts.forEach(([length, text], i) => {
    const share = total > 0 ? Math.max(0, length / total) : 0,
      piece = bar.children[i];
    piece.style.width = `${100 * share}%`;
    piece.style.display = share > 0 ? "" : "none";
    piece.textContent = share * bar.clientWidth > 7.5 * text.length + 16 ? text : "";
  });
}

function ellipse(context, x, y, a, b, angle = 0) {
  context.beginPath();
  context.ellipse(x, y, a, b, angle, 0, 2 * Math.PI);
}
