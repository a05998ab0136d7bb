"use strict";
// The mathematics of tinyvae's VAE in JavaScript: what layers.py, network.py, bernoulli.py,
// gaussian.py, vae.py and optim.py compute, in double precision, and sums over a grid of z.
//
// Arrays are flat Float64Arrays by rows: x (B, D) has the pixel d of image n at x[n * D + d].
// A model is { activation, layers, params }, with params as in Python: "encoder.0.W" (I, O), ...

// --- layers: a forward, its backward -----------------------------------------------------------

function linear(x, W, b) { // x (B, I), W (I, O), b (O)  ->  y (B, O)
  const O = b.length, I = W.length / O, B = x.length / I, y = new Float64Array(B * O);
  for (let n = 0; n < B; n++) {
    const row = y.subarray(n * O, n * O + O);
    row.set(b);
    let i = n * I, w = 0;
    for (const end = i + I - 3; i < end; i += 4, w += 4 * O) { // four inputs at a time: quicker
      const x0 = x[i], x1 = x[i + 1], x2 = x[i + 2], x3 = x[i + 3];
      if (x0 === 0 && x1 === 0 && x2 === 0 && x3 === 0) continue;
      for (let o = 0; o < O; o++) {
        row[o] += x0 * W[w + o] + x1 * W[w + O + o] + x2 * W[w + 2 * O + o] + x3 * W[w + 3 * O + o];
      }
    }
    for (; i < n * I + I; i++, w += O) for (let o = 0; o < O; o++) row[o] += x[i] * W[w + o];
  }
  return y;
}

function linearBackward(dy, x, W, b, wantX = true) { // dy (B, O)  ->  dx (B, I), dW (I, O), db (O)
  // forward:  y = x W + b
  const O = b.length, I = W.length / O, B = x.length / I;
  const dx = wantX ? new Float64Array(B * I) : null;
  const dW = new Float64Array(I * O), db = new Float64Array(O);
  for (let n = 0; n < B; n++) {
    const row = dy.subarray(n * O, n * O + O);
    for (let o = 0; o < O; o++) db[o] += row[o]; // b was broadcast: its gradient sums over B
    for (let i = 0, w = 0; i < I; i++, w += O) {
      const xi = x[n * I + i];
      if (xi !== 0) for (let o = 0; o < O; o++) dW[w + o] += xi * row[o]; // x' dy
      if (!wantX) continue;
      let sum = 0;
      for (let o = 0; o < O; o++) sum += row[o] * W[w + o]; // dy W'
      dx[n * I + i] = sum;
    }
  }
  return { dx, dW, db };
}

const ACTIVATIONS = { // y = f(a), and dy/da from y
  tanh: { forward: Math.tanh, slope: (y) => 1 - y * y },
  relu: { forward: (a) => Math.max(a, 0), slope: (y) => (y > 0 ? 1 : 0) },
};

const sigmoid = (a) => 1 / (1 + Math.exp(-a));
const softplus = (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))); // log(1 + exp(a))

// --- the network ---------------------------------------------------------------------------------

function named(model, name, x) {
  return linear(x, model.params[`${name}.W`], model.params[`${name}.b`]);
}

function hiddenLayers(model, part, x) { // ->  [x, h_1, ..., h_L], what the backward needs
  const hs = [x], { forward } = ACTIVATIONS[model.activation];
  for (let i = 0; i < model.layers; i++) hs.push(named(model, `${part}.${i}`, hs[i]).map(forward));
  return hs;
}

function hiddenLayersBackward(model, part, dh, hs, grads, wantX) { // ->  dx, and fills grads
  const { slope } = ACTIVATIONS[model.activation];
  for (let i = model.layers - 1; i >= 0; i--) {
    const da = dh.map((d, j) => d * slope(hs[i + 1][j]));
    dh = namedBackward(model, `${part}.${i}`, da, hs[i], grads, wantX || i > 0);
  }
  return dh;
}

function namedBackward(model, name, dy, x, grads, wantX = true) { // ->  dx, and fills grads
  const W = model.params[`${name}.W`], b = model.params[`${name}.b`];
  const { dx, dW, db } = linearBackward(dy, x, W, b, wantX);
  grads[`${name}.W`] = dW;
  grads[`${name}.b`] = db;
  return dx;
}

function encode(model, x) { // x (B, D)  ->  mu, logvar (B, Z) of q(z|x)
  const h = hiddenLayers(model, "encoder", x).at(-1);
  return { mu: named(model, "mu", h), logvar: named(model, "logvar", h) };
}

function decode(model, z) { // z (B, Z)  ->  logits (B, D) of p(x|z) = Bernoulli(sigmoid(logits))
  return named(model, "logits", hiddenLayers(model, "decoder", z).at(-1));
}

// --- the two terms, in nats ----------------------------------------------------------------------

function nll(logits, x) { // -log p(x|z) of one image:  sum_d log(1 + exp(a_d)) - x_d a_d
  let sum = 0;
  for (let d = 0; d < x.length; d++) sum += softplus(logits[d]) - x[d] * logits[d];
  return sum;
}

