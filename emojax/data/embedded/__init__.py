"""Procedural face clips whose label posteriors are known.

`make` builds a whole data set. Its parts: `sample_clip_parameters` (faces,
actions and nuisances), `render` (their images), `posteriors` (the distributions
that `draw_labels` draws from), `waveform` (their voices), `sheet` and
`clip_sheet` (a look at all expressions, at hidden frames).
"""

from emojax.data.embedded.dataset import make, make_clips
from emojax.data.embedded.ood import ood_clips
from emojax.data.embedded.parameters import (
  Parameters,
  draw_labels,
  posteriors,
  sample_clip_parameters,
)
from emojax.data.embedded.render import render
from emojax.data.embedded.sheet import clip_sheet, sheet
from emojax.data.embedded.voice import waveform

__all__ = [
  'Parameters',
  'clip_sheet',
  'draw_labels',
  'make',
  'make_clips',
  'ood_clips',
  'posteriors',
  'render',
  'sample_clip_parameters',
  'sheet',
  'waveform',
]
