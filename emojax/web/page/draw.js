// The picture with a box and an answer by every face.

import { headline, share } from './words.js';

const LONGEST = 1600; // pixels of the canvas
const SURE = '#0072b2', UNSURE = '#e69f00';

// Draws a picture and answers; returns the scale. A mirror is for webcams.
export function draw(canvas, bitmap, answers, mirror = false) {
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext('2d');
  context.save();
  if (mirror) context.setTransform(-1, 0, 0, 1, width, 0);
  context.clearRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  context.restore();
  answers.forEach((answer, i) => {
    const [x, y, w, h] = answer.box.map((number) => number * scale);
    box(context, [mirror ? width - x - w : x, y, w, h], answer, i, answers.length);
  });
}

function box(context, [x, y, w, h], answer, i, count) {
  const canvas = context.canvas;
  // In the size of the page, whatever the canvas has.
  const unit = Math.max(1, canvas.width / (canvas.clientWidth || canvas.width));
  context.lineWidth = 3 * unit;
  context.strokeStyle = 'rgba(0, 0, 0, .45)';
  context.strokeRect(x - unit, y - unit, w + 2 * unit, h + 2 * unit);
  context.strokeStyle = answer.unsure ? UNSURE : SURE;
  context.setLineDash(answer.unsure ? [8 * unit, 5 * unit] : []);
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
  tag(context, label(answer, i, count), x, y, h, answer.unsure, unit);
}

function label(answer, i, count) {
  const { text, probability } = headline(answer);
  const number = count > 1 ? `${i + 1}  ` : '';
  const percent = probability === undefined ? '' : ` ${share(probability)}`;
  return `${number}${text}${answer.unsure ? '?' : percent}`;
}

function tag(context, text, x, y, h, unsure, unit) {
  context.font = `600 ${15 * unit}px system-ui, sans-serif`;
  const { canvas } = context, pad = 7 * unit, high = 26 * unit;
  const wide = context.measureText(text).width + 2 * pad;
  const left = Math.max(0, Math.min(x - 1.5 * unit, canvas.width - wide));
  let top = y - high;
  if (top < 0) top = Math.max(0, Math.min(y + h, canvas.height - high));
  context.fillStyle = unsure ? UNSURE : SURE;
  context.beginPath();
  context.roundRect(left, top, wide, high, 5 * unit);
  context.fill();
  context.fillStyle = unsure ? '#221600' : '#fff';
  context.textBaseline = 'middle';
  context.fillText(text, left + pad, top + high / 2);
}
