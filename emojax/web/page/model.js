// What the exported model says of crops, in the shape that the page shows.

import { crop } from './crop.js';
import { profile, sharpness, size } from './quality.js';

// Answers for the faces of a picture, in order; faces outside of it are left out.
//
// run: function of uint8 crops and their shape to outputs by name; about: about.json.
export async function answered(picture, faces, run, about) {
  const seen = faces.map((face) => look(picture, face, about)).filter(Boolean);
  if (!seen.length) return [];
  const side = about.image_size;
  const pixels = new Uint8Array(3 * side * side * seen.length);
  seen.forEach(({ pixels: one }, i) => pixels.set(one, 3 * side * side * i));
  const lead = about.stills ? [seen.length] : [seen.length, 1];
  const found = await run(pixels, [...lead, side, side, 3]);
  return seen.map(({ face, quality }, i) => answer(face, quality, found, i, about));
}

// A face cut out, and how well it can be seen.
function look(picture, face, about) {
  const cut = crop(picture, face, about.crop, about.image_size);
  if (cut === null) return null;
  const side = about.sharp_size;
  const small = side === about.image_size ? cut : crop(picture, face, about.crop, side);
  const quality = {
    sharpness: sharpness(small), profile: profile(face.points), size: size(face.box),
  };
  return { face, pixels: cut.data, quality };
}

function answer(face, quality, found, i, about) {
  const tasks = about.schema.map((task) => ofTask(task, found, i, about));
  const doubt = doubts('mean', found, i);
  const finite = tasks.every(({ numbers }) => numbers.every(Number.isFinite));
  const reasons = reasonsOf(quality, doubt, about.limits);
  const limit = about.limits.unsure;
  const close = limit !== null && !(doubt.total <= Math.fround(limit));
  return {
    box: face.box, score: face.score, quality, tasks, doubt, finite, reasons,
    unsure: close || reasons.length > 0 || !finite,
  };
}

function reasonsOf(quality, doubt, limits) {
  const is = {
    blurred: quality.sharpness < limits.sharpness,
    small: quality.size < limits.face,
    profile: quality.profile > limits.profile,
    foreign: limits.foreign !== null && !(doubt.epistemic <= Math.fround(limits.foreign)),
  };
  return Object.keys(is).filter((name) => is[name]);
}

function ofTask(task, found, i, about) {
  const { name, kind, labels } = task;
  const numbers = row(found[`${name}/probabilities`], i);
  const doubt = doubts(name, found, i);
  if (kind === 'binned') return { name, kind, numbers, doubt, values: values(task, found, i, numbers, about) };
  const spread = spreads(task, found[`${name}/logits`], i, about);
  const set = kind === 'categorical' ? setOf(task, found, i, about) : null;
  const limits = about.decision[name] ?? {};
  const top = numbers.indexOf(Math.max(...numbers));
  const chosen = labels.map((label, k) => (kind === 'categorical'
    ? k === top : numbers[k] > Math.fround(limits[label])));
  return { name, kind, labels, numbers, spread, set, chosen, doubt };
}

function doubts(name, found, i) {
  const of = (kind) => found[`${name}/${kind}`].data[i];
  return { total: of('total'), aleatoric: of('aleatoric'), epistemic: of('epistemic') };
}

// Numbers of one face, of an array whose first axis is faces.
function row({ data, dims }, i) {
  const length = data.length / dims[0];
  return Array.from(data.subarray(i * length, (i + 1) * length));
}

// Labels of the answer set of the page's coverage; null without one.
function setOf({ name, labels }, found, i, { coverages, coverage, sets }) {
  const array = found[`${name}/sets`];
  if (!array || coverage === null || !sets.includes(name)) return null;
  const start = coverages.indexOf(coverage) * labels.length;
  return row(array, i).slice(start, start + labels.length).map(Boolean);
}

// Standard deviations of the members' probabilities; null of a single one.
function spreads({ name, kind, labels }, { data, dims }, i, { prior }) {
  const [members] = dims, length = data.length / members;
  if (members < 2) return null;
  const each = Array.from({ length: members }, (_, m) => {
    const start = m * length + i * labels.length;
    const logits = labels.map((label, k) => data[start + k] - (prior[name]?.[label] ?? 0));
    return kind === 'binary' ? logits.map((x) => 1 / (1 + Math.exp(-x))) : softmax(logits);
  });
  return labels.map((_, k) => deviation(each.map((one) => one[k])));
}

function softmax(logits) {
  const most = Math.max(...logits), powers = logits.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((x) => x / sum);
}

function deviation(numbers) {
  const mean = numbers.reduce((a, b) => a + b) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, x) => sum + (x - mean) ** 2, 0) / numbers.length);
}

// Valence and arousal: expectation, and between which values most of it lies.
function values({ labels }, found, i, numbers, { bin_values: bins, mass }) {
  return labels.map((label, k) => {
    const probabilities = numbers.slice(k * bins.length, (k + 1) * bins.length);
    const [low, high] = mass.map((share) => quantile(probabilities, bins, share));
    return { label, value: found[label].data[i], low, high };
  });
}

function quantile(probabilities, bins, share) {
  const total = probabilities.reduce((a, b) => a + b);
  let sum = 0;
  for (let k = 0; k < bins.length; k++) {
    sum += probabilities[k];
    if (sum / total >= share - 1e-9) return bins[k];
  }
  return NaN;
}
