// The behaviour of the explorer.  The mathematics is above, in vae.js.

const MODEL = unpackModel(PACKED),
  [ROWS, COLUMNS] = PACKED.shape,
  D = ROWS * COLUMNS;
const DIGITS = unpackImages(PACKED.digits, D),
  COUNT = DIGITS.length / D;
const CODES = encode(MODEL, DIGITS).mu;
const digit = (n) => DIGITS.slice(n * D, n * D + D);
const code = (n) => [CODES[2 * n], CODES[2 * n + 1]];
const HALF = clip(
  Math.ceil(2 * (0.25 + CODES.reduce((m, v) => Math.max(m, Math.abs(v)), 0))) / 2,
  3,
  12,
);
const GRID_HALF = Math.max(HALF, Math.min(HALF + 1.5, 5)); // beyond what is shown
const grid = createGrid(GRID_HALF, Math.max(0.1, GRID_HALF / 80));
const random = createRandom(1);
const state = {
  x: digit(0),
  number: 0,
  z: [0, 0],
  q: null,
  posterior: null,
  drawn: [],
  pixel: -1,
  cursor: -1,
};

// --- pictures ------------------------------------------------------------------------------------

const stamp = document.createElement("canvas");
stamp.width = COLUMNS;
stamp.height = ROWS;

function drawPicture(context, value, left, top, width, height) {
  // value (D): 1 is ink, 0 is paper
  const own = stamp.getContext("2d"),
    image = own.createImageData(COLUMNS, ROWS);
  const paper = rgb(THEME.paper),
    ink = rgb(THEME.ink);
  for (let d = 0; d < D; d++) {
    for (let c = 0; c < 3; c++) image.data[4 * d + c] = paper[c] + (ink[c] - paper[c]) * value[d];
    image.data[4 * d + 3] = 255;
  }
  own.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(stamp, left, top, width, height);
}

function drawPixelFrame(context, pixel, width, height) {
  if (pixel < 0) return;
  const w = width / COLUMNS,
    h = height / ROWS;
  context.lineWidth = 3;
  context.strokeStyle = THEME.orange;
  context.strokeRect((pixel % COLUMNS) * w + 1, Math.floor(pixel / COLUMNS) * h + 1, w - 2, h - 2);
}

function drawStrip(context, pictures, columns, width) {
  // framed pictures in rows
  const gap = 4,
    w = (width - (columns - 1) * gap) / columns,
    h = (w * ROWS) / COLUMNS;
  pictures.forEach((value, i) => {
    const left = (i % columns) * (w + gap),
      top = Math.floor(i / columns) * (h + gap);
    drawPicture(context, value, left, top, w, h);
    context.lineWidth = 1;
    context.strokeStyle = THEME.line;
    context.strokeRect(left + 0.5, top + 0.5, w - 1, h - 1);
  });
  return { w, h, gap };
}

const probabilities = (model, z) => decode(model, Float64Array.from(z)).map(sigmoid);

// --- a latent plane ------------------------------------------------------------------------------

