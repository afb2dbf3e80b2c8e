'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const GAP = 255;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name);
}

function clock(seconds) {
  const tenths = Math.round(10 * seconds);  // 59.96 s are a minute
  const minutes = Math.floor(tenths / 600);
  return `${minutes}:${(tenths / 10 - 60 * minutes).toFixed(1).padStart(4, '0')}`;
}

function plural(count, one, many) {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

// Last index whose value is not above x, at least 0.
function before(values, x) {
  let low = 0, high = values.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle] > x) high = middle; else low = middle;
  }
  return low;
}

function decode(track) {
  const times = Float64Array.from(
    new Uint32Array(bytes(track.times).buffer), (t) => t / 1000);
  const gaps = [...times.slice(1)].map((t, i) => t - times[i]).sort((a, b) => a - b);
  return {
    number: track.number, count: track.count, answers: track.answers, times,
    step: Math.max(0.2, 3 * (gaps[gaps.length >> 1] || 0)),
    boxes: new Float32Array(bytes(track.boxes).buffer),
    unsure: bytes(track.unsure), total: bytes(track.total),
    labels: track.labels.map((three) => three.map(bytes)),
  };
}

class Chart {
  constructor(video, name, low, pick) {
    this.video = video;
    this.low = low;
    this.pick = pick; // track -> [value, low end, high end] as bytes
    this.number = make('span');
    this.canvas = make('canvas', {
      role: 'img', 'aria-label': `${name} over time`});
    this.figure = make('figure', {class: 'chart'},
      make('figcaption', {}, make('b', {}, name), this.number),
      make('div', {class: 'scale', 'aria-hidden': 'true'},
        ...[1, (1 + low) / 2, low].map((end) => make('span', {}, `${end}`))),
      this.canvas);
    const move = (event) => {
      if (event.type === 'pointermove' && !event.buttons) return;
      const box = this.canvas.getBoundingClientRect();
      video.seek(video.time((event.clientX - box.left) / box.width));
    };
    this.canvas.addEventListener('pointerdown', move);
    this.canvas.addEventListener('pointermove', move);
  }

  draw() {
    const {canvas, video} = this, track = video.track;
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext('2d');
    pen.scale(ratio, ratio);
    const x = (i) => video.part(track.times[i]) * width;
    const y = (value) => 2 + (height - 4) * (1 - value / (GAP - 1));
    pen.fillStyle = colour('--unsure-band');
    for (let i = 0; i < track.times.length; i++) {
      if (!track.unsure[i]) continue;
      const end = i + 1 < track.times.length &&
        track.times[i + 1] - track.times[i] <= track.step ? x(i + 1) : x(i) + 1;
      pen.fillRect(x(i), 0, Math.max(1, end - x(i)), height);
    }
    pen.strokeStyle = colour('--line');
    pen.beginPath();
    pen.moveTo(0, height / 2);
    pen.lineTo(width, height / 2);
    pen.stroke();
    const [value, low, high] = this.pick(track);
    for (const [start, stop] of this.spans(track, value)) {
      pen.fillStyle = colour('--band');
      pen.beginPath();
      for (let i = start; i < stop; i++) pen.lineTo(x(i), y(high[i]));
      for (let i = stop - 1; i >= start; i--) pen.lineTo(x(i), y(low[i]));
      pen.fill();
      pen.strokeStyle = colour('--sure');
      pen.lineWidth = 1.6;
      pen.beginPath();
      for (let i = start; i < stop; i++) pen.lineTo(x(i), y(value[i]));
      if (stop === start + 1) pen.lineTo(x(start) + 1, y(value[start]));
      pen.stroke();
    }
    pen.strokeStyle = colour('--ink');
    pen.lineWidth = 1;
    const now = Math.round(video.part(video.now) * (width - 1)) + .5;
    pen.beginPath();
    pen.moveTo(now, 0);
    pen.lineTo(now, height);
    pen.stroke();
    const i = video.index();
    this.number.textContent = i < 0 || value[i] === GAP ? '' : this.text(
      value[i], low[i], high[i]);
  }

