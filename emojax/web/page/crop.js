// Faces cut as those that the model was trained with (emojax/faces/align.py).

import { affine, cut, padded, reduce } from './pixels.js';

const APART = 1e-3; // pixels: nearer landmarks have no direction
const LIMIT = 1e7; // pixels: corners of crops are nearer to the picture's

// The crop of a face {box, points}, size x size; null where it is outside.
export function crop(picture, face, rule, size) {
  const matrix = similarity(face, rule);
  if (matrix === null) return null;
  const [a, b, c, d, e, f] = matrix;
  return sampled(picture, [a / size, b / size, c, d / size, e / size, f], size);
}

// From a crop of side 1 to the picture: the inverse of the similarity that brings
// the landmarks nearest to the rule's points (Umeyama, PAMI 1991, Eqs. 40-43);
// without landmarks it follows the box.
export function similarity({ box, points }, rule) {
  if (points.flat().every(Number.isFinite) && spread(points) >= APART) {
    const found = inverse(umeyama(points, rule.points));
    if (found.every(Number.isFinite)) return found;
  }
  const [x, y, width, height] = box, mean = Math.sqrt(width * height);
  if (!(Math.min(width, height) > 0) || ![x, y, mean].every(Number.isFinite)) return null;
  const [across, down, side] = rule.box.map((number) => number * mean);
  return [
    side, 0, x + width / 2 + across - side / 2,
    0, side, y + height / 2 + down - side / 2,
  ];
}

const mean = (points, k) => points.reduce((sum, p) => sum + p[k], 0) / points.length;

function spread(points) {
  const [x, y] = [mean(points, 0), mean(points, 1)];
  return Math.max(...points.map((p) => Math.max(Math.abs(p[0] - x), Math.abs(p[1] - y))));
}

// [a, b, x, y] of the turn (a -b; b a) and the shift.
function umeyama(source, target) {
  const [sx, sy, tx, ty] = [
    mean(source, 0), mean(source, 1), mean(target, 0), mean(target, 1),
  ];
  let along = 0, across = 0, square = 0;
  source.forEach(([p, q], i) => {
    const [x, y] = [p - sx, q - sy], [u, v] = [target[i][0] - tx, target[i][1] - ty];
    along += x * u + y * v;
    across += x * v - y * u;
    square += x * x + y * y;
  });
  const a = along / square, b = across / square;
  return [a, b, tx - (a * sx - b * sy), ty - (b * sx + a * sy)];
}

function inverse([a, b, x, y]) {
  const square = a * a + b * b, c = a / square, d = b / square;
  return [c, d, -(c * x + d * y), -d, c, -(-d * x + c * y)];
}

function sampled(picture, matrix, size) {
  const [a, b, c, d, e, f] = matrix;
  const corners = [[0, 0], [size, 0], [0, size], [size, size]]
    .map(([x, y]) => [a * x + b * y + c, d * x + e * y + f]);
  const sides = [picture.width, picture.height];
  const low = [0, 1].map((k) => Math.min(...corners.map((p) => p[k])));
  const high = [0, 1].map((k) => Math.max(...corners.map((p) => p[k])));
  const near = corners.flat().every((number) => Math.abs(number) < LIMIT);
  const inside = (k) => Math.min(high[k], sides[k]) - Math.max(low[k], 0) > 0;
  if (!near || !inside(0) || !inside(1)) return null;
  const from = low.map((n) => Math.floor(n) - 1), to = high.map((n) => Math.ceil(n) + 1);
  // Means over whole pixels first, so that twice the size below is enough.
  const factor = Math.max(1, Math.trunc(Math.hypot(a, d)));
  const [part, origin] = reduced(picture, from, to, factor);
  const twice = affine(part, 2 * size, 2 * size, [
    a / (2 * factor), b / (2 * factor), (c - origin[0]) / factor,
    d / (2 * factor), e / (2 * factor), (f - origin[1]) / factor,
  ]);
  return reduce(twice, 2, 2);
}

// A rectangle with its pixels averaged, and where its corner is in the picture.
function reduced(picture, low, high, factor) {
  const sides = [picture.width, picture.height];
  const first = low.map((n) => Math.max(n, 0));
  const last = high.map((n, k) => Math.min(n, sides[k]));
  let part = cut(picture, ...first, ...last);
  if (factor > 1) part = reduce(part, factor, factor);
  const before = first.map((n, k) => Math.ceil((n - low[k]) / factor));
  const after = last.map((n, k) => Math.ceil(Math.max(high[k] - n, 0) / factor) + 1);
  return [
    padded(part, ...before, ...after),
    first.map((n, k) => n - before[k] * factor),
  ];
}
