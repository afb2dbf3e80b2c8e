"""The page of posed expressions."""

import numpy as np

from emojax.data import embedded


def test_a_row_of_seven_expressions_for_each_person(tmp_path):
  path = tmp_path / 'faces.png'
  page = embedded.sheet(size=32, people=2, path=path)
  assert page.shape == (2 * (14 + 32 + 2), 7 * 34, 3)
  assert path.stat().st_size > 1000
  neutral = embedded.sheet(size=32, people=2, strength=0.0)
  changed = np.abs(page.astype(float) - neutral).mean((0, 2)).reshape(7, 34)
  assert changed[0].mean() == 0
  assert (changed[1:].mean(1) > 0.5).all()