  text(value, low, high) {
    const number = (byte) =>
      (this.low + (1 - this.low) * byte / (GAP - 1)).toFixed(2);
    return low === value && high === value ? number(value) :
      `${number(value)}  (${number(low)} to ${number(high)})`;
  }

  * spans(track, value) {
    let start = 0;
    for (let i = 0; i <= track.times.length; i++) {
      const ends = i === track.times.length || value[i] === GAP ||
        (i > start && track.times[i] - track.times[i - 1] > track.step);
      if (!ends) continue;
      if (i > start) yield [start, i];
      start = i < track.times.length && value[i] === GAP ? i + 1 : i;
    }
  }
}

class Video {
  constructor(video) {
    this.video = video;
    this.now = video.start;
    this.tracks = video.tracks.map(decode);
    this.track = this.tracks[0];
    this.frameTimes = video.frames.map((frame) => frame.time);
    this.image = new Image();
    this.image.addEventListener('load', () => this.drawFrame());
    this.canvas = make('canvas', {role: 'img', 'aria-label': 'frame'});
    this.answer = make('b');
    this.clock = make('span');
    this.slider = make('input', {
      type: 'range', min: video.start, max: video.stop, step: 'any',
      value: video.start, 'aria-label': 'time'});
    this.slider.addEventListener('input', () => this.seek(+this.slider.value));
    this.section = make('section', {}, make('h2', {}, video.name), this.body());
    if (this.track) this.seek(this.track.times[0]);
  }

  body() {
    if (!this.track) return make('p', {class: 'without'}, 'No face was found.');
    const viewer = make('div', {class: 'viewer'}, this.canvas,
      make('div', {class: 'said'}, this.answer, this.clock), this.slider);
    this.charts = data.labels.map((label, i) =>
      new Chart(this, label.name, label.low, (track) => track.labels[i]));
    this.charts.push(new Chart(this, 'uncertainty', 0,
      (track) => [track.total, track.total, track.total]));
    const right = make('div', {}, this.chooser(), make('p', {class: 'legend'},
      'Lines: mean of the members. Bands: their spread. Shaded: unsure. Click ' +
      'for the frame.'), ...this.charts.map((chart) => chart.figure),
      make('p', {class: 'axis'}, make('span', {}, clock(this.video.start)),
        make('span', {}, clock(this.video.stop))));
    return make('div', {class: 'video'}, viewer, right);
  }

  chooser() {
    const box = make('div', {class: 'tracks'});
    if (this.video.num_tracks < 2) return box;
    for (const track of this.tracks) {
      const button = make('button', {'aria-pressed': track === this.track},
        `face ${track.number}`);
      button.addEventListener('click', () => {
        this.track = track;
        for (const other of box.children) {
          other.setAttribute('aria-pressed', other === button);
        }
        this.seek(track.times[0]);
      });
      box.append(button);
    }
    const left = this.video.num_tracks - this.tracks.length;
    if (left) box.append(make('span', {class: 'without'},
      `and ${left} shorter ones in the table`));
    return box;
  }

  time(part) {
    const {start, stop} = this.video;
    return start + Math.min(1, Math.max(0, part)) * (stop - start);
  }

  part(time) {
    const {start, stop} = this.video;
    return stop > start ? (time - start) / (stop - start) : 0;
  }

  // The point that is shown, -1 where the face is not seen.
  index() {
    const i = before(this.track.times, this.now);
    return Math.abs(this.track.times[i] - this.now) <= this.track.step ? i : -1;
  }

  // The point of a picture, -1 where the face is not in it.
  point(picture) {
    const time = this.frameTimes[picture] + 1e-3;
    const i = before(this.track.times, time), since = time - this.track.times[i];
    return since >= 0 && since <= this.track.step ? i : -1;
  }

