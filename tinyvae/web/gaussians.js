// Two Gaussians to move: on a line, in a plane, and q over a linear-Gaussian model's posterior.

// A Gaussian to move has a centre, the standard deviations along its two axes, and their angle.
function covariance({ s1, s2, angle }) {
  const c = Math.cos((angle * Math.PI) / 180),
    s = Math.sin((angle * Math.PI) / 180);
  const across = c * s * (s1 * s1 - s2 * s2);
  return [
    [c * c * s1 * s1 + s * s * s2 * s2, across],
    [across, s * s * s1 * s1 + c * c * s2 * s2],
  ];
}
const gaussianOf = (g) => ({ mean: [g.m1, g.m2], cov: covariance(g) });

function axesOf({ mean, cov }) {
  // the other way: a covariance's axes and their angle
  const [[a, b], [, d]] = cov,
    middle = (a + d) / 2,
    swing = Math.hypot((a - d) / 2, b);
  return {
    m1: mean[0],
    m2: mean[1],
    s1: Math.sqrt(middle + swing),
    s2: Math.sqrt(middle - swing),
    angle: (Math.atan2(2 * b, a - d) / 2) * (180 / Math.PI),
  };
}

// --- sliders -------------------------------------------------------------------------------------

const RANGES = {
  m1: [-4, 4, 0.01],
  m2: [-4, 4, 0.01],
  s1: [0.1, 3, 0.01],
  s2: [0.1, 3, 0.01],
  angle: [-90, 90, 1],
};
const SIGNS = { m1: "mean", m2: "mean 2", s1: "\u03c3", s2: "\u03c3 across", angle: "angle" };

function createSliders(place, name, g, fields, changed) {
  // ->  a function that shows g
  const rows = fields.map((field) => {
    const label = document.createElement("label"),
      slider = document.createElement("input");
    const [min, max, step] = RANGES[field],
      says = document.createElement("output");
    const text = document.createElement("span");
    const sign = field === "m1" && fields.includes("m2") ? "mean 1" : SIGNS[field];
    text.textContent = `${name}: ${sign}`;
    text.className = "name";
    Object.assign(slider, { type: "range", min, max, step, id: `${place}-${name}-${field}` });
    slider.addEventListener("input", () => {
      g[field] = Number(slider.value);
      changed();
    });
    label.append(text, slider, says);
    $(`${place}-moves`).append(label);
    return () => {
      slider.value = g[field];
      says.textContent = field === "angle" ? `${fixed(g[field], 0)}\u00b0` : fixed(g[field]);
    };
  });
  return () => rows.forEach((show) => show());
}

function showTable(place, head, rows) {
  // rows: [text, value, ...] with "sum" as last for a total
  const table = document.createElement("table");
  const add = (kind, row) => {
    const line = table.insertRow();
    row.forEach((text, i) => {
      if (text === "sum") {
        line.className = "sum";
        return;
      }
      const cell = document.createElement(kind === "th" || i === 0 ? "th" : "td");
      if (kind === "th" || i === 0) cell.scope = kind === "th" ? "col" : "row";
      if (i > 0) cell.className = "n";
      cell.textContent = text;
      line.append(cell);
    });
  };
  add("th", head);
  rows.forEach((row) => add("td", row));
  $(place).replaceChildren(table);
}

function klRows(q, p) {
  const t = klTerms(q, p),
    u = klTerms(p, q);
  const row = (text, name, sign = 1) => [
    text,
    fixed((sign * t[name]) / 2, 3),
    fixed((sign * u[name]) / 2, 3),
  ];
  return [
    row("1/2 tr(S\u207b\u00b9S)", "trace"),
    row("\u2212k/2", "k", -1),
    row("1/2 log of the determinants' ratio", "log_ratio"),
    row("1/2 squared distance of the means", "distance"),
    ["KL", fixed(klGaussians(q, p), 3), fixed(klGaussians(p, q), 3), "sum"],
  ];
}

// --- on a line -----------------------------------------------------------------------------------

const line = { q: { m1: -0.8, s1: 0.6 }, p: { m1: 0.6, s1: 1.3 } },
  REACH = 5;
const onLine = ({ m1, s1 }) => ({ mean: [m1], cov: [[s1 * s1]] });