function kl(mu, logvar) { // KL(q || N(0, I)) = 1/2 sum [ mu^2 + exp(logvar) - 1 - logvar ]
  let sum = 0;
  for (let j = 0; j < mu.length; j++) {
    sum += 0.5 * (mu[j] * mu[j] + Math.expm1(logvar[j]) - logvar[j]);
  }
  return sum;
}

function reparameterize(mu, logvar, eps) { // z = mu + sigma eps,  sigma = exp(logvar / 2)
  return mu.map((m, j) => m + Math.exp(0.5 * logvar[j]) * eps[j]);
}

// --- training ------------------------------------------------------------------------------------

function lossAndGrads(model, x, eps, beta) { // x (B, D), eps (B, Z)
  const D = model.params["logits.b"].length, Z = model.params["mu.b"].length, B = x.length / D;

  // forward
  const h = hiddenLayers(model, "encoder", x);
  const mu = named(model, "mu", h.at(-1)), logvar = named(model, "logvar", h.at(-1));
  const z = reparameterize(mu, logvar, eps);
  const g = hiddenLayers(model, "decoder", z);
  const logits = named(model, "logits", g.at(-1));
  let recon = 0, klSum = 0;
  for (let n = 0; n < B; n++) {
    recon += nll(logits.subarray(n * D, n * D + D), x.subarray(n * D, n * D + D));
    klSum += kl(mu.subarray(n * Z, n * Z + Z), logvar.subarray(n * Z, n * Z + Z));
  }
  const loss = (recon + beta * klSum) / B;

  // backward
  const grads = {};
  const dlogits = logits.map((a, i) => (sigmoid(a) - x[i]) / B); // softplus' = sigmoid
  const dg = namedBackward(model, "logits", dlogits, g.at(-1), grads);
  const dz = hiddenLayersBackward(model, "decoder", dg, g, grads, true);
  const dmu = dz.map((d, j) => d + (beta / B) * mu[j]); // mu is used twice, in z and in the KL,
  const dlogvar = dz.map((d, j) => // and so is logvar
    d * eps[j] * 0.5 * Math.exp(0.5 * logvar[j]) + (beta / B) * 0.5 * Math.expm1(logvar[j]));
  const dhMu = namedBackward(model, "mu", dmu, h.at(-1), grads);
  const dhLogvar = namedBackward(model, "logvar", dlogvar, h.at(-1), grads);
  const dh = dhMu.map((d, j) => d + dhLogvar[j]);
  hiddenLayersBackward(model, "encoder", dh, h, grads, false);
  return { loss, recon: recon / B, kl: klSum / B, grads };
}

function createModel(D, H, Z, uniform) { // one hidden layer, uniform in +-1 / sqrt(inputs)
  const params = {};
  const heads = { mu: [H, Z], logvar: [H, Z] };
  const maps = { "encoder.0": [D, H], ...heads, "decoder.0": [Z, H], logits: [H, D] };
  for (const [name, [I, O]] of Object.entries(maps)) {
    const draw = () => (2 * uniform() - 1) / Math.sqrt(I);
    params[`${name}.W`] = Float64Array.from({ length: I * O }, draw);
    params[`${name}.b`] = Float64Array.from({ length: O }, draw);
  }
  return { activation: "tanh", layers: 1, params };
}

function createAdam(params) {
  const zeros = () => Object.fromEntries(
    Object.entries(params).map(([name, p]) => [name, new Float64Array(p.length)]));
  return { t: 0, m: zeros(), v: zeros() };
}

function adamStep(adam, params, grads, rate, beta1 = 0.9, beta2 = 0.999, tiny = 1e-8) {
  adam.t += 1;
  const m_scale = 1 / (1 - beta1 ** adam.t), v_scale = 1 / (1 - beta2 ** adam.t);
  for (const name in params) {
    const p = params[name], dp = grads[name], m = adam.m[name], v = adam.v[name];
    for (let i = 0; i < p.length; i++) {
      m[i] = beta1 * m[i] + (1 - beta1) * dp[i];
      v[i] = beta2 * v[i] + (1 - beta2) * dp[i] * dp[i];
      p[i] -= (rate * m_scale * m[i]) / (Math.sqrt(v_scale * v[i]) + tiny);
    }
  }
}

// --- what two latent dimensions allow: sums over the plane ---------------------------------------

function expectedNll(model, x, mu, logvar) { // E_q[-log p(x|z)], a sum over 15 x 15 values of eps
  const step = 0.75, eps = [], weights = [];
  let total = 0;
  for (let i = -7; i <= 7; i++) {
    for (let j = -7; j <= 7; j++) {
      if (i * i + j * j > 49) continue; // beyond 5.25 sigma
      const weight = Math.exp(-0.5 * step * step * (i * i + j * j));
      eps.push(step * i, step * j);
      weights.push(weight);
      total += weight;
    }
  }
  const sigma = [Math.exp(0.5 * logvar[0]), Math.exp(0.5 * logvar[1])];
  const z = Float64Array.from(eps, (e, j) => mu[j % 2] + sigma[j % 2] * e);
  const logits = decode(model, z), D = x.length;
  return weights.reduce((sum, weight, s) =>
    sum + (weight / total) * nll(logits.subarray(s * D, s * D + D), x), 0);
}

