// A card for every face. What models and people have named is text, never markup.

import { doubts, headline, KINDS, setInWords, share, signed } from './words.js';

function element(name, classes = '', ...children) {
  const made = document.createElement(name);
  made.className = classes;
  made.append(...children.filter((child) => child !== null));
  return made;
}

const place = (node, values) => {
  for (const [name, value] of Object.entries(values)) {
    node.style.setProperty(name, `${(100 * Math.min(1, Math.max(0, value))).toFixed(2)}%`);
  }
  return node;
};

export function cards(answers, about) {
  return answers.map((answer, i) => card(answer, i, answers.length, about));
}

function card(answer, i, count, about) {
  const { text, probability } = headline(answer);
  const title = element('h2', '', text);
  if (probability !== undefined) title.append(element('span', 'number', share(probability)));
  const made = element(
    'article', answer.unsure ? 'card unsure' : 'card',
    count > 1 ? element('p', 'which', `Face ${i + 1}`) : null,
    title,
    answer.unsure
      ? element('p', 'doubt', element('strong', '', 'Unsure'), `: ${doubts(answer, about.reasons)}.`)
      : null,
  );
  for (const task of answer.finite ? answer.tasks : []) made.append(...ofTask(task, about));
  if (answer.finite) made.append(uncertainty(answer.doubt, about.limits));
  return made;
}

function ofTask(task, about) {
  if (task.kind === 'binned') return [scales(task)];
  const made = [];
  if (task.set) {
    const coverage = `${Math.round(100 * about.coverage)} %`;
    made.push(element(
      'p', 'set', element('span', '', `Answer set of ${coverage}: `),
      element('strong', '', setInWords(task)),
    ));
  }
  made.push(bars(task));
  return made;
}

// Probabilities, with the members' standard deviation as a whisker.
function bars({ kind, labels, numbers, chosen, spread, set }) {
  const rows = labels.map((name, k) => ({ name, k, number: numbers[k] }));
  if (kind === 'categorical') rows.sort((a, b) => b.number - a.number);
  const list = element('ul', 'bars');
  for (const { name, k, number } of rows) {
    const track = element('span', 'track', place(element('span', 'fill'), { '--to': number }));
    if (spread) {
      track.append(place(element('span', 'whisker'), {
        '--from': number - spread[k], '--to': number + spread[k],
      }));
    }
    const classes = [chosen[k] ? 'chosen' : '', set?.[k] ? 'held' : ''].join(' ');
    const said = spread ? ` ± ${share(spread[k])}` : '';
    const value = element('span', 'value', share(number), element('span', 'spoken', said));
    list.append(element('li', classes, element('span', 'name', name), track, value));
  }
  return list;
}

// Valence and arousal between -1 and 1, with the interval that holds most of each.
function scales({ values }) {
  const list = element('ul', 'bars scales');
  for (const { label, value, low, high } of values) {
    const track = element(
      'span', 'track scale',
      place(element('span', 'band'), { '--from': (low + 1) / 2, '--to': (high + 1) / 2 }),
      place(element('span', 'dot'), { '--to': (value + 1) / 2 }),
    );
    const range = element('span', 'spoken', `, 90 % between ${signed(low)} and ${signed(high)}`);
    const number = element('span', 'value', signed(value), range);
    list.append(element('li', '', element('span', 'name', label), track, number));
  }
  return list;
}

function uncertainty(doubt, limits) {
  const made = element('div', 'doubts', element('h3', '', 'Uncertainty'));
  const limit = { total: limits.unsure, epistemic: limits.foreign };
  const list = element('ul', 'bars');
  for (const [kind, [name]] of Object.entries(KINDS)) {
    const track = element('span', 'track', place(element('span', 'fill'), { '--to': doubt[kind] }));
    if (limit[kind] != null) track.append(place(element('span', 'limit'), { '--to': limit[kind] }));
    const value = element('span', 'value', share(doubt[kind]));
    list.append(element('li', kind, element('span', 'name', name), track, value));
  }
  made.append(list);
  return made;
}

// How to read a card, as terms and what they mean.
export function reading(about) {
  const rows = Object.entries(KINDS).map(([kind, [name, meaning]]) => [`${name} (${kind})`, meaning]);
  if (about.coverage !== null) {
    const coverage = `${Math.round(100 * about.coverage)} %`;
    const held = about.of_votes.length
      ? `at least ${coverage} of the annotators' votes` : `the right label in at least ${coverage}`;
    rows.unshift([`answer set of ${coverage}`, 'In the mean over new people like those of the '
      + `model's calibration, such sets of words hold ${held}.`]);
  }
  rows.push(['a thin line on a bar', `The standard deviation over the ${about.members} networks.`]);
  rows.push(['a mark on a bar', about.limits.unsure === null
    ? 'This model has no limits: nobody has measured from where on it is unsure.'
    : 'From there on an answer is called unsure: as open as one in ten of the faces that '
      + 'the limit was measured on; or foreign, as one in a hundred of them.']);
  for (const [name, meaning] of Object.entries(about.reasons)) rows.push([name, `Unsure, because ${meaning}.`]);
  return rows.flatMap(([term, meaning]) => [element('dt', '', term), element('dd', '', meaning)]);
}
