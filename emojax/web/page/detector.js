// MTCNN: three small networks, each more careful than the last, as
// emojax/faces/mtcnn.py has them (Zhang et al., IEEE Signal Processing Letters 2016).

import { ordered, suppress } from './boxes.js';
import { cut, resize } from './pixels.js';

const WINDOW = 12, STRIDE = 2; // of the first network, in pixels of a level
const MARGIN = WINDOW / 2;
const FACTOR = 0.709; // from one level to the next: half the area
const LEAST = 640, MOST = 1280; // usual longest sides

export function usualSide(longest) {
  return Math.min(longest, Math.max(LEAST, Math.min(Math.floor(longest / 2), MOST)));
}

// What finds faces: (picture, longest side or null) -> faces, in order.
//
// networks: three functions of (float32, shape) to outputs, in the files' order;
// settings: {smallest, thresholds} of emojax/faces/mtcnn.py.
export function detector(networks, { smallest, thresholds }) {
  return async (picture, longest) => {
    if (!picture.data.length) return [];
    const side = Math.max(picture.width, picture.height);
    const ratio = Math.min(1, (longest ?? usualSide(side)) / side);
    const small = resized(picture, ratio);
    const levels = [level(small, 1), ...pyramid(small, smallest)];
    let boxes = await propose(networks[0], levels.slice(1), thresholds[0]);
    boxes = await refine(networks[1], levels, boxes, thresholds[1]);
    const faces = await decide(networks[2], levels, boxes, thresholds[2]);
    return ordered(faces.map((face) => restored(face, ratio)));
  };
}

function resized(picture, ratio) {
  if (ratio === 1) return picture;
  const width = Math.max(1, Math.trunc(picture.width * ratio));
  const height = Math.max(1, Math.trunc(picture.height * ratio));
  const right = Math.min(width / ratio, picture.width);
  const bottom = Math.min(height / ratio, picture.height);
  return resize(picture, width, height, 'box', [0, 0, right, bottom], 2);
}

// A picture with a black margin, and its scale.
function level(picture, scale) {
  const small = resized(picture, scale);
  const right = small.width + MARGIN, bottom = small.height + MARGIN;
  return { image: cut(small, -MARGIN, -MARGIN, right, bottom), scale };
}

function pyramid(picture, smallest) {
  const found = [], least = Math.min(picture.width, picture.height);
  for (let scale = Math.min(1, WINDOW / smallest); ; scale *= FACTOR) {
    found.push(level(picture, scale));
    if (least * scale * FACTOR < (WINDOW * 2) / 3) return found;
  }
}

// As float32 with width before height, as the networks were trained.
function normalised(picture, into, offset) {
  const { width, height, data } = picture;
  for (let y = 0, from = 0; y < height; y++) {
    for (let x = 0; x < width; x++, from += 3) {
      const to = offset + 3 * (x * height + y);
      for (let c = 0; c < 3; c++) into[to + c] = (data[from + c] - 127.5) * 0.0078125;
    }
  }
}

async function propose(network, levels, threshold) {
  const boxes = [], scores = [], shifts = [];
  for (const one of levels) await windows(network, one, threshold, boxes, scores, shifts);
  return suppress(boxes, scores, 0.7).map((i) => square(moved(boxes[i], shifts[i])));
}

async function windows(network, { image, scale }, threshold, boxes, scores, shifts) {
  const pixels = new Float32Array(image.data.length);
  normalised(image, pixels, 0);
  const [shift, probability] = await network(pixels, [1, image.width, image.height, 3]);
  const height = probability.dims[2], found = [];
  for (let i = 0; i < probability.data.length / 2; i++) {
    if (!(probability.data[2 * i + 1] >= threshold)) continue;
    const x = Math.floor(i / height) * STRIDE - MARGIN;
    const y = (i % height) * STRIDE - MARGIN;
    const box = [x, y, x + WINDOW, y + WINDOW].map((edge) => edge / scale);
    found.push({ i, box, score: probability.data[2 * i + 1] });
  }
  const kept = suppress(found.map((f) => f.box), found.map((f) => f.score), 0.5);
  for (const { i, box, score } of kept.map((k) => found[k])) {
    boxes.push(box);
    scores.push(score);
    shifts.push(shift.data.subarray(4 * i, 4 * i + 4));
  }
}

