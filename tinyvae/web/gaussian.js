"use strict";
// Gaussians of any dimension: both KLs with their terms, wrong ways to write one, and the
// linear-Gaussian model, where everything about the bound is known.  In nats.
// A Gaussian is { mean: [k], cov: [[k] k] }.

function cholesky(S) { // the lower L with L L' = S
  const L = S.map((row) => row.map(() => 0));
  for (let i = 0; i < S.length; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = S[i][j];
      for (let k = 0; k < j; k++) sum -= L[i][k] * L[j][k];
      L[i][j] = i === j ? Math.sqrt(sum) : sum / L[j][j];
    }
  }
  return L;
}

function solve(L, v) { // S^-1 v, for S = L L'
  const y = [...v], k = v.length;
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < i; j++) y[i] -= L[i][j] * y[j];
    y[i] /= L[i][i];
  }
  for (let i = k - 1; i >= 0; i--) {
    for (let j = i + 1; j < k; j++) y[i] -= L[j][i] * y[j];
    y[i] /= L[i][i];
  }
  return y;
}

const logDet = (L) => L.reduce((sum, row, i) => sum + 2 * Math.log(row[i]), 0);
const dot = (a, b) => a.reduce((sum, ai, i) => sum + ai * b[i], 0);
const minus = (a, b) => a.map((ai, i) => ai - b[i]);
const column = (S, j) => S.map((row) => row[j]);
const traceOfSolved = (L, S) => S.reduce((sum, _, j) => sum + solve(L, column(S, j))[j], 0);

function klTerms(q, p) { // what KL(q || p) is half the sum of
  const Lp = cholesky(p.cov), Lq = cholesky(q.cov), d = minus(q.mean, p.mean);
  return {
    trace: traceOfSolved(Lp, q.cov), // tr(Sp^-1 Sq)
    k: d.length,
    log_ratio: logDet(Lp) - logDet(Lq), // log |Sp| - log |Sq|
    distance: dot(d, solve(Lp, d)), // d' Sp^-1 d,  d = mq - mp
  };
}

function klGaussians(q, p) { // KL(q || p) = 1/2 [ tr(Sp^-1 Sq) - k + log |Sp|/|Sq| + d' Sp^-1 d ]
  const { trace, k, log_ratio, distance } = klTerms(q, p);
  return 0.5 * (trace - k + log_ratio + distance);
}

const MISTAKES = [ // one change away from the right formula; the museum has them by these names
  { name: "the 1/2 is missing", museum: "half_missing",
    value: (q, p, t) => t.trace - t.k + t.log_ratio + t.distance },
  { name: "\u2212k is missing", museum: "dimension_missing",
    value: (q, p, t) => 0.5 * (t.trace + t.log_ratio + t.distance) },
  { name: "\u22121 instead of \u2212k", museum: "one_instead_of_dimension",
    value: (q, p, t) => 0.5 * (t.trace - 1 + t.log_ratio + t.distance) },
  { name: "+k instead of \u2212k", museum: "dimension_added",
    value: (q, p, t) => 0.5 * (t.trace + t.k + t.log_ratio + t.distance) },
  { name: "the log of the determinants upside down", museum: "logdet_inverted",
    value: (q, p, t) => 0.5 * (t.trace - t.k - t.log_ratio + t.distance) },
  { name: "the trace upside down", museum: "trace_inverted",
    value: (q, p, t) => 0.5 * (klTerms(p, q).trace - t.k + t.log_ratio + t.distance) },
  { name: "the distance measured in q", museum: "distance_in_q",
    value: (q, p, t) => 0.5 * (t.trace - t.k + t.log_ratio + klTerms(p, q).distance) },
  { name: "q and p swapped", museum: "swapped_arguments",
    value: (q, p) => klGaussians(p, q) },
  { name: "the sign turned", museum: "sign_turned",
    value: (q, p) => -klGaussians(q, p) },
];

function logDensity(x, { mean, cov }) { // log N(x; mean, cov)
  const L = cholesky(cov), d = minus(x, mean);
  return -0.5 * (dot(d, solve(L, d)) + logDet(L) + x.length * Math.log(2 * Math.PI));
}

// --- p(z) = N(0, I),  p(x|z) = N(W z + b, noise_var I) -------------------------------------------

const identity = (k, scale = 1) =>
  Array.from({ length: k }, (_, i) => Array.from({ length: k }, (_, j) => (i === j ? scale : 0)));

function logEvidence({ W, b, noise_var }, x) { // log p(x) = log N(x; b, W W' + noise_var I)
  const cov = W.map((wi, i) => W.map((wj, j) => dot(wi, wj) + (i === j ? noise_var : 0)));
  return logDensity(x, { mean: b, cov });
}

function exactPosterior({ W, b, noise_var }, x) { // p(z|x): precision I + W' W / noise_var
  const k = W[0].length, columns = identity(k).map((_, j) => column(W, j));
  const precision = columns.map((wi, i) =>
    columns.map((wj, j) => dot(wi, wj) / noise_var + (i === j ? 1 : 0)));
  const L = cholesky(precision), d = minus(x, b);
  const mean = solve(L, columns.map((w) => dot(w, d) / noise_var));
  const inverse = identity(k).map((e) => solve(L, e));
  return { mean, cov: inverse.map((row, i) => row.map((v, j) => (v + inverse[j][i]) / 2)) };
}

function expectedLogLikelihood({ W, b, noise_var }, x, q) { // E_q log p(x|z), with q's spread
  const error = x.map((xi, i) => xi - b[i] - dot(W[i], q.mean));
  const spread = W.reduce((sum, w) => sum + dot(w, q.cov.map((row) => dot(row, w))), 0);
  const normalizer = x.length * Math.log(2 * Math.PI * noise_var);
  return -0.5 * ((dot(error, error) + spread) / noise_var + normalizer);
}
