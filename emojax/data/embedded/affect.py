"""From a latent affect process to facial action intensities over time.

An affect process is a sequence of events (onset, apex, offset), each a blend
of at most two expressions at some peak strength. Expressions act through
prototypes (EMFACS-like sets of action units); incidental facial actions and
speech are added on top, so that an action unit alone decides no expression.
"""

import numpy as np

from emojax import tasks

# Channels that are rendered: the labelled AUs, and three that only the
# expression annotator looks at (upper lid raise, nose wrinkle, lip stretch).
EXTRA = ('AU5', 'AU9', 'AU20')
CHANNELS = tasks.AU12 + EXTRA

_PROTOTYPES = {
  'neutral': {},
  'anger': dict(AU4=1, AU7=0.8, AU23=0.8, AU24=0.8, AU5=0.3),
  'disgust': dict(AU4=0.5, AU6=0.2, AU7=0.6, AU10=1, AU15=0.3, AU9=1),
  'fear': dict(AU1=1, AU2=0.4, AU4=0.7, AU25=0.7, AU26=0.15, AU5=1, AU20=1),
  'happiness': dict(AU6=0.9, AU7=0.4, AU10=0.3, AU12=1, AU25=0.7, AU26=0.1),
  'sadness': dict(AU1=0.9, AU4=0.5, AU7=0.3, AU15=0.75),
  'surprise': dict(AU1=1, AU2=1, AU25=0.8, AU26=1, AU5=0.8),
}
# [E, channels], the AU intensities of a full-blown expression.
PROTOTYPES = np.array(
  [
    [_PROTOTYPES[name].get(channel, 0) for channel in CHANNELS]
    for name in tasks.AFFWILD2
  ]
)

# Valence and arousal of each full-blown expression.
AFFECT_SPACE = np.array(
  [[0, 0], [-0.7, 0.7], [-0.75, 0.4], [-0.6, 1], [0.9, 0.5], [-0.8, -0.5]]
  + [[0.15, 1]]
)
_AROUSAL = AFFECT_SPACE[:, 1]

# Second expressions of a blend, by first expression: those people confuse.
_PARTNERS = {
  'neutral': 'neutral',
  'anger': 'disgust',
  'disgust': 'anger',
  'fear': 'surprise',
  'happiness': 'surprise',
  'sadness': 'fear',
  'surprise': 'fear',
}
PARTNER = np.array(
  [tasks.AFFWILD2.index(_PARTNERS[name]) for name in tasks.AFFWILD2]
)

# Frequencies of the events' first expression, fitted such that the labels are
# as frequent as the class weights of paper 000 say (1 / frequency). Weak events
# look neutral, and blends of frequent expressions look like rare ones.
EXPRESSION_PRIOR = np.array([0.335, 0.018, 0.006, 0.015, 0.322, 0.243, 0.061])
# Probability that an incidental action of each labelled AU is under way.
INCIDENTAL_RATE = np.array(
  [0.04, 0.08, 0.1, 0.12, 0.4, 0.4, 0.08, 0.01, 0.03, 0.03, 0.35, 0.05]
)
BALANCED_PRIOR = np.full(7, 1 / 7)
BALANCED_RATE = np.full(12, 0.35)


def _events(rng, times, shortest: float, longest: float):
  """Cuts time into consecutive events that start before the first frame.

  Returns:
    The number of events, the event of each frame, int [L], and how far into it
    the frame is, [L] in [0, 1).
  """
  count = int(times[-1] / shortest) + 2
  length = rng.uniform(shortest, longest, count)
  start = np.cumsum(length) - length - rng.random() * length[0]
  index = np.searchsorted(start, times, 'right') - 1
  return count, index, (times - start[index]) / length[index]


def smoothstep(x):
  """0 up to 0, 1 from 1 on, smooth in between."""
  x = np.clip(x, 0, 1)
  return x * x * (3 - 2 * x)


def _envelope(phase, onset: float = 0.22, offset: float = 0.28):
  """Onset, apex, offset over an event's phase in [0, 1]."""
  return smoothstep(phase / onset) * smoothstep((1 - phase) / offset)


def expression_weights(rng, times, prior) -> np.ndarray:
  """Latent strength of every expression over time, [L, E] in [0, 1]."""
  count, event, phase = _events(rng, times, 1.5, 4.0)
  first = rng.choice(len(prior), count, p=prior)
  # Most events are nearly pure; about a third are real blends.
  blend = np.where(rng.random(count) < 0.35, 0.5, 0.12) * rng.random(count)
  strength = 0.25 + 0.75 * rng.beta(2.2, 1.2, count)
  rows = np.arange(count)
  weights = np.zeros((count, len(prior)))
  weights[rows, first] = strength * (1 - blend)
  weights[rows, PARTNER[first]] += strength * blend
  weights[:, 0] = 0
  return weights[event] * _envelope(phase)[:, None]


def incidental_actions(rng, times, rate) -> np.ndarray:
  """Intensities of actions that express nothing, [L, 12] in [0, 1]."""
  count, event, phase = _events(rng, times, 1.0, 3.0)
  active = rng.random((count, len(rate))) < rate
  height = rng.uniform(0.2, 0.9, (count, len(rate)))
  return (active * height)[event] * _envelope(phase)[:, None]


def speech(rng, times, weights, rate: float = 0.5):
  """Talking, faster when aroused.

  Args:
    rng: np.random.Generator.
    times: [L] seconds.
    weights: [L, E] latent expression strengths.
    rate: Share of the time that a person talks.

  Returns:
    Amount of talking, [L] in [0, 1], and the syllables spoken, [L]: the mouth
    is closed at whole numbers and open in between.
  """
  count, event, phase = _events(rng, times, 1.5, 5.0)
  talking = (rng.random(count) < rate)[event]
  tempo = rng.uniform(2.6, 4.0) + 2 * (weights * _AROUSAL).sum(1)
  steps = np.diff(times, prepend=times[0]) * tempo
  return talking * _envelope(phase, 0.1, 0.1), rng.random() + np.cumsum(steps)


def mouth_opening(syllables):
  """How far a talking mouth is open, in [0, 1]."""
  return 0.5 - 0.5 * np.cos(2 * np.pi * syllables)


def combine(weights, incidental, talk, syllables, gain) -> np.ndarray:
  """Channel intensities, [L, channels] in [0, 1].

  Args:
    weights: [L, E] latent expression strengths.
    incidental: [L, 12] intensities of other actions.
    talk: [L] amount of talking in [0, 1].
    syllables: [L] number of syllables spoken.
    gain: [channels] how strongly this person uses each action.
  """
  # Not a matrix product: BLAS may round differently for other lengths.
  channels = (weights[:, :, None] * PROTOTYPES).sum(1) * gain
  other = np.zeros_like(channels)
  other[:, :12] = incidental
  syllable = mouth_opening(syllables)
  i25, i26 = CHANNELS.index('AU25'), CHANNELS.index('AU26')
  other[:, i25] = np.maximum(other[:, i25], talk * (0.25 + 0.5 * syllable))
  other[:, i26] = np.maximum(other[:, i26], talk * 0.35 * syllable)
  return np.clip(1 - (1 - np.clip(channels, 0, 1)) * (1 - other), 0, 1)