const lineSurface = createSurface($("line"), 0.95, (context, width, height) => {
  const upper = 0.46 * height,
    x = (z) => ((z + REACH) / (2 * REACH)) * width;
  const q = onLine(line.q),
    p = onLine(line.p),
    zs = [];
  for (let i = 0; i <= width; i += 2) zs.push(-REACH + (2 * REACH * i) / width);
  const log = (g) => zs.map((z) => logDensity([z], g)),
    lq = log(q),
    lp = log(p);
  const peak = Math.max(...lq, ...lp, Math.log(0.25)),
    floor = upper - 22;
  const y = (l) => floor - Math.exp(l - peak) * (floor - 24);
  const trace = (values, close) => {
    context.beginPath();
    values.forEach((value, i) => context.lineTo(x(zs[i]), value));
    if (close !== undefined) {
      context.lineTo(width, close);
      context.lineTo(0, close);
      context.closePath();
    }
  };
  context.strokeStyle = THEME.edge;
  context.lineWidth = 1;
  context.strokeRect(-1, floor, width + 2, 0);
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillStyle = THEME.soft;
  for (const z of [-4, -2, 0, 2, 4]) context.fillText(fixed(z, 0), x(z), floor + 15);
  trace(lq.map(y), floor);
  context.globalAlpha = 0.5;
  context.fillStyle = THEME["blue-fill"];
  context.fill();
  context.globalAlpha = 1;
  for (const [l, colour, dash] of [
    [lp, THEME.orange, [8, 4]],
    [lq, THEME.blue, []],
  ]) {
    context.setLineDash(dash);
    context.lineWidth = 2.5;
    context.strokeStyle = colour;
    trace(l.map(y));
    context.stroke();
  }
  context.setLineDash([]);
  for (const [name, g, colour] of [
    ["p", line.p, THEME.orange],
    ["q", line.q, THEME.blue],
  ]) {
    const top = y(logDensity([g.m1], onLine(g)));
    context.fillStyle = colour;
    context.font = "600 16px system-ui, sans-serif";
    context.fillText(name, x(g.m1), top - 12);
    knob(context, x(g.m1), top, colour);
    knob(context, x(g.m1 + g.s1), y(logDensity([g.m1 + g.s1], onLine(g))), colour);
  }
  // below: what is integrated, q log(q/p) and p log(p/q); area above zero minus below is the KL
  const integrands = [
    lq.map((l, i) => Math.exp(l) * (l - lp[i])),
    lp.map((l, i) => Math.exp(l) * (l - lq[i])),
  ];
  const names = [
    `q log(q/p): the area is KL(q || p) = ${fixed(klGaussians(q, p), 3)}`,
    `p log(p/q): the area is KL(p || q) = ${fixed(klGaussians(p, q), 3)}`,
  ];
  integrands.forEach((values, k) => {
    const top = upper + 14 + k * 0.27 * height,
      tall = 0.27 * height - 26,
      zero = top + 0.72 * tall;
    const scale = Math.min(
      60,
      (0.66 * tall) / Math.max(0.01, ...values),
      (0.28 * tall) / Math.max(0.01, ...values.map((v) => -v)),
    );
    for (const positive of [true, false]) {
      trace(
        values.map((v) => zero - scale * (positive ? Math.max(v, 0) : Math.min(v, 0))),
        zero,
      );
      context.fillStyle = positive ? THEME["orange-fill"] : THEME["blue-fill"];
      context.fill();
    }
    trace(values.map((v) => zero - scale * v));
    context.lineWidth = 1.5;
    context.strokeStyle = THEME.ink;
    context.stroke();
    context.lineWidth = 1;
    context.strokeStyle = THEME.edge;
    context.strokeRect(-1, zero, width + 2, 0);
    context.textAlign = "left";
    context.fillStyle = THEME.ink;
    context.font = "13px system-ui, sans-serif";
    context.fillText(names[k], 8, top + 2);
    context.fillText("+", 8, zero - 5);
    context.fillText("\u2212", 8, zero + 14);
  });
});

function knob(context, x, y, colour) {
  ellipse(context, x, y, 6, 6);
  context.fillStyle = THEME.paper;
  context.fill();
  context.lineWidth = 3;
  context.strokeStyle = colour;
  context.stroke();
}

