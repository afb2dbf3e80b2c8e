// Numbers and sets in words.

export const share = (number) => {
  if (!Number.isFinite(number)) return '–';
  const percent = 100 * number;
  if (percent > 0 && percent < 1) return '< 1 %';
  if (percent > 99 && percent < 100) return '> 99 %';
  return `${Math.round(percent)} %`;
};

export const signed = (number) => (Number.isFinite(number)
  ? (number > 0 ? '+' : '') + number.toFixed(2).replace('-', '−') : '–');

export function listed(words, last) {
  if (words.length < 2) return words.join('');
  return `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}

// The words of the main answer of a face, and its probability where it has one.
export function headline({ tasks, finite }) {
  if (!finite) return { text: 'no answer' };
  const main = tasks.find(({ kind }) => kind === 'categorical')
    ?? tasks.find(({ kind }) => kind === 'binary');
  if (!main) {
    const text = tasks[0].values.map(({ label, value }) => `${label} ${signed(value)}`);
    return { text: text.join(', ') };
  }
  const words = main.labels.filter((_, k) => main.chosen[k]);
  if (main.kind === 'binary') return { text: words.join(' + ') || 'none of the units' };
  return { text: words[0], probability: Math.max(...main.numbers) };
}

export function setInWords({ labels, set }) {
  const words = labels.filter((_, k) => set[k]);
  if (!words.length) return 'no word is likely enough';
  return words.length === labels.length ? 'any of them' : listed(words, 'or');
}

export const KINDS = {
  total: ['in all', 'How open the answer is: 0 is one sure word, 100 % any word.'],
  aleatoric: ['people would disagree', 'The part that the networks agree on: the face '
    + 'itself is ambiguous, and people would choose different words.'],
  epistemic: ['the networks disagree', 'The part that is their disagreement: it is '
    + 'large for what is unlike the pictures of their training.'],
};

// Why an answer is not to be trusted.
export function doubts({ reasons, finite }, meanings) {
  if (!finite) return "the model's numbers overflow for this face";
  if (!reasons.length) return 'the words are close: people would disagree';
  return listed(reasons.map((name) => meanings[name]), 'and');
}

// A line for those who do not see the picture.
export function spoken(answers) {
  if (!answers.length) return 'No face found.';
  const faces = answers.map((answer) => {
    const { text, probability } = headline(answer);
    const number = probability === undefined ? '' : ` ${share(probability)}`;
    return `${text}${number}${answer.unsure ? ', unsure' : ''}`;
  });
  if (faces.length === 1) return `1 face: ${faces[0]}.`;
  const first = faces.slice(0, 5).map((text, i) => `face ${i + 1}: ${text}`);
  const more = faces.length > 5 ? `; and ${faces.length - 5} more` : '';
  return `${faces.length} faces. ${first.join('; ')}${more}.`;
}
