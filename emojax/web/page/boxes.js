// Boxes that say the same suppressed (emojax/faces/pyramid.py), and their order.

// Indices of what is a maximum, best first. Boxes are [left, top, right, bottom];
// `limit` is the largest overlap that is kept: over the union, or the smaller box.
export function suppress(boxes, scores, limit, smaller = false) {
  const area = boxes.map(([l, t, r, b]) => (r - l) * (b - t));
  let order = boxes.map((_, i) => i).sort((i, j) => scores[j] - scores[i] || i - j);
  const kept = [];
  while (order.length) {
    const [best, ...others] = order;
    kept.push(best);
    order = others.filter((i) => {
      const both = overlap(boxes[best], boxes[i]);
      const of = smaller
        ? Math.min(area[best], area[i])
        : area[best] + area[i] - both;
      return both <= limit * of;
    });
  }
  return kept;
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return Math.max(width, 0) * Math.max(height, 0);
}

// Faces {box: [x, y, w, h], score, points: [[x, y] x 5]} from left to right.
export function ordered(faces) {
  return faces.sort(({ box: a }, { box: b }) =>
    a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3]);
}
