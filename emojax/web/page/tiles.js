// Large pictures looked at whole, and once more in tiles (emojax/faces/tiles.py).

import { ordered, suppress } from './boxes.js';
import { cut } from './pixels.js';

const SIDE = 2560, OVERLAP = 1 / 8;
const NEAR = 0.05; // of a box's sides
const SAME = 0.4, INSIDE = 0.7; // from where on two boxes are one face

// `detect` made to look at large pictures in tiles, too.
export function tiled(detect) {
  return async (picture) => {
    const found = [await detect(picture)];
    const longest = Math.max(picture.width, picture.height);
    if (longest <= SIDE) return found[0];
    const overlap = Math.trunc(Math.max(SIDE, longest / 2) * OVERLAP);
    for (const row of spans(picture.height, overlap)) {
      for (const column of spans(picture.width, overlap)) {
        found.push(await ofTile(detect, picture, row, column));
      }
    }
    return merged(found.flat());
  };
}

function spans(length, overlap) {
  if (length <= SIDE) return [[0, length]];
  overlap = Math.min(overlap, SIDE / 2);
  const count = Math.ceil((length - overlap) / (SIDE - overlap));
  const step = (length - SIDE) / (count - 1);
  const start = (i) => (i === count - 1 ? length - SIDE : Math.trunc(i * step));
  return Array.from({ length: count }, (_, i) => [start(i), start(i) + SIDE]);
}

async function ofTile(detect, picture, [top, bottom], [left, right]) {
  const found = await detect(cut(picture, left, top, right, bottom));
  const moved = found.map(({ box: [x, y, w, h], score, points }) => ({
    box: [Math.fround(x + left), Math.fround(y + top), w, h],
    score,
    points: points.map(([a, b]) => [Math.fround(a + left), Math.fround(b + top)]),
  }));
  const within = (low, high, first, last, size) =>
    (first === 0 || low > first) && (last >= size || high < last);
  // What an inner edge cuts is left to the neighbour or to the whole.
  return moved.filter(({ box: [x, y, w, h] }) =>
    within(x - NEAR * w, x + w + NEAR * w, left, right, picture.width)
    && within(y - NEAR * h, y + h + NEAR * h, top, bottom, picture.height));
}

function merged(faces) {
  for (const [limit, smaller] of [[SAME, false], [INSIDE, true]]) {
    const boxes = faces.map(({ box: [x, y, w, h] }) => [x, y, x + w, y + h]);
    const kept = suppress(boxes, faces.map((face) => face.score), limit, smaller);
    faces = kept.map((i) => faces[i]);
  }
  return ordered(faces);
}
