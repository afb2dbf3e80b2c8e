// Arithmetic of pictures, in whole numbers exactly as Pillow's (Reduce.c, Resample.c,
// Geometry.c): what a network sees here is what it sees in `emojax predict`.
//
// A picture is {width, height, data}, data of three bytes a pixel, RGB, row by row.

const BITS = 22; // of a coefficient's fraction: 32 - 8 - 2

export const SUPPORT = { box: 0.5, bilinear: 1 };
const FILTERS = {
  box: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0),
  bilinear: (x) => Math.max(0, 1 - Math.abs(x)),
};

export function blank(width, height) {
  return { width, height, data: new Uint8Array(3 * width * height) };
}

export function fromRgba(rgba, width, height) {
  const made = blank(width, height);
  for (let i = 0, j = 0; i < made.data.length; i += 3, j += 4) {
    made.data[i] = rgba[j];
    made.data[i + 1] = rgba[j + 1];
    made.data[i + 2] = rgba[j + 2];
  }
  return made;
}

// A rectangle in whole pixels; black where it lies outside.
export function cut(picture, left, top, right, bottom) {
  const made = blank(right - left, bottom - top);
  const first = Math.max(left, 0), last = Math.min(right, picture.width);
  if (last <= first) return made;
  const low = Math.max(top, 0), high = Math.min(bottom, picture.height);
  for (let y = low; y < high; y++) {
    const from = 3 * (y * picture.width + first);
    const row = picture.data.subarray(from, from + 3 * (last - first));
    made.data.set(row, 3 * ((y - top) * made.width + first - left));
  }
  return made;
}

// The picture with its edge going on for some pixels on every side.
export function padded(picture, left, top, right, bottom) {
  const { width, height, data } = picture;
  const made = blank(width + left + right, height + top + bottom);
  for (let y = 0; y < made.height; y++) {
    const row = 3 * width * Math.min(Math.max(y - top, 0), height - 1);
    for (let x = 0; x < made.width; x++) {
      const from = row + 3 * Math.min(Math.max(x - left, 0), width - 1);
      const to = 3 * (y * made.width + x);
      for (let c = 0; c < 3; c++) made.data[to + c] = data[from + c];
    }
  }
  return made;
}

// Means over blocks of across x down pixels (Image.reduce), of a box in whole
// pixels or of all; blocks at the right and lower edge may be smaller.
export function reduce(picture, across, down, box) {
  const [x0, y0, x1, y1] = box ?? [0, 0, picture.width, picture.height];
  if (across === 1 && down === 1) return cut(picture, x0, y0, x1, y1);
  const made = blank(Math.ceil((x1 - x0) / across), Math.ceil((y1 - y0) / down));
  const sums = new Float64Array(3 * made.width);
  for (let y = 0; y < made.height; y++) {
    const top = y0 + y * down, rows = Math.min(down, y1 - top);
    sums.fill(0);
    for (let j = top; j < top + rows; j++) {
      let from = 3 * (j * picture.width + x0);
      for (let x = 0, i = 0; x < made.width; x++, i += 3) {
        const columns = Math.min(across, x1 - x0 - x * across);
        for (let k = 0; k < columns; k++, from += 3) {
          sums[i] += picture.data[from];
          sums[i + 1] += picture.data[from + 1];
          sums[i + 2] += picture.data[from + 2];
        }
      }
    }
    for (let x = 0; x < made.width; x++) {
      const count = rows * Math.min(across, x1 - x0 - x * across);
      const multiplier = Math.trunc(Math.fround(2 ** 32 / (256 * count)));
      const half = Math.floor(count / 2), to = 3 * (y * made.width + x);
      for (let c = 0; c < 3; c++) {
        const product = (sums[3 * x + c] + half) * multiplier;
        made.data[to + c] = Math.floor(product / 2 ** 24);
      }
    }
  }
  return made;
}

// Scales a box [left, top, right, bottom] to width x height (Image.resize).
export function resize(picture, width, height, filter, box, gap = 0) {
  box = box ?? [0, 0, picture.width, picture.height];
  if (gap) [picture, box] = firstReduced(picture, width, height, filter, box, gap);
  box = box.map(Math.fround);
  const [left, top, right, bottom] = box;
  const across = coefficients(picture.width, left, right, width, filter);
  const down = coefficients(picture.height, top, bottom, height, filter);
  const wide = width !== picture.width || left !== 0 || right !== width;
  const high = height !== picture.height || top !== 0 || bottom !== height;
  if (!wide && !high) return cut(picture, 0, 0, width, height);
  // Each pass rounds, so that their order matters; this is Pillow's (13).
  const lost = picture.height - height;
  if (lost > 0 && lost > 2 * (picture.width - width)) {
    const made = high ? vertical(picture, down, height, used(across)) : picture;
    return wide ? horizontal(made, across, width, [0, made.height]) : made;
  }
  const made = wide ? horizontal(picture, across, width, used(down)) : picture;
  return high ? vertical(made, down, height, [0, made.width]) : made;
}