function drawCodes(context, codes, size, half, font) {
  const scale = size / (2 * half);
  context.font = `600 ${font}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let n = 0; n < codes.length / 2; n++) {
    const label = PACKED.labels ? PACKED.labels[n] : "\u2022";
    context.fillStyle = THEME.labels[PACKED.labels ? Math.abs(label) % 10 : 0];
    context.fillText(label, size / 2 + codes[2 * n] * scale, size / 2 - codes[2 * n + 1] * scale);
  }
}

function drawPrior(context, size, half) {
  context.setLineDash([3, 5]);
  context.lineWidth = 1.25;
  context.strokeStyle = THEME.edge;
  for (const r of [1, 2]) {
    ellipse(context, size / 2, size / 2, (r * size) / (2 * half), (r * size) / (2 * half));
    context.stroke();
  }
  context.setLineDash([]);
}

function drawQ(context, q, size, half) {
  // ellipses of 1 and 2 sigma, to scale
  const scale = size / (2 * half);
  context.strokeStyle = THEME.ink;
  for (const r of [1, 2]) {
    context.lineWidth = r === 1 ? 2.5 : 1.5;
    const [a, b] = ellipseRadii(q, r, scale);
    ellipse(context, size / 2 + q.mu[0] * scale, size / 2 - q.mu[1] * scale, a, b);
    context.stroke();
  }
}

function ellipseRadii(q, r, scale) {
  // r sigma in pixels, sigma = exp(logvar / 2)
  return [...q.logvar].map((logvar) => r * Math.exp(logvar / 2) * scale);
}

function drawRing(context, z, size, half) {
  const scale = size / (2 * half);
  ellipse(context, size / 2 + z[0] * scale, size / 2 - z[1] * scale, 8, 8);
  context.lineWidth = 6;
  context.strokeStyle = THEME.paper;
  context.stroke();
  context.lineWidth = 3.5;
  context.strokeStyle = THEME.blue;
  context.stroke();
}

function movesZ(canvas, half) {
  // drag, tap, arrows
  onPointer(canvas, (u, v) => setZ([(2 * u - 1) * half(), (1 - 2 * v) * half()]));
  onArrows(
    canvas,
    (right, up, event) => {
      const step = event.shiftKey ? 0.5 : 0.1;
      setZ([state.z[0] + step * right, state.z[1] + step * up]);
    },
    { Home: () => setZ([...state.q.mu]) },
  );
}

// The ground of the large plane changes with x, not with z: it is kept.
const ground = { canvas: document.createElement("canvas"), key: "" };

function drawGround(size, ratio) {
  const decoded = $("show-decoded").checked,
    cloud = $("show-posterior").checked && state.posterior;
  const key = [size, ratio, decoded, cloud && state.version, THEME.paper].join();
  if (ground.key === key) return;
  ground.key = key;
  ground.canvas.width = ground.canvas.height = size * ratio;
  const context = ground.canvas.getContext("2d");
  context.scale(ratio, ratio);
  if (decoded) {
    const side = 15,
      tile = size / side,
      z = [];
    for (let i = 0; i < side; i++) {
      for (let j = 0; j < side; j++) {
        z.push(HALF * ((2 * j + 1) / side - 1), HALF * (1 - (2 * i + 1) / side));
      }
    }
    const p = decode(MODEL, Float64Array.from(z)).map(sigmoid);
    context.globalAlpha = 0.75;
    for (let t = 0; t < side * side; t++) {
      const top = Math.floor(t / side) * tile;
      drawPicture(
        context,
        p.subarray(t * D, t * D + D),
        (t % side) * tile + 1,
        top + 1,
        tile - 2,
        tile - 2,
      );
    }
    context.globalAlpha = 1;
  }
  if (cloud) drawCloud(context, size);
  if (!decoded) drawCodes(context, CODES, size, HALF, clip(size / 42, 8, 13));
  drawPrior(context, size, HALF);
}

function drawCloud(context, size) {
  // the cells of p(z|x), as dense as they are probable
  const { p } = state.posterior,
    { side } = grid,
    top = p.reduce((a, b) => Math.max(a, b), 0);
  const cells = document.createElement("canvas"),
    own = cells.getContext("2d");
  cells.width = cells.height = side;
  const image = own.createImageData(side, side),
    colour = rgb(THEME.orange);
  for (let g = 0; g < p.length; g++) {
    const at = 4 * ((side - 1 - Math.floor(g / side)) * side + (g % side));
    for (let c = 0; c < 3; c++) image.data[at + c] = colour[c];
    image.data[at + 3] = 215 * Math.sqrt(p[g] / top);
  }
  own.putImageData(image, 0, 0);
  const reach = ((grid.half + grid.cell / 2) * size) / (2 * HALF); // a cell is centred on its point
  context.imageSmoothingEnabled = true;
  context.drawImage(cells, size / 2 - reach, size / 2 - reach, 2 * reach, 2 * reach);
}

const plane = createSurface($("plane"), 1, (context, size) => {
  drawGround(size, plane.ratio);
  context.drawImage(ground.canvas, 0, 0, size, size);
  const scale = size / (2 * HALF),
    x = (z) => size / 2 + z[0] * scale,
    y = (z) => size / 2 - z[1] * scale;
  if (state.walking) {
    const [from, to] = walkEnds();
    context.beginPath();
    context.moveTo(x(from), y(from));
    context.lineTo(x(to), y(to));
    context.lineWidth = 2;
    context.strokeStyle = THEME.green;
    context.stroke();
  }
  drawQ(context, state.q, size, HALF);
  context.fillStyle = THEME.blue;
  for (const z of state.drawn) {
    ellipse(context, x(z), y(z), 3, 3);
    context.fill();
  }
  drawRing(context, state.z, size, HALF);
  for (const [text, align, left, top] of [
    ["z\u2081", "right", size - 7, size - 8],
    ["z\u2082", "left", 7, 17],
  ]) {
    context.font = "12px system-ui, sans-serif";
    context.textAlign = align;
    context.textBaseline = "alphabetic";
    context.lineWidth = 4;
    context.strokeStyle = THEME.paper;
    context.fillStyle = THEME.soft;
    context.strokeText(`${text}: \u2212${HALF} to ${HALF}`, left, top);
    context.fillText(`${text}: \u2212${HALF} to ${HALF}`, left, top);
  }
});
movesZ($("plane"), () => HALF);

const xSurface = createSurface($("x"), ROWS / COLUMNS, (context, width, height) => {
  drawPicture(context, state.x, 0, 0, width, height);
  drawPixelFrame(context, state.cursor >= 0 ? state.cursor : state.pixel, width, height);
});

const ySurface = createSurface($("y"), ROWS / COLUMNS, (context, width, height) => {
  drawPicture(context, state.p, 0, 0, width, height);
  if ($("show-numbers").checked) drawNumbers(context, width, height);
  drawPixelFrame(context, state.pixel, width, height);
});

function drawNumbers(context, width, height) {
  const w = width / COLUMNS,
    h = height / ROWS;
  context.font = `${clip(0.42 * w, 4, 14)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  for (let d = 0; d < D; d++) {
    context.fillStyle = state.p[d] > 0.5 ? THEME.paper : THEME.ink;
    const text =
      state.p[d] > 0.995 ? "1" : state.p[d] < 0.005 ? "0" : state.p[d].toFixed(2).slice(1);
    context.fillText(text, ((d % COLUMNS) + 0.5) * w, (Math.floor(d / COLUMNS) + 0.5) * h);
  }
}

// --- z moves -------------------------------------------------------------------------------------

function setZ(z) {
  state.z = z.map((v) => clip(v, -HALF, HALF));
  showZSoon();
}

let frame = 0;
function showZSoon() {
  frame ||= requestAnimationFrame(showZ);
}

function showZ() {
  // all that has to follow z, within a frame
  cancelAnimationFrame(frame);
  frame = 0;
  const logits = decode(MODEL, Float64Array.from(state.z));
  state.p = logits.map(sigmoid);
  plane.draw();
  ySurface.draw();
  for (const i of [0, 1]) {
    $(`z${i + 1}`).value = state.z[i];
    $(`z${i + 1}-says`).textContent = fixed(state.z[i]);
  }
  $("says-recon-z").textContent = fixed(nll(logits, state.x));
  sayPixel();
  nets.forEach((net) => net.showZ());
  later("hash", 200, writeHash);
  later("ink", 200, () => drawInk(true));
  say(
    `z is ${pair(state.z, 1)}; recon ${$("says-recon-z").textContent}, ` +
      `ELBO ${$("says-elbo").textContent}, log p(x) ${$("says-log-px").textContent} nats`,
  );
}

function sayPixel() {
  const d = state.pixel;
  if (d < 0) return;
  const p = state.p[d],
    cost = state.x[d] ? -Math.log(p) : -Math.log1p(-p);
  $("y-says").textContent =
    `row ${Math.floor(d / COLUMNS) + 1}, column ${(d % COLUMNS) + 1}: ` +
    `${p.toFixed(3)}. x has ${state.x[d] ? "ink" : "none"} there: ${fixed(cost, 3)} nats`;
}

for (const i of [0, 1]) {
  $(`z${i + 1}`).min = -HALF;
  $(`z${i + 1}`).max = HALF;
  $(`z${i + 1}`).addEventListener("input", (event) => {
    const z = [...state.z];
    z[i] = Number(event.target.value);
    setZ(z);
  });
}
$("to-mean").onclick = () => setZ([...state.q.mu]);
$("draw-prior").onclick = () => setZ([random.normal(), random.normal()]);
$("draw-eps").onclick = () => {
  const eps = [random.normal(), random.normal()];
  const z = [...reparameterize(state.q.mu, state.q.logvar, eps)];
  state.drawn.push(z);
  $("eps-says").textContent =
    `z = \u03bc + \u03c3 \u03b5: ${pair(z)} = ${pair(state.q.mu)} + ` +
    `${pair(sigmas())} \u00d7 ${pair(eps)}`;
  setZ(z);
};
for (const id of ["show-digits", "show-decoded", "show-posterior"]) $(id).onchange = plane.soon;
$("show-numbers").onchange = ySurface.soon;

const sigmas = () => [...state.q.logvar].map((logvar) => Math.exp(logvar / 2));

// --- x changes -----------------------------------------------------------------------------------

const labelled = (n) => (PACKED.labels ? `, ${withArticle(PACKED.labels[n])}` : "");
const withArticle = (label) => `${[8, 11, 18].includes(label) ? "an" : "a"} ${label}`;

function setX(x, number = null, z = null) {
  Object.assign(state, { x, number, drawn: [], q: encode(MODEL, x) });
  state.z = z || [...state.q.mu].map((v) => clip(v, -HALF, HALF));
  xSurface.draw();
  showBound();
  $("plane-says").textContent = `q(z|x): \u03bc = ${pair(state.q.mu)}, \u03c3 = ${pair(sigmas())}`;
  $("x-says").textContent =
    number === null ? "Drawn by you." : `Test digit ${number}${labelled(number)}. Draw on it.`;
  if (number !== null) $("number").value = number;
  for (const button of $("labels").children) {
    button.setAttribute(
      "aria-pressed",
      number !== null && PACKED.labels[number] === Number(button.textContent),
    );
  }
  nets.forEach((net) => net.showX());
  showZ();
}

function showBound() {
  const round = (value) => Math.round(100 * value) / 100; // so that the figures add up as shown
  const { mu, logvar } = state.q;
  const recon = round(expectedNll(MODEL, state.x, mu, logvar)),
    klQ = round(kl(mu, logvar));
  const elbo = -(recon + klQ);
  $("says-recon").textContent = fixed(recon);
  $("says-kl").textContent = fixed(klQ);
  $("says-elbo").textContent = fixed(elbo);
  state.posterior = grid.ready ? posterior(MODEL, grid, state.x) : null;
  state.version = (state.version || 0) + 1;
  if (!state.posterior) return;
  const gap = Math.max(0, round(state.posterior.log_px - elbo)),
    log_px = elbo + gap;
  if (state.posterior.log_px - elbo < -0.02) {
    for (const id of ["says-gap", "says-log-px"]) $(id).textContent = "the grid is too coarse";
    return;
  }
  $("says-gap").textContent = fixed(gap);
  $("says-log-px").textContent = fixed(log_px);
  // Two bars of one length, cut on the left, so that a gap of one nat can be seen beside 170.
  const start = Math.max(0, Math.floor(-elbo - 6 * Math.max(klQ, gap, 1)));
  setBar("bar-bound", [
    [recon - start, `recon ${fixed(recon, 1)}`],
    [klQ, `KL ${fixed(klQ, 1)}`],
  ]);
  setBar("bar-truth", [
    [-log_px - start, `\u2212log p(x) ${fixed(-log_px, 1)}`],
    [gap, `gap ${fixed(gap, 1)}`],
  ]);
  $("bar-says").textContent = start > 0 ? `the bars start at ${start}` : "";
}

function ink(pixel, value) {
  // on large pictures the pen is a cross of five pixels
  const x = state.x.slice(),
    row = Math.floor(pixel / COLUMNS),
    column = pixel % COLUMNS;
  const pen =
    D > 256
      ? [
          [0, 0],
          [0, 1],
          [1, 0],
          [0, -1],
          [-1, 0],
        ]
      : [[0, 0]];
  for (const [i, j] of pen) {
    const r = row + i,
      c = column + j;
    if (r >= 0 && r < ROWS && c >= 0 && c < COLUMNS) x[r * COLUMNS + c] = value;
  }
  setX(x);
}

const pixelAt = (u, v) =>
  u < 0 || v < 0 || u >= 1 || v >= 1
    ? -1
    : Math.floor(v * ROWS) * COLUMNS + Math.floor(u * COLUMNS);

let pen = 1;
onPointer($("x"), (u, v, first) => {
  const pixel = pixelAt(u, v);
  if (pixel < 0) return;
  state.cursor = -1;
  if (first) pen = 1 - state.x[pixel];
  if (first || state.x[pixel] !== pen) ink(pixel, pen);
});
function moveCursor(right, up) {
  const at =
    state.cursor < 0 ? Math.floor(ROWS / 2) * COLUMNS + Math.floor(COLUMNS / 2) : state.cursor;
  const row = clip(Math.floor(at / COLUMNS) - up, 0, ROWS - 1);
  state.cursor = row * COLUMNS + clip((at % COLUMNS) + right, 0, COLUMNS - 1);
  xSurface.draw();
  const column = (state.cursor % COLUMNS) + 1;
  say(`row ${row + 1}, column ${column}, ${state.x[state.cursor] ? "ink" : "no ink"}`, 300);
}
const turnPixel = () => {
  if (state.cursor < 0) moveCursor(0, 0);
  ink(state.cursor, 1 - state.x[state.cursor]);
};
onArrows($("x"), moveCursor, { " ": turnPixel, Enter: turnPixel });
$("x").addEventListener("blur", () => {
  state.cursor = -1;
  xSurface.draw();
});

function setPixel(pixel) {
  state.pixel = pixel;
  sayPixel();
  xSurface.soon();
  ySurface.soon();
}
onArrows($("y"), (right, up) => {
  const at =
    state.pixel < 0 ? Math.floor(ROWS / 2) * COLUMNS + Math.floor(COLUMNS / 2) : state.pixel;
  const row = clip(Math.floor(at / COLUMNS) - up, 0, ROWS - 1);
  setPixel(row * COLUMNS + clip((at % COLUMNS) + right, 0, COLUMNS - 1));
  say($("y-says").textContent, 300);
});
for (const kind of ["pointermove", "pointerdown"]) {
  $("y").addEventListener(kind, (event) => {
    const box = $("y").getBoundingClientRect();
    const pixel = pixelAt(
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    if (pixel >= 0) setPixel(pixel);
  });
}

const kinds = PACKED.labels ? [...new Set(PACKED.labels)].sort((a, b) => a - b) : [];
if (kinds.length <= 12) {
  for (const kind of kinds) {
    const button = document.createElement("button");
    button.textContent = kind;
    button.onclick = () => {
      const after = state.number === null ? 0 : state.number + 1;
      for (let k = 0; k < COUNT; k++) {
        const n = (after + k) % COUNT;
        if (PACKED.labels[n] === kind) return setX(digit(n), n);
      }
    };
    $("labels").append(button);
  }
}
$("number").max = COUNT - 1;
const numberIn = (id) => clip(Math.round(Number($(id).value)) || 0, 0, COUNT - 1);
$("number").onchange = () => setX(digit(numberIn("number")), numberIn("number"));
$("clear").onclick = () => setX(new Float64Array(D));
$("take").onclick = () => setX(state.p.map((p) => Number(p > 0.5)));

// --- the address keeps x and z -------------------------------------------------------------------

function writeHash() {
  let said = `x=${state.number}`;
  if (state.number === null) {
    said = "pixels=";
    for (let d = 0; d < D; d += 4) {
      let four = 0;
      for (let k = 0; k < 4; k++) four = 2 * four + (state.x[d + k] || 0);
      said += four.toString(16);
    }
  }
  history.replaceState(null, "", `#${said}&z=${state.z.map((v) => Number(v.toFixed(2))).join()}`);
}

function readHash() {
  // what is no digit and no place leaves things as they are
  const said = new URLSearchParams(location.hash.slice(1));
  const z = (said.get("z") || "").split(",").map(Number);
  const place =
    said.get("z") && z.length === 2 && z.every(Number.isFinite)
      ? z.map((v) => clip(v, -HALF, HALF))
      : null;
  const pixels = said.get("pixels"),
    number = Number(said.get("x"));
  if (pixels && /^[0-9a-f]+$/.test(pixels) && pixels.length === Math.ceil(D / 4)) {
    const x = Float64Array.from(
      { length: D },
      (_, d) => (parseInt(pixels[d >> 2], 16) >> (3 - (d & 3))) & 1,
    );
    setX(x, null, place);
  } else if (said.get("x") && Number.isInteger(number) && number >= 0 && number < COUNT) {
    setX(digit(number), number, place);
  } else {
    setX(state.x, state.number, place);
  }
}
addEventListener("hashchange", readHash);

// --- a walk --------------------------------------------------------------------------------------

const STEPS = 9;
const walkEnds = () => [code(numberIn("walk-from")), code(numberIn("walk-to"))];
const onTheWay = (t) => {
  const [from, to] = walkEnds();
  return from.map((v, i) => (1 - t) * v + t * to[i]);
};
const walk = createSurface(
  $("walk"),
  () => (2 * ROWS) / (STEPS * COLUMNS) + 0.004,
  (context, width) => {
    const way = Array.from({ length: STEPS }, (_, k) => k / (STEPS - 1));
    const walked = way.map((t) => probabilities(MODEL, onTheWay(t)));
    const faded = way.map((t) => walked[0].map((p, d) => (1 - t) * p + t * walked[STEPS - 1][d]));
    const { w, h, gap } = drawStrip(context, [...walked, ...faded], STEPS, width);
    context.strokeStyle = THEME.blue;
    context.lineWidth = 3;
    const at = Number($("walk-way").value) * (STEPS - 1) * (w + gap);
    context.strokeRect(at + 1.5, 1.5, w - 3, h - 3);
  },
);

function walkTo(t) {
  state.walking = true;
  $("walk-way").value = t;
  $("walk-says").textContent = `${Math.round(100 * t)}%`;
  setZ(onTheWay(t));
  walk.soon();
}
function stopWalk() {
  state.playing = false;
  $("walk-play").setAttribute("aria-pressed", "false");
}
$("walk-play").onclick = () => {
  if (state.playing) return stopWalk();
  const now = Number($("walk-way").value);
  if (stillness.matches) return walkTo(now > 0.99 ? 0 : Math.min(1, now + 1 / (STEPS - 1)));
  state.playing = true;
  $("walk-play").setAttribute("aria-pressed", "true");
  const start = performance.now() - (now > 0.99 ? 0 : 6000 * now);
  const step = (time) => {
    if (!state.playing) return;
    const t = clip((time - start) / 6000, 0, 1);
    walkTo(t);
    if (t < 1) requestAnimationFrame(step);
    else stopWalk();
  };
  requestAnimationFrame(step);
};
$("walk-way").addEventListener("input", () => {
  stopWalk();
  walkTo(Number($("walk-way").value));
});
for (const [id, n] of [
  ["walk-from", 9],
  ["walk-to", 16],
]) {
  $(id).max = COUNT - 1;
  $(id).value = Math.min(n, COUNT - 1);
  $(id).onchange = () => {
    $(id).value = numberIn(id);
    stopWalk();
    walkTo(0);
  };
}

// --- black and white pixels beside their means ---------------------------------------------------

const draws = { n: 0, sum: new Float64Array(D), last: [] };
const inkStrip = createSurface(
  $("ink"),
  (width) => (width < 500 ? (2 * ROWS) / (5 * COLUMNS) + 0.014 : ROWS / (10 * COLUMNS)),
  (context, width) => {
    const average = draws.sum.map((s) => s / draws.n);
    drawStrip(context, [state.p, ...draws.last, average], width < 500 ? 5 : 10, width);
  },
);

function drawInk(afresh) {
  if (afresh) Object.assign(draws, { n: 0, sum: new Float64Array(D) });
  draws.last = Array.from({ length: 8 }, () => state.p.map((p) => Number(random.uniform() < p)));
  for (const x of draws.last)
    x.forEach((v, d) => {
      draws.sum[d] += v;
    });
  draws.n += 8;
  const off = draws.sum.reduce((sum, s, d) => sum + Math.abs(s / draws.n - state.p[d]), 0) / D;
  $("ink-says").textContent =
    `First the mean, then 8 draws, last the average of ${draws.n} draws: ` +
    `${fixed(off, 3)} a pixel from the mean.`;
  inkStrip.soon();
}
$("ink-again").onclick = () => {
  drawInk(false);
  say($("ink-says").textContent, 300);
};

// --- four networks, trained here -----------------------------------------------------------------

const nets = [],
  LOSSES = [
    { name: "Autoencoder", noise: 0, beta: 0, dash: [] },
    { name: "\u03b2 = 0.25", noise: 1, beta: 0.25, dash: [10, 4] },
    { name: "\u03b2 = 1, the VAE", noise: 1, beta: 1, dash: [2, 4] },
    { name: "\u03b2 = 4", noise: 1, beta: 4, dash: [10, 4, 2, 4] },
  ];
const EPOCHS = 100,
  BATCH = 50,
  RATE = 5e-3;
const training = { on: false, epoch: 0, batch: 0, order: null, random: null };
const curve =
  PACKED.train && createSurface($("curve"), (width) => (width < 500 ? 0.62 : 0.3), drawCurve);
const LEARN = PACKED.train ? unpackImages(PACKED.train, D) : null;
const WATCH = PACKED.train ? unpackImages(PACKED.test, D) : null;

function createNet(loss, i) {
  // with its place in the page
  const figure = document.createElement("figure");
  figure.innerHTML = `<h3></h3>
    <canvas tabindex="0" role="application" aria-roledescription="latent plane"></canvas>
    <div class="pair">
    <figure><canvas role="img"></canvas><figcaption>x redrawn</figcaption></figure>
    <figure><canvas role="img"></canvas><figcaption>at z</figcaption></figure>
    </div><p class="soft"></p>`;
  figure.querySelector("h3").textContent = loss.name;
  $("nets").append(figure);
  const [own, redrawn, decoded] = figure.querySelectorAll("canvas"),
    says = figure.querySelector("p");
  own.setAttribute("aria-label", `The plane of ${loss.name}. Arrow keys move z.`);
  redrawn.setAttribute("aria-label", `x redrawn: ${loss.name}`);
  decoded.setAttribute("aria-label", `Decoded at z: ${loss.name}`);
  const net = { loss };
  net.restart = () => {
    net.model = createModel(D, 32, 2, createRandom(7).uniform);
    net.adam = createAdam(net.model.params);
    net.costs = [];
    net.measure();
  };
  net.measure = () => {
    // the cost of test digits, one draw of eps each, and where they are
    const { normal } = createRandom(5),
      N = WATCH.length / D;
    const eps = Float64Array.from({ length: 2 * N }, () => loss.noise * normal());
    const { mu, logvar } = encode(net.model, WATCH),
      z = reparameterize(mu, logvar, eps);
    const logits = decode(net.model, z);
    let recon = 0,
      klQ = 0;
    for (let n = 0; n < N; n++) {
      recon += nll(logits.subarray(n * D, n * D + D), WATCH.subarray(n * D, n * D + D)) / N;
      klQ += kl(mu.subarray(2 * n, 2 * n + 2), logvar.subarray(2 * n, 2 * n + 2)) / N;
    }
    net.codes = mu;
    net.half = clip(Math.ceil(mu.reduce((m, v) => Math.max(m, Math.abs(v)), 0) + 0.3), 3, 40);
    net.cost = loss.noise ? recon + klQ : recon;
    net.costs.push(net.cost);
    says.textContent = loss.noise
      ? `test: recon ${fixed(recon, 1)} + KL ${fixed(klQ, 1)} = ${fixed(net.cost, 1)} nats`
      : `test: recon ${fixed(recon, 1)} nats, no bound`;
  };
  const size = createSurface(own, 1, (context, width) => {
    drawPrior(context, width, net.half);
    drawCodes(context, net.codes, width, net.half, clip(width / 24, 7, 11));
    const q = encode(net.model, state.x);
    if (loss.noise) drawQ(context, q, width, net.half);
    drawRing(context, state.z, width, net.half);
    context.font = "11px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "alphabetic";
    context.fillStyle = THEME.soft;
    context.fillText(`\u00b1${net.half}`, width - 4, width - 5);
  });
  const first = createSurface(redrawn, ROWS / COLUMNS, (context, w, h) =>
    drawPicture(context, probabilities(net.model, encode(net.model, state.x).mu), 0, 0, w, h),
  );
  const second = createSurface(decoded, ROWS / COLUMNS, (context, w, h) =>
    drawPicture(context, probabilities(net.model, state.z), 0, 0, w, h),
  );
  net.showZ = () => {
    if (inSight) {
      size.soon();
      second.soon();
    }
  };
  net.showX = () => {
    if (inSight) {
      size.soon();
      first.soon();
    }
  };
  net.show = () => {
    size.soon();
    first.soon();
    second.soon();
  };
  movesZ(own, () => net.half);
  net.restart();
  return net;
}

function restartTraining() {
  Object.assign(training, { on: false, epoch: 0, batch: 0, order: null, random: createRandom(3) });
  nets.forEach((net) => net.restart());
  showTraining();
}

function trainBatch() {
  // one step of each network, on the same digits with the same noise
  const N = LEARN.length / D;
  if (!training.order) {
    training.order = Array.from({ length: N }, (_, n) => n);
    for (let n = N - 1; n > 0; n--) {
      // shuffle
      const other = Math.floor(training.random.uniform() * (n + 1));
      [training.order[n], training.order[other]] = [training.order[other], training.order[n]];
    }
  }
  const rows = training.order.slice(training.batch, training.batch + BATCH);
  const x = new Float64Array(rows.length * D);
  rows.forEach((row, n) => x.set(LEARN.subarray(row * D, row * D + D), n * D));
  const eps = Float64Array.from({ length: 2 * rows.length }, training.random.normal);
  for (const net of nets) {
    const { grads } = lossAndGrads(
      net.model,
      x,
      eps.map((e) => net.loss.noise * e),
      net.loss.beta,
    );
    adamStep(net.adam, net.model.params, grads, RATE);
  }
  training.batch += rows.length;
  if (training.batch < N) return false;
  Object.assign(training, { batch: 0, order: null, epoch: training.epoch + 1 });
  nets.forEach((net) => net.measure());
  return true; // an epoch is over
}

function trainSlice() {
  // some of it, between two frames
  if (!training.on) return;
  let changed = false;
  for (const start = performance.now(); performance.now() - start < 25 && training.on;) {
    if (trainBatch()) changed = true;
    if (training.epoch >= EPOCHS) {
      training.on = false;
      say("trained");
    }
  }
  if (changed) showTraining();
  if (training.on) requestAnimationFrame(trainSlice);
}

function showTraining() {
  $("train").textContent = training.on ? "Pause" : training.epoch >= EPOCHS ? "Trained" : "Train";
  $("train").disabled = training.epoch >= EPOCHS;
  $("train").setAttribute("aria-pressed", training.on);
  $("train-says").textContent = `epoch ${training.epoch} of ${EPOCHS}`;
  $("curve-says").textContent =
    "Cost of a test digit, in nats: recon + KL, of the autoencoder recon alone. " +
    nets.map((net) => `${net.loss.name}: ${fixed(net.cost, 1)}`).join("; ") +
    ".";
  nets.forEach((net) => net.show());
  curve.soon();
}

function drawCurve(context, width, height) {
  const [left, right, top, bottom] = [34, 92, 10, 26],
    low = 15,
    high = 45;
  const x = (epoch) => left + ((width - left - right) * epoch) / EPOCHS;
  const y = (cost) =>
    top + ((height - top - bottom) * (high - clip(cost, low, high))) / (high - low);
  context.font = "12px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.textAlign = "right";
  context.lineWidth = 1;
  for (const nats of [20, 30, 40]) {
    context.strokeStyle = THEME.line;
    context.beginPath();
    context.moveTo(left, y(nats));
    context.lineTo(width - right, y(nats));
    context.stroke();
    context.fillStyle = THEME.soft;
    context.fillText(nats, left - 6, y(nats));
  }
  context.textAlign = "center";
  for (const epoch of [0, 50, 100]) context.fillText(epoch, x(epoch), height - 12);
  context.textAlign = "left";
  const colours = [THEME.ink, THEME.green, THEME.blue, THEME.orange];
  const ends = nets.map((net, i) => ({ i, y: y(net.cost) })).sort((a, b) => a.y - b.y);
  ends.forEach((end, k) => {
    if (k) end.y = Math.max(end.y, ends[k - 1].y + 14);
  });
  const over = ends.at(-1).y - (height - 10);
  if (over > 0)
    ends.forEach((end) => {
      end.y -= over;
    });
  nets.forEach((net, i) => {
    context.strokeStyle = context.fillStyle = colours[i];
    context.setLineDash(net.loss.dash);
    context.lineWidth = 2.5;
    context.beginPath();
    net.costs.forEach((cost, epoch) => context.lineTo(x(epoch), y(cost)));
    context.stroke();
    context.setLineDash([]);
    context.fillText(
      net.loss.name.split(",")[0],
      x(training.epoch) + 6,
      ends.find((end) => end.i === i).y,
    );
  });
}

let inSight = false;
if (PACKED.train) {
  LOSSES.forEach((loss, i) => nets.push(createNet(loss, i)));
  new IntersectionObserver((entries) => {
    inSight = entries.at(-1).isIntersecting;
    if (inSight) nets.forEach((net) => net.show());
  }).observe($("training"));
  $("train").onclick = () => {
    training.on = !training.on;
    showTraining();
    requestAnimationFrame(trainSlice);
  };
  $("train-again").onclick = restartTraining;
} else {
  $("training").remove();
}

// --- begin: show what is there, then sum over the grid, a few rows between two frames ------------

readHash();
if (PACKED.train) restartTraining();
drawInk(true);
for (const id of ["says-gap", "says-log-px"]) $(id).textContent = "\u2026";
(function sumUp() {
  const start = performance.now();
  while (!grid.ready && performance.now() - start < 30) grid.ready = fillGrid(MODEL, grid, 1);
  if (!grid.ready) return setTimeout(sumUp);
  showBound();
  plane.draw();
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
