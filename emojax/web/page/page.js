// What happens when: files, webcam, answers. Tells others by the event emojax-answers.

import { readAbout } from './about.js';
import { Camera } from './camera.js';
import { cards, reading } from './cards.js';
import { draw } from './draw.js';
import { Engine } from './engine.js';
import { opened } from './pictures.js';
import { spoken } from './words.js';

const SPOKEN_MS = 3000; // between what is read out of a webcam
const AVERAGED = 20; // frames of the rate

const get = (id) => document.getElementById(id);
const camera = new Camera(get('video'));
let about = null, engine = null;
let turn = 0; // of what was asked last: answers to anything before are dropped
let shown = null; // {bitmap, answers, live}

function say(text) {
  if (get('status').textContent !== text) get('status').textContent = text;
}

function problem(text) {
  get('problem').textContent = text;
  get('problem').hidden = !text;
}

function show(bitmap, answers, live) {
  if (shown && shown.bitmap !== bitmap) shown.bitmap.close();
  shown = { bitmap, answers, live };
  get('stage').hidden = false;
  draw(get('stage'), bitmap, answers ?? [], live);
  get('answers').replaceChildren(...(answers ? cards(answers, about) : []));
}

function tell(answers, ms) {
  document.dispatchEvent(new CustomEvent('emojax-answers', { detail: { answers, ms } }));
}

async function look(file) {
  stopCamera();
  const mine = ++turn;
  problem('');
  say('Reading the picture …');
  try {
    const bitmap = await opened(file);
    if (mine !== turn) return bitmap.close();
    show(bitmap, null, false);
    shown = null; // the bitmap goes to the worker
    get('stage').setAttribute('aria-label', 'The picture');
    say('Looking for faces …');
    const start = performance.now();
    const reply = await engine.look(bitmap, false);
    if (mine !== turn) return reply.bitmap.close();
    show(reply.bitmap, reply.result, false);
    finished(reply.result, performance.now() - start);
  } catch (error) {
    if (mine === turn) failed(error);
  }
}

function finished(answers, ms) {
  const said = spoken(answers);
  say(said);
  get('stage').setAttribute('aria-label', `The picture. ${said}`);
  if (!answers.length) {
    problem('No face was found. Faces have to be about 48 pixels wide, mostly in front view, '
      + 'and not covered.');
  }
  tell(answers, ms);
}

function failed(error) {
  say('');
  problem(error.message);
  get('stage').hidden = true;
  get('answers').replaceChildren();
  tell(null, 0);
}

async function startCamera() {
  const mine = ++turn;
  problem('');
  say('Waiting for the camera …');
  try {
    await camera.start();
    if (mine !== turn) return;
    get('camera').setAttribute('aria-pressed', 'true');
    get('camera').textContent = 'Stop the webcam';
    await frames(mine);
  } catch (error) {
    if (mine !== turn) return;
    stopCamera();
    failed(error);
  }
}

async function frames(mine) {
  const times = [performance.now()];
  let told = -Infinity;
  while (mine === turn) {
    const frame = await camera.frame();
    if (frame === null) throw new Error('The camera has stopped. Try again.');
    const { result, bitmap } = await engine.look(frame, true);
    if (mine !== turn) return bitmap.close();
    show(bitmap, result, true);
    times.push(performance.now());
    const rate = ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
    if (times.length > AVERAGED) times.shift();
    get('rate').textContent = `${rate.toFixed(1)} frames a second, one thread`;
    if (times.at(-1) > told + SPOKEN_MS) {
      told = times.at(-1);
      say(spoken(result));
    }
    tell(result, 1000 / rate);
    // A hidden page computes nothing.
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
}

function stopCamera() {
  if (get('camera').getAttribute('aria-pressed') !== 'true') return;
  turn++;
  camera.stop();
  get('camera').setAttribute('aria-pressed', 'false');
  get('camera').textContent = 'Use the webcam';
  get('rate').textContent = '';
  say('The webcam is off.');
}

function listen() {
  get('file').addEventListener('change', ({ target }) => {
    if (target.files.length) look(target.files[0]);
    target.value = ''; // the same one again is asked again
  });
  get('camera').addEventListener('click', ({ target }) =>
    (target.getAttribute('aria-pressed') === 'true' ? stopCamera() : startCamera()));
  const stop = (event) => event.preventDefault();
  const over = (is) => get('drop').classList.toggle('over', is);
  addEventListener('dragover', (event) => { stop(event); over(true); });
  addEventListener('dragleave', () => over(false));
  addEventListener('drop', (event) => {
    stop(event);
    over(false);
    const [file] = event.dataTransfer.files;
    if (file) look(file);
    else problem('That is no file: save the picture, then drop it here.');
  });
  addEventListener('paste', (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) look(file);
  });
  addEventListener('resize', () => shown && draw(get('stage'), shown.bitmap, shown.answers ?? [], shown.live));
}

async function start() {
  get('stopped').remove();
  get('main').hidden = false;
  const buttons = [get('file'), get('camera')];
  for (const button of buttons) button.disabled = true;
  say('Loading the networks …');
  const read = await readAbout();
  const sum = Object.values(read.files).reduce((a, b) => a + b);
  let loaded = 0;
  engine = new Engine((count) => {
    loaded += count;
    get('progress').value = Math.min(1, loaded / sum);
  });
  about = await engine.open(read);
  get('progress').remove();
  get('fair').textContent = about.fair_use;
  get('reading').replaceChildren(...reading(about));
  const networks = about.members === 1 ? 'one network' : `${about.members} networks`;
  const trained = about.trained_on ? `, trained on ${about.trained_on}` : '';
  get('about').textContent = `Model ${about.name} (${about.digest}): ${networks}${trained}. `
    + 'Faces are found by MTCNN; networks are run by ONNX Runtime. Made with emojax.';
  for (const button of buttons) button.disabled = false;
  listen();
  say('Ready.');
  document.documentElement.dataset.ready = 'true';
}

start().catch((error) => {
  get('progress')?.remove();
  say('');
  problem(`This page could not be loaded in whole (${error.message}). Reload it; if that does `
    + 'not help, its folder is not complete or the browser is too old.');
});