const lineShows = ["q", "p"].map((name) =>
  createSliders("line", name, line[name], ["m1", "s1"], showLine),
);

function showLine() {
  const q = onLine(line.q),
    p = onLine(line.p);
  lineShows.forEach((show) => show());
  showTable("line-table", ["nats", "KL(q || p)", "KL(p || q)"], klRows(q, p));
  $("line-says").textContent = "q solid, p dashed. Drag a peak to move it, its flank to widen it.";
  lineSurface.soon();
  say(`KL(q || p) is ${fixed(klGaussians(q, p))}, KL(p || q) is ${fixed(klGaussians(p, q))} nats`);
}

let held = null;
onPointer($("line"), (u, v, first) => {
  const z = (2 * u - 1) * REACH;
  if (first) {
    const knobs = ["q", "p"].flatMap((name) => [
      [name, "m1", line[name].m1],
      [name, "s1", line[name].m1 + line[name].s1],
    ]);
    held = knobs.reduce((a, b) => (Math.abs(b[2] - z) < Math.abs(a[2] - z) ? b : a));
  }
  const g = line[held[0]],
    [min, max] = RANGES[held[1]];
  g[held[1]] = clip(held[1] === "m1" ? z : Math.abs(z - g.m1), min, max);
  showLine();
});
onArrows($("line"), (right, up, event) => {
  const g = line[event.shiftKey ? "p" : "q"];
  g.m1 = clip(g.m1 + 0.1 * right, ...RANGES.m1.slice(0, 2));
  g.s1 = clip(g.s1 + 0.05 * up, ...RANGES.s1.slice(0, 2));
  showLine();
});

// --- in a plane ----------------------------------------------------------------------------------

const HALF = 4;
const inPixels = (size) => {
  const scale = size / (2 * HALF);
  return { scale, x: (z) => size / 2 + z * scale, y: (z) => size / 2 - z * scale };
};

function drawGaussian(context, size, g, { colour, dash = [], fill = null, knobs = false }) {
  const { scale, x, y } = inPixels(size),
    turn = (-g.angle * Math.PI) / 180;
  context.setLineDash(dash);
  for (const r of [2, 1]) {
    ellipse(context, x(g.m1), y(g.m2), r * g.s1 * scale, r * g.s2 * scale, turn);
    if (fill) {
      context.globalAlpha = 0.55;
      context.fillStyle = fill;
      context.fill();
      context.globalAlpha = 1;
    }
    context.lineWidth = r === 1 ? 2.5 : 1.5;
    context.strokeStyle = colour;
    context.stroke();
  }
  context.setLineDash([]);
  if (knobs) for (const [z1, z2] of knobsOf(g)) knob(context, x(z1), y(z2), colour);
}

function knobsOf({ m1, m2, s1, s2, angle }) {
  // the centre, and one end of each axis
  const c = Math.cos((angle * Math.PI) / 180),
    s = Math.sin((angle * Math.PI) / 180);
  return [
    [m1, m2],
    [m1 + c * s1, m2 + s * s1],
    [m1 - s * s2, m2 + c * s2],
  ];
}

function drawAxes(context, size) {
  const { x, y } = inPixels(size);
  context.font = "12px system-ui, sans-serif";
  context.fillStyle = THEME.soft;
  context.strokeStyle = THEME.line;
  context.lineWidth = 1;
  context.strokeRect(-1, y(0), size + 2, 0);
  context.strokeRect(x(0), -1, 0, size + 2);
  context.textAlign = "center";
  for (const z of [-3, -2, -1, 1, 2, 3]) {
    context.fillText(fixed(z, 0), x(z), y(0) + 14);
    context.fillText(fixed(z, 0), x(0) - 12, y(z) + 4);
  }
}

function nameIt(context, size, g, name, colour) {
  const { x, y, scale } = inPixels(size);
  context.font = "600 16px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillStyle = colour;
  context.strokeStyle = THEME.paper;
  context.lineWidth = 4;
  const at = [x(g.m1) - 15, y(g.m2) - 9];
  context.strokeText(name, ...at);
  context.fillText(name, ...at);
}