// Means over whole pixels before, so that `gap` times the size is left.
function firstReduced(picture, width, height, filter, box, gap) {
  const [left, top, right, bottom] = box;
  const across = Math.trunc((right - left) / width / gap) || 1;
  const down = Math.trunc((bottom - top) / height / gap) || 1;
  if (across === 1 && down === 1) return [picture, box];
  const support = SUPPORT[filter] - 0.5;
  const x = (support * (right - left)) / width;
  const y = (support * (bottom - top)) / height;
  const safe = [
    Math.max(0, Math.trunc(left - x)), Math.max(0, Math.trunc(top - y)),
    Math.min(picture.width, Math.ceil(right + x)),
    Math.min(picture.height, Math.ceil(bottom + y)),
  ];
  return [
    reduce(picture, across, down, safe),
    [
      (left - safe[0]) / across, (top - safe[1]) / down,
      (right - safe[0]) / across, (bottom - safe[1]) / down,
    ],
  ];
}

// Of every pixel of the result: the first of the source, how many, their weights.
function coefficients(size, low, high, count, filter) {
  const scale = Math.fround(high - low) / count;
  const stretched = Math.max(1, scale);
  const support = SUPPORT[filter] * stretched;
  const most = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(count), lengths = new Int32Array(count);
  const weights = new Int32Array(count * most);
  const exact = new Float64Array(most);
  for (let i = 0; i < count; i++) {
    const centre = low + (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const length = Math.min(size, Math.trunc(centre + support + 0.5)) - start;
    let sum = 0;
    for (let k = 0; k < length; k++) {
      exact[k] = FILTERS[filter]((k + start - centre + 0.5) * (1 / stretched));
      sum += exact[k];
    }
    for (let k = 0; k < length; k++) {
      const share = sum === 0 ? exact[k] : exact[k] / sum;
      weights[i * most + k] = Math.trunc(0.5 + share * 2 ** BITS);
    }
    first[i] = start;
    lengths[i] = length;
  }
  return { first, lengths, weights, most };
}

const byte = (sum) => Math.min(255, Math.max(0, sum >> BITS));

// Of a source's pixels along an axis: the first that counts, and that after the last.
function used({ first, lengths }) {
  return [first[0], first.at(-1) + lengths.at(-1)];
}

// The pass along rows, of those from `top` to `bottom`; others stay black.
function horizontal(picture, across, width, [top, bottom]) {
  const made = blank(width, picture.height), { data } = picture;
  for (let x = 0; x < width; x++) {
    const start = across.first[x], weights = x * across.most;
    for (let y = top; y < bottom; y++) {
      let from = 3 * (y * picture.width + start);
      let r = 1 << (BITS - 1), g = r, b = r;
      for (let k = 0; k < across.lengths[x]; k++, from += 3) {
        const weight = across.weights[weights + k];
        r += data[from] * weight;
        g += data[from + 1] * weight;
        b += data[from + 2] * weight;
      }
      const to = 3 * (y * width + x);
      made.data[to] = byte(r);
      made.data[to + 1] = byte(g);
      made.data[to + 2] = byte(b);
    }
  }
  return made;
}

// The pass along columns, of those from `left` to `right`.
function vertical(picture, down, height, [left, right]) {
  const row = 3 * picture.width, { data } = picture;
  const made = blank(picture.width, height);
  const sums = new Int32Array(row);
  for (let y = 0; y < height; y++) {
    sums.fill(1 << (BITS - 1));
    for (let k = 0; k < down.lengths[y]; k++) {
      const weight = down.weights[y * down.most + k];
      const from = (down.first[y] + k) * row;
      for (let i = 3 * left; i < 3 * right; i++) sums[i] += data[from + i] * weight;
    }
    for (let i = 3 * left; i < 3 * right; i++) made.data[y * row + i] = byte(sums[i]);
  }
  return made;
}

// The picture under an affine map (a b c; d e f) of the result's pixels, between
// four neighbours (Image.transform); black outside.
export function affine(picture, width, height, [a, b, c, d, e, f]) {
  const made = blank(width, height), { data } = picture;
  const right = picture.width - 1, bottom = picture.height - 1;
  for (let j = 0, to = 0; j < height; j++) {
    for (let i = 0; i < width; i++, to += 3) {
      const x = a * (i + 0.5) + b * (j + 0.5) + c;
      const y = d * (i + 0.5) + e * (j + 0.5) + f;
      if (!(x >= 0 && x < picture.width && y >= 0 && y < picture.height)) continue;
      const left = Math.floor(x - 0.5), top = Math.floor(y - 0.5);
      const dx = x - 0.5 - left, dy = y - 0.5 - top;
      const x0 = 3 * Math.max(left, 0), x1 = 3 * Math.min(left + 1, right);
      const y0 = 3 * picture.width * Math.max(top, 0);
      const y1 = 3 * picture.width * Math.min(top + 1, bottom);
      for (let k = 0; k < 3; k++) {
        const p = data[y0 + x0 + k], q = data[y1 + x0 + k];
        const upper = p + (data[y0 + x1 + k] - p) * dx;
        const lower = top < bottom ? q + (data[y1 + x1 + k] - q) * dx : upper;
        made.data[to + k] = Math.trunc(upper + (lower - upper) * dy);
      }
    }
  }
  return made;
}