async function refine(network, levels, boxes, threshold) {
  if (!boxes.length) return boxes;
  const [shift, probability] = await looked(network, levels, boxes, 24);
  const good = above(boxes, probability, threshold);
  const kept = suppress(good.map((i) => boxes[i]), good.map((i) => score(probability, i)), 0.7);
  return kept.map((k) => good[k]).map((i) =>
    square(moved(boxes[i], shift.data.subarray(4 * i, 4 * i + 4))));
}

async function decide(network, levels, boxes, threshold) {
  if (!boxes.length) return [];
  const [shift, points, probability] = await looked(network, levels, boxes, 48);
  const found = above(boxes, probability, threshold).map((i) => ({
    edges: moved(boxes[i], shift.data.subarray(4 * i, 4 * i + 4)),
    score: score(probability, i),
    points: landmarks(boxes[i], points.data.subarray(10 * i, 10 * i + 10)),
  }));
  const kept = suppress(found.map((f) => f.edges), found.map((f) => f.score), 0.7, true);
  return kept.map((k) => found[k]);
}

const score = (probability, i) => probability.data[2 * i + 1];

function above(boxes, probability, threshold) {
  return boxes.map((_, i) => i).filter((i) => score(probability, i) > threshold);
}

// What a network says of candidates, cut out as squares of its input's size.
async function looked(network, levels, boxes, side) {
  const pixels = new Float32Array(3 * side * side * boxes.length);
  boxes.forEach((box, i) =>
    normalised(candidate(levels, box, side), pixels, 3 * side * side * i));
  return network(pixels, [boxes.length, side, side, 3]);
}

// Out of the level where it has about the size of the network's input.
function candidate(levels, box, side) {
  const extent = box[2] - box[0];
  const fine = levels.filter(({ scale }) => extent * scale >= side);
  const { image, scale } = fine.at(-1) ?? levels[0];
  let edges = box.map((edge) => edge * scale + MARGIN), part = image;
  const outside = Math.min(edges[0], edges[1]) < 0
    || edges[2] > part.width || edges[3] > part.height;
  if (outside) {
    const [left, top] = edges.slice(0, 2).map(Math.floor);
    part = cut(part, left, top, ...edges.slice(2).map(Math.ceil));
    edges = edges.map((edge, i) => edge - (i % 2 ? top : left));
  }
  return resize(part, side, side, 'bilinear', edges);
}

// All five x, then all five y, in units of the candidate.
function landmarks([left, top, right, bottom], shares) {
  return [0, 1, 2, 3, 4].map((i) => [
    left + shares[i] * (right - left), top + shares[i + 5] * (bottom - top),
  ]);
}

function moved([left, top, right, bottom], shift) {
  const width = right - left, height = bottom - top;
  return [
    left + shift[0] * width, top + shift[1] * height,
    right + shift[2] * width, bottom + shift[3] * height,
  ];
}

function square([left, top, right, bottom]) {
  const x = left + (right - left) / 2, y = top + (bottom - top) / 2;
  const half = Math.max(right - left, bottom - top, 1) / 2;
  return [x - half, y - half, x + half, y + half];
}

// In pixels of the whole picture; in single precision, as Python hands them on.
function restored({ edges: [left, top, right, bottom], score, points }, ratio) {
  const box = [left, top, right - left, bottom - top];
  return {
    box: box.map((number) => Math.fround(number / ratio)),
    score,
    points: points.map((point) => point.map((number) => Math.fround(number / ratio))),
  };
}
