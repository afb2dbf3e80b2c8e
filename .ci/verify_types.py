"""How much of the public surface has types: `python .ci/verify_types.py`.

Asks `pyright --verifytypes`, which wants an installed package, for what is known
of every public symbol, and counts those of the surface that docs/reference/index.md
names. Ends with 1 below `LEAST` percent.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv

ROOT = pathlib.Path(__file__).parents[1]
LEAST = 95.0
SURFACE = (
  'emojax.load',
  'emojax.predict',
  'emojax.answers.options',
  'emojax.answers.table',
  'emojax.losses',
  'emojax.metrics',
  'emojax.tasks',
  'emojax.trained.answering',
  'emojax.trained.model',
  'emojax.uncertainty',
)


def completeness(folder: pathlib.Path) -> dict:
  """What pyright says of the package, copied beside this one's libraries."""
  venv.create(folder)
  site = next((folder / 'lib').glob('python*/site-packages'))
  shutil.copytree(ROOT / 'emojax', site / 'emojax')
  # All but emojax is that of the environment that runs this.
  libraries = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
  (site / 'libraries.pth').write_text('\n'.join(sorted(libraries)) + '\n')
  said = subprocess.run(
    ['pyright', '--verifytypes', 'emojax', '--ignoreexternal', '--outputjson'],
    cwd=folder,
    env=_activated(folder),
    capture_output=True,
    text=True,
    check=False,
  )
  return json.loads(said.stdout)['typeCompleteness']


def _activated(folder: pathlib.Path) -> dict[str, str]:
  import os

  path = f'{folder / "bin"}{os.pathsep}{os.environ["PATH"]}'
  kept = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
  return kept | {'PATH': path, 'VIRTUAL_ENV': str(folder)}


def main() -> int:
  """Prints the score and what lacks types; returns the exit code."""
  with tempfile.TemporaryDirectory() as folder:
    found = completeness(pathlib.Path(folder))
  symbols = [s for s in found['symbols'] if s['isExported']]
  public = [s for s in symbols if s['name'].startswith(SURFACE)]
  lacking = [s for s in public if not s['isTypeKnown'] or s['isTypeAmbiguous']]
  for symbol in lacking:
    why = {d['message'].splitlines()[0] for d in symbol.get('diagnostics', ())}
    print(f'{symbol["name"]}: {"; ".join(sorted(why))}')
  if not public:
    print('pyright has found no public symbol: is emojax/py.typed there?')
    return 1
  score = 100 * (1 - len(lacking) / len(public))
  print(
    f'{score:.1f} % of {len(public)} public symbols have types '
    f'(all {len(symbols)} of the package: {100 * found["completenessScore"]:.1f} %)'
  )
  return int(score < LEAST)


if __name__ == '__main__':
  sys.exit(main())