function moves(canvas, gaussians, changed) {
  // gaussians: those that can be held, the first by arrows
  let hold = null;
  onPointer(canvas, (u, v, first) => {
    const z = [(2 * u - 1) * HALF, (1 - 2 * v) * HALF];
    if (first) {
      const all = gaussians.flatMap((g) =>
        knobsOf(g).map((knob, which) => ({
          g,
          which,
          far: Math.hypot(knob[0] - z[0], knob[1] - z[1]),
        })),
      );
      hold = all.reduce((a, b) => (b.far < a.far ? b : a));
      if (hold.far > 0.5)
        hold = {
          ...all.filter((one) => one.which === 0).reduce((a, b) => (b.far < a.far ? b : a)),
        };
    }
    const { g, which } = hold,
      away = [z[0] - g.m1, z[1] - g.m2];
    if (which === 0) {
      g.m1 = clip(z[0], -HALF, HALF);
      g.m2 = clip(z[1], -HALF, HALF);
    } else {
      const turned = (Math.atan2(away[1], away[0]) * 180) / Math.PI - (which === 2 ? 90 : 0);
      g[`s${which}`] = clip(Math.hypot(...away), RANGES.s1[0], RANGES.s1[1]);
      g.angle = ((((turned + 270) % 180) + 180) % 180) - 90;
    }
    changed();
  });
  onArrows(canvas, (right, up, event) => {
    const g = event.shiftKey && gaussians[1] ? gaussians[1] : gaussians[0];
    g.m1 = clip(g.m1 + 0.1 * right, -HALF, HALF);
    g.m2 = clip(g.m2 + 0.1 * up, -HALF, HALF);
    changed();
  });
}

const FIELDS = ["m1", "m2", "s1", "s2", "angle"];
const APART = {
  q: { m1: -1, m2: 0.6, s1: 1.1, s2: 0.5, angle: 35 },
  p: { m1: 0.7, m2: -0.3, s1: 1.5, s2: 0.8, angle: -20 },
};
const both = { q: { ...APART.q }, p: { ...APART.p } };
const bothSurface = createSurface($("both"), 1, (context, size) => {
  drawAxes(context, size);
  drawGaussian(context, size, both.p, { colour: THEME.orange, dash: [8, 4], knobs: true });
  drawGaussian(context, size, both.q, { colour: THEME.blue, knobs: true });
  nameIt(context, size, both.p, "p", THEME.orange);
  nameIt(context, size, both.q, "q", THEME.blue);
  const q = gaussianOf(both.q),
    p = gaussianOf(both.p);
  context.font = "14px system-ui, sans-serif";
  context.fillStyle = THEME.ink;
  context.textAlign = "left";
  context.fillText(`KL(q || p) = ${fixed(klGaussians(q, p), 3)}`, 10, 22);
  context.textAlign = "right";
  context.fillText(`KL(p || q) = ${fixed(klGaussians(p, q), 3)}`, size - 10, 22);
});
const bothShows = ["q", "p"].map((name) =>
  createSliders("both", name, both[name], FIELDS, showBoth),
);
moves($("both"), [both.q, both.p], showBoth);

function showBoth() {
  const q = gaussianOf(both.q),
    p = gaussianOf(both.p),
    right = klGaussians(q, p),
    terms = klTerms(q, p);
  bothShows.forEach((show) => show());
  showTable("both-table", ["nats", "KL(q || p)", "KL(p || q)"], klRows(q, p));
  showTable(
    "mistakes",
    ["formula", "value", "off by", "so it"],
    [
      ["right", fixed(right, 3), "", "", "sum"],
      ...MISTAKES.map(({ name, value }) => {
        const wrong = value(q, p, terms),
          off = wrong - right;
        const verdict = Math.abs(off) < 5e-4 ? "hides" : wrong < 0 ? "is negative" : "";
        return [
          name,
          fixed(wrong, 3),
          (off > 0 && Math.abs(off) >= 5e-4 ? "+" : "") + fixed(off, 3),
          verdict,
        ];
      }),
    ],
  );
  bothSurface.soon();
  say(`KL(q || p) is ${fixed(right)}, KL(p || q) is ${fixed(klGaussians(p, q))} nats`);
}