function createGrid(half, cell) { // points z of a square [-half, half]^2, row by row from below
  const side = 2 * Math.round(half / cell) + 1;
  return { half, cell, side, done: 0, hidden: null, log_joint_0: new Float64Array(side * side) };
}

function gridPoint(grid, g) {
  const { side, cell, half } = grid;
  return [(g % side) * cell - half, Math.floor(g / side) * cell - half];
}

function fillGrid(model, grid, rows) { // the next rows of points;  true when all are done
  // log p(x|z) = x' logits - sum_d softplus(logits_d).  The second term needs no x, and the first
  // is h' (W x) + b' x, with h the last hidden layer.  So h and the second term are kept.
  const { side, cell } = grid, end = Math.min(grid.done + rows * side, side * side);
  const z = new Float64Array(2 * (end - grid.done));
  for (let g = grid.done; g < end; g++) z.set(gridPoint(grid, g), 2 * (g - grid.done));
  const h = hiddenLayers(model, "decoder", z).at(-1), logits = named(model, "logits", h);
  const D = model.params["logits.b"].length, H = h.length / (z.length / 2);
  grid.hidden ??= new Float64Array(side * side * H);
  grid.hidden.set(h, grid.done * H);
  for (let g = grid.done, a = 0, j = 0; g < end; g++, j += 2) {
    let sum = 0;
    for (let d = 0; d < D; ) { // the log of a product of up to 256 factors, each in (1, 2]
      let product = 1;
      for (const stop = Math.min(d + 256, D); d < stop; d++, a++) {
        product *= 1 + Math.exp(-Math.abs(logits[a]));
        if (logits[a] > 0) sum += logits[a];
      }
      sum += Math.log(product);
    }
    const log_prior = -0.5 * (z[j] * z[j] + z[j + 1] * z[j + 1]) - Math.log(2 * Math.PI);
    grid.log_joint_0[g] = log_prior - sum + 2 * Math.log(cell); // log p(x = 0, z in this cell)
  }
  grid.done = end;
  return end === side * side;
}

function posterior(model, grid, x) { // ->  log p(x), and p(z|x) of each cell of the grid
  const W = model.params["logits.W"], b = model.params["logits.b"], D = b.length, H = W.length / D;
  const Wx = new Float64Array(H);
  let bx = 0, top = -Infinity;
  for (let d = 0; d < D; d++) {
    if (x[d] === 0) continue;
    bx += x[d] * b[d];
    for (let i = 0; i < H; i++) Wx[i] += x[d] * W[i * D + d];
  }
  const p = Float64Array.from(grid.log_joint_0);
  for (let g = 0, i = 0; g < p.length; g++) {
    let sum = bx;
    for (let k = 0; k < H; k++, i++) sum += grid.hidden[i] * Wx[k];
    p[g] += sum;
    if (p[g] > top) top = p[g];
  }
  let total = 0;
  for (let g = 0; g < p.length; g++) total += p[g] = Math.exp(p[g] - top);
  for (let g = 0; g < p.length; g++) p[g] /= total;
  return { log_px: top + Math.log(total), p };
}

// --- numbers from text, and by chance ------------------------------------------------------------

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

function halfFloat(h) { // IEEE 754 binary16
  const sign = h & 0x8000 ? -1 : 1, exponent = (h >> 10) & 31, fraction = h & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function unpackModel(packed) { // { activation, layers, dtype, names, sizes, weights }  ->  a model
  const view = new DataView(bytesOf(packed.weights).buffer), params = {};
  const [bytes, read] = packed.dtype === "float32"
    ? [4, (at) => view.getFloat32(at, true)]
    : [2, (at) => halfFloat(view.getUint16(at, true))];
  let at = 0;
  packed.names.forEach((name, k) => {
    const p = (params[name] = new Float64Array(packed.sizes[k]));
    for (let i = 0; i < p.length; i++, at += bytes) p[i] = read(at);
  });
  return { activation: packed.activation, layers: packed.layers, params };
}

function unpackImages(base64, D) { // one bit a pixel  ->  x (N, D) of 0 and 1
  const bytes = bytesOf(base64), stride = Math.ceil(D / 8), N = bytes.length / stride;
  const x = new Float64Array(N * D);
  for (let n = 0; n < N; n++) {
    for (let d = 0; d < D; d++) x[n * D + d] = (bytes[n * stride + (d >> 3)] >> (7 - (d & 7))) & 1;
  }
  return x;
}

function createRandom(seed) { // Mulberry32: the same seed, the same numbers, on every machine
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () =>
    Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}
