// Everything that takes time: networks, faces, answers. One message, one reply.

import { detector } from './detector.js';
import { answered } from './model.js';
import { fromRgba } from './pixels.js';
import { bytes, inOrder, network, useRuntime } from './runtime.js';
import { tiled } from './tiles.js';

const STRIPE = 4e6; // pixels: what every browser's canvas holds
const ROOT = new URL('..', import.meta.url);

let about, detect, model;

async function open(told) {
  const file = (name) => bytes(new URL(name, ROOT), told);
  const names = about.detector.files.map((name) => `detector/${name}`);
  const [runtime, onnx, ...networks] = await Promise.all(
    ['runtime/ort.wasm.gz', 'model.onnx', ...names].map(file),
  );
  await checkModel(onnx);
  await useRuntime(runtime);
  const detectors = [];
  for (const one of networks) detectors.push(await inOrder(one));
  detect = detector(detectors, about.detector);
  model = await network(onnx);
}

// Labels and crops of one model would be wrong for another one.
async function checkModel(onnx) {
  if (!globalThis.crypto?.subtle) return; // without https there is none
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', onnx));
  const text = [...digest].map((x) => x.toString(16).padStart(2, '0')).join('');
  if (!text.startsWith(about.digest)) {
    throw new Error('model.onnx is not the one that this page was exported with');
  }
}

// In stripes, as the canvases of phones are small.
function pixels(bitmap) {
  const { width, height } = bitmap;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIPE / width)));
  const canvas = new OffscreenCanvas(width, rows);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  const made = { width, height, data: new Uint8Array(3 * width * height) };
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    context.clearRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, count);
    made.data.set(fromRgba(data, width, count).data, 3 * width * top);
  }
  return made;
}

async function look({ bitmap, live }) {
  const picture = pixels(bitmap);
  // Small faces of a webcam are nobody's who sits in front of it.
  const faces = await (live
    ? detect(picture, about.detector.camera_side) : tiled(detect)(picture));
  return answered(picture, faces, model.run, about);
}

self.onmessage = async ({ data: { id, kind, ...asked } }) => {
  try {
    if (kind === 'open') {
      ({ about } = asked);
      await open((count) => self.postMessage({ loaded: count }));
      self.postMessage({ id, result: about });
    } else {
      const result = await look(asked);
      self.postMessage({ id, result, bitmap: asked.bitmap }, [asked.bitmap]);
    }
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};