const shape = ({ s1, s2, angle }) => ({ s1, s2, angle });
$("hide-equal").onclick = () => {
  Object.assign(both.q, both.p);
  showBoth();
};
$("hide-mean").onclick = () => {
  Object.assign(both.q, APART.q, shape(both.p));
  showBoth();
};
$("hide-centre").onclick = () => {
  Object.assign(both.q, shape(APART.q), { m1: both.p.m1, m2: both.p.m2 });
  showBoth();
};
$("hide-none").onclick = () => {
  Object.assign(both.q, APART.q);
  Object.assign(both.p, APART.p);
  showBoth();
};

// --- q over the posterior ------------------------------------------------------------------------

const PRIOR = { mean: [0, 0], cov: identity(2) },
  TRUTH = exactPosterior(LESSON, LESSON.x);
const LOG_PX = logEvidence(LESSON, LESSON.x),
  SHOWN = 20; // nats that the bar holds
const FIVE = {
  "far off": { mean: TRUTH.mean.map((m) => m + 2), cov: identity(2) },
  "the prior": PRIOR,
  "too narrow": { mean: TRUTH.mean, cov: TRUTH.cov.map((row) => row.map((v) => 0.1 * v)) },
  close: {
    mean: TRUTH.mean.map((m) => m + 0.2),
    cov: [
      [TRUTH.cov[0][0], 0],
      [0, TRUTH.cov[1][1]],
    ],
  },
  "the posterior": TRUTH,
};
const guess = {
  m1: TRUTH.mean[0] + 0.7,
  m2: TRUTH.mean[1] - 0.7,
  s1: 0.8,
  s2: 0.5,
  angle: 60,
};
let exact = null; // the very q of a button, until it is moved
const qNow = () => exact || gaussianOf(guess);

function boundTerms(q) {
  const likelihood = expectedLogLikelihood(LESSON, LESSON.x, q),
    regulariser = klGaussians(q, PRIOR);
  return { likelihood, regulariser, elbo: likelihood - regulariser, gap: klGaussians(q, TRUTH) };
}

const boundSurface = createSurface($("bound"), 1, (context, size) => {
  drawAxes(context, size);
  drawGaussian(context, size, axesOf(PRIOR), { colour: THEME.edge, dash: [3, 5] });
  drawGaussian(context, size, axesOf(TRUTH), { colour: THEME.orange, fill: THEME["orange-fill"] });
  drawGaussian(context, size, guess, { colour: THEME.blue, knobs: true });
  nameIt(context, size, guess, "q", THEME.blue);
});
const boundShow = createSliders("bound", "q", guess, FIELDS, moved);
moves($("bound"), [guess], moved);

function moved() {
  exact = null;
  showBoundNow();
}

function showBoundNow() {
  const { likelihood, regulariser, elbo, gap } = boundTerms(qNow());
  boundShow();
  const within = Math.min(gap, SHOWN);
  setBar("bar-constant", [
    [SHOWN - within, `ELBO ${fixed(elbo)}`],
    [within, `gap ${fixed(gap)}`],
  ]);
  $("bar-says").textContent =
    `ELBO + gap = ${fixed(elbo + gap, 6)} = log p(x). ` +
    (gap > SHOWN ? `The gap is longer than the bar, ${SHOWN} nats.` : `The bar is ${SHOWN} nats.`);
  showTable(
    "bound-table",
    ["term", "nats"],
    [
      ["E_q[log p(x|z)]", fixed(likelihood, 3)],
      ["\u2212 KL(q || p(z)), the regulariser", fixed(-regulariser, 3)],
      ["ELBO", fixed(elbo, 3), "sum"],
      ["+ KL(q || p(z|x)), the gap", fixed(gap, 3)],
      ["ELBO + gap", fixed(elbo + gap, 3), "sum"],
      ["log p(x), computed without q", fixed(LOG_PX, 3)],
    ],
  );
  boundSurface.soon();
  say(`ELBO ${fixed(elbo)}, gap ${fixed(gap)}, together ${fixed(elbo + gap)} nats`);
}

for (const [name, g] of Object.entries(FIVE)) {
  const button = document.createElement("button");
  button.textContent = name;
  button.onclick = () => {
    Object.assign(guess, axesOf(g));
    exact = g;
    showBoundNow();
  };
  $("five").append(button);
}

showLine();
showBoth();
showBoundNow();
document.documentElement.dataset.ready = Math.round(performance.now());
