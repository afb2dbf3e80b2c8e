"""What memory and a voice are worth where frames are hidden, without a network.

  python -m benchmarks.hidden_frames

prints the expected NLL of expressions, on hidden frames of embedded clips, of four
who know the true posteriors of what they perceive: whoever sees all (the Bayes
optimum), one silent frame alone, one with memory (the last frame that is seen, mixed
with the prior by its distance), and one that hears (ridge regression on the energy
of the voice in bands). The last two are lower bounds of what can be won: fitted on
half of the clips, scored on the other half.
"""

import argparse

import numpy as np
from scipy import stats

from emojax.data.embedded import hidden, parameters, voice

FRAME_RATE = 7.5
BANDS = 12


def expected_nll(p, truth) -> float:
  """Mean cross-entropy of answers p [F, E] to posteriors [F, E], in nats."""
  return float(-(truth * np.log(np.maximum(p, 1e-12))).sum(-1).mean())


def with_memory(gaps: hidden.Hidden, truth, alone, fit) -> np.ndarray:
  """Mixes the last frame that was seen with the prior, [N, L, E].

  Args:
    gaps: What is hidden.
    truth, alone: [N, L, E], posteriors given everything and one frame.
    fit: bool [N], clips that the weight of each distance is fitted on.
  """
  length = truth.shape[1]
  last = np.where(gaps.frames, -1, np.arange(length))
  last = np.maximum.accumulate(last, 1)
  distance = np.where(last < 0, 0, np.arange(length) - last)
  before = np.take_along_axis(truth, np.maximum(last, 0)[..., None], 1)
  answer = alone.copy()
  for d in range(1, distance.max() + 1):
    here = distance == d
    step = (before - alone)[here & fit[:, None]]
    wanted = (truth - alone)[here & fit[:, None]]
    weight = (step * wanted).sum() / max((step**2).sum(), 1e-9)
    answer[here] += np.clip(weight, 0, 0.95) * (before - alone)[here]
  return answer


def band_energies(sound, length: int) -> np.ndarray:
  """Logarithms of the energy in bands around frames, [N, L, BANDS]."""
  size = sound.shape[1] // length
  frames = sound[:, : length * size].reshape(len(sound), length, size)
  power = np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2
  bands = np.array_split(power[..., :500], BANDS, -1)
  return np.log(np.stack([band.mean(-1) for band in bands], -1) + 1e-9)


def ridge(features, values, fit) -> np.ndarray:
  """Predictions [F, ...] for all rows of a regression on the rows of `fit`."""
  mean, scale = features[fit].mean(0), features[fit].std(0)
  x = np.concatenate([(features - mean) / scale, np.ones((len(fit), 1))], 1)
  gram = x[fit].T @ x[fit] + np.eye(x.shape[1])
  return x @ np.linalg.solve(gram, x[fit].T @ values[fit])


def by_voice(params, gaps: hidden.Hidden, kind: str, truth, fit) -> np.ndarray:
  """Answers of who hears, on hidden frames [F, E], floored and normalised."""
  told = kind == 'hidden'
  speakers = hidden.spoken(params, gaps) if told else params
  sound = voice.waveform(speakers, clear=told)
  features = band_energies(sound, truth.shape[1])[gaps.frames]
  rows = np.broadcast_to(fit[:, None], gaps.frames.shape)[gaps.frames]
  found = np.maximum(ridge(features, truth[gaps.frames], rows), 0.01)
  return found / found.sum(-1, keepdims=True)


def measure(seed: int, clips: int, length: int, share: float):
  """Name -> expected NLL on the hidden frames of held-out clips."""
  params = parameters.sample_clip_parameters(
    seed, clips, length, frame_rate=FRAME_RATE
  )
  gaps = hidden.sample(params, share)
  truth = parameters.posteriors(params)
  alone = hidden.frame_posteriors(params, gaps, truth)['expr']
  truth = truth['expr']
  fit = np.arange(clips) < clips // 2
  rows = ~np.broadcast_to(fit[:, None], gaps.frames.shape)
  here, heard = gaps.frames & rows, rows[gaps.frames]
  answers = {
    'sees all': truth[here],
    'one silent frame': alone[here],
    'with memory': with_memory(gaps, truth, alone, fit)[here],
  }
  for kind in ('face', 'hidden'):
    told = by_voice(params, gaps, kind, truth, fit)
    answers[f'hears data.voice={kind}'] = told[heard]
  return {name: expected_nll(p, truth[here]) for name, p in answers.items()}


def main():
  """Prints means over data seeds, with 95 % intervals."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--seeds', type=int, default=8)
  parser.add_argument('--clips', type=int, default=100)
  parser.add_argument('--length', type=int, default=24)
  parser.add_argument('--hidden', type=float, default=0.5)
  args = parser.parse_args()
  if args.seeds < 2:
    parser.error('--seeds: intervals need at least 2')
  if args.clips < 2:
    parser.error('--clips: half are fitted, half are scored: at least 2')
  if args.length < 1:
    parser.error('--length: at least 1')
  if not 1e-3 <= args.hidden < 1:
    parser.error('--hidden: at least 0.001 and below 1')
  found = [
    measure(seed, args.clips, args.length, args.hidden)
    for seed in range(args.seeds)
  ]
  t = stats.t.ppf(0.975, args.seeds - 1)
  for name in found[0]:
    values = np.array([row[name] for row in found])
    gain = np.array([row['one silent frame'] for row in found]) - values
    half = t * np.array([values.std(ddof=1), gain.std(ddof=1)])
    half /= np.sqrt(args.seeds)
    print(
      f'{name:26} {values.mean():.3f} ± {half[0]:.3f}   better than one silent '
      f'frame by {gain.mean():.3f} ± {half[1]:.3f}'
    )


if __name__ == '__main__':
  main()