  seek(time) {
    this.now = time;
    this.slider.value = time;
    const i = this.index();
    this.clock.textContent = clock(time);
    this.answer.textContent = i < 0 ? 'not seen' : this.track.answers[i];
    const frames = this.video.frames;
    if (frames.length) {
      let near = before(this.frameTimes, time);
      // The nearest picture, but rather one with the face.
      const [last, next] = [near, near + 1].map((k) => this.frameTimes[k] - time);
      const missed = i >= 0 && this.point(near) < 0;
      if (near + 1 < frames.length && (next < -last || missed)) near++;
      this.shown = near;
      this.image.src = `data:image/jpeg;base64,${frames[near].image}`;
    }
    for (const chart of this.charts) chart.draw();
  }

  drawFrame() {
    const {image, canvas} = this;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round((canvas.clientWidth || 240) * ratio);
    canvas.height = Math.round(canvas.width * image.height / image.width);
    const pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    const i = this.point(this.shown);
    if (i < 0) return;
    const scale = canvas.width / this.video.frames[this.shown].width;
    pen.strokeStyle = this.track.unsure[i] ? '#e69f00' : '#56b4e9';
    pen.lineWidth = 2 * ratio;
    pen.strokeRect(...[...this.track.boxes.slice(4 * i, 4 * i + 4)].map(
      (value) => value * scale));
  }

  draw() {
    if (!this.track) return;
    for (const chart of this.charts) chart.draw();
    if (this.image.complete && this.image.width) this.drawFrame();
  }
}

function bars(values) {
  const box = make('div', {class: 'bars'});
  data.labels.forEach((label, i) => {
    const [value, low, high] = values[i];
    const bar = make('div', {class: 'bar'});
    if (value !== null) {
      const number = label.low + (1 - label.low) * value;
      bar.title = `${label.name}: ${number.toFixed(2)}`;
      bar.append(make('i', {style: `width:${100 * value}%`}),
        make('b', {style:
          `left:${100 * low}%;width:${100 * Math.max(0, high - low)}%`}));
    }
    box.append(make('span', {}, label.name), bar);
  });
  return box;
}

function card(face) {
  const doubt = face.total === null ? 'no finite answer' :
    `uncertainty ${face.total.toFixed(2)}`;
  return make('article', {class: face.unsure ? 'card unsure' : 'card'},
    make('img', {src: `data:image/jpeg;base64,${face.image}`, loading: 'lazy',
      alt: `face ${face.face} of ${face.file}`}),
    make('div', {}, make('p', {class: 'name'}, face.file),
      make('strong', {}, face.answer),
      make('span', {class: 'doubt'}, doubt)),
    bars(face.bars));
}

function gallery() {
  const cards = make('div', {class: 'cards'}, ...data.faces.map(card));
  const only = make('button', {'aria-pressed': 'false'}, 'unsure only');
  only.addEventListener('click', () => {
    const on = only.getAttribute('aria-pressed') === 'false';
    only.setAttribute('aria-pressed', on);
    for (const node of cards.children) {
      node.hidden = on && !node.classList.contains('unsure');
    }
  });
  const left = data.num_faces - data.faces.length;
  return make('section', {}, make('h2', {}, 'Faces, the most uncertain first'),
    make('p', {class: 'legend'}, 'Bars: mean of the members. Lines in them: ' +
      'their spread.' + (left ? ` ${left} more certain faces are in the table.` : '')),
    make('div', {class: 'tracks'}, only), cards);
}

document.getElementById('about').append(
  ...data.about.map((line) => make('li', {}, line)));
const main = document.getElementById('main');
const videos = data.videos.map((video) => new Video(video));
main.replaceChildren(...videos.map((video) => video.section));
if (data.faces.length) main.append(gallery());
if (data.num_without) {
  main.append(make('h2', {}, 'Pictures without a face'),
    make('p', {class: 'without'}, data.without.join(', ') +
      (data.num_without > data.without.length ? ', ...' : '')));
}
document.getElementById('facts').textContent = [
  data.videos.length ? plural(data.videos.length, 'video', 'videos') : '',
  data.num_faces ? plural(data.num_faces, 'face', 'faces') + ' in pictures' : '',
].filter(Boolean).join(', ') || 'No face was found.';
const redraw = () => videos.forEach((video) => video.draw());
new ResizeObserver(redraw).observe(main);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
