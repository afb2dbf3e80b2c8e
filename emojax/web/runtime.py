"""ONNX Runtime Web: a pinned version, from the npm registry or the user's hand.

Nothing of it is in this package, and the page downloads nothing: its files are
fetched when a page is exported, compared with the digests below, and kept in the
user's cache folder. Which registry it is that npm asks is npm's own matter.
"""

import base64
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import urllib.request

from emojax.host import files
from emojax.trained.exporting import ExportError

PACKAGE, VERSION = 'onnxruntime-web', '1.23.2'
INTEGRITY = (
  'T09JUtMn+CZLk3mFwqiH0lgQf+4S7+oYHHtk6uhaYAAJI95bTcKi5bOOZYwORXfS'
  '/RLZCjDDEXGWIuOCAFlEjg=='
)  # SHA-512 of the package, as npm's lock files have it
SCRIPT = 'dist/ort.wasm.bundle.min.mjs'
BINARY = 'dist/ort-wasm-simd-threaded.wasm'
DIGESTS = {
  SCRIPT: 'cace3b98bee45c1c40ed04e07b984fb66012acacb702e6aecd9008239bf35e99',
  BINARY: '45eaee27761ad883742a8d4b8fce1538d60ce43b51adf1726fafccc59b8c1a15',
}  # SHA-256
MAX_BYTES = 2**27  # of the package, which has 26 MB
SECONDS = 300  # that the registry may take
REMEDY = (
  f'get {PACKAGE}-{VERSION}.tgz where there is a network (npm pack '
  f'{PACKAGE}@{VERSION}) and name it, or the folder it was unpacked to: '
  '--web-runtime=FOLDER|TARBALL'
)


def load(given: str | os.PathLike | None = None) -> dict[str, bytes]:
  """Returns the files of `DIGESTS` by name.

  Args:
    given: The package as npm packs it, or the folder it was unpacked or
      installed to; None for the cache or, if they are not there, the registry.

  Raises:
    ExportError: If it cannot be had, or is another version; says what to do.
  """
  if given is not None:
    return _given(pathlib.Path(given))
  cache = _cache()
  try:
    return _of_folder(cache)
  except (OSError, ExportError):
    pass  # not there yet, or damaged: fetched again
  found = _unpacked(_fetched(), f'{PACKAGE} of the registry')
  for name, data in found.items():
    files.write_bytes(cache / name, data)
  return found


def _given(path: pathlib.Path) -> dict[str, bytes]:
  try:
    if not path.is_dir():
      return _unpacked(files.read_bounded(path, MAX_BYTES), str(path))
    return _of_folder(path / 'package' if (path / 'package').is_dir() else path)
  except OSError as error:
    where = error.filename or path
    raise ExportError(
      f'--web-runtime {path}: {where}: {error.strerror}; {REMEDY}'
    ) from error


def _of_folder(folder: pathlib.Path) -> dict[str, bytes]:
  found = {n: files.read_bounded(folder / n, MAX_BYTES) for n in DIGESTS}
  return _checked(found, str(folder))


def _checked(found: dict[str, bytes], what: str) -> dict[str, bytes]:
  for name, digest in DIGESTS.items():
    if hashlib.sha256(found[name]).hexdigest() != digest:
      raise ExportError(
        f'{what}: {name} is not that of {PACKAGE} {VERSION}; {REMEDY}'
      )
  return found


def _unpacked(data: bytes, what: str) -> dict[str, bytes]:
  """The files out of a package; nothing else of it is looked at."""
  if base64.b64encode(hashlib.sha512(data).digest()).decode() != INTEGRITY:
    raise ExportError(
      f'{what} is not {PACKAGE} {VERSION} (its SHA-512 is another); {REMEDY}'
    )
  found = {}
  with tarfile.open(fileobj=io.BytesIO(data), mode='r:gz') as archive:
    for name in DIGESTS:
      member = archive.extractfile(f'package/{name}')
      found[name] = b'' if member is None else member.read()
  return _checked(found, what)


def _cache() -> pathlib.Path:
  base = os.environ.get('XDG_CACHE_HOME')
  try:
    root = pathlib.Path(base) if base else pathlib.Path.home() / '.cache'
  except RuntimeError as error:
    raise ExportError(f'this user has no home folder; {REMEDY}') from error
  return root / 'emojax' / 'web' / f'{PACKAGE}-{VERSION}'


def _fetched() -> bytes:
  """The package, by npm if it is there, else from the registry it would ask."""
  npm, registry = shutil.which('npm'), _registry()
  if npm is None and registry is None:
    raise ExportError(
      f'the page needs {PACKAGE}, and npm is not here; {REMEDY}'
    )
  try:
    return _packed(npm) if npm else _downloaded(str(registry))
  except (OSError, ValueError, subprocess.SubprocessError) as error:
    line = ' '.join(str(error).split())[:300]
    raise ExportError(
      f'{PACKAGE} {VERSION} cannot be had from the registry ({line}); {REMEDY}'
    ) from error


def _packed(npm: str) -> bytes:
  with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(
      [
        npm,
        'pack',
        '--loglevel=error',
        '--fetch-retries=1',
        f'{PACKAGE}@{VERSION}',
      ],
      cwd=folder,
      capture_output=True,
      text=True,
      timeout=SECONDS,
      check=False,
    )
    packed = list(pathlib.Path(folder).glob('*.tgz'))
    if done.returncode or len(packed) != 1:
      lines = done.stderr.strip().splitlines() or ['npm: no package']
      raise OSError(lines[0])  # of many, that with the code of the error
    return packed[0].read_bytes()


def _downloaded(registry: str) -> bytes:
  if not registry.lower().startswith(('https://', 'http://')):
    raise ValueError(f'npm_config_registry {registry!r} is no address')
  url = f'{registry.rstrip("/")}/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz'
  with urllib.request.urlopen(url, timeout=SECONDS) as answer:
    return answer.read(MAX_BYTES)


def _registry() -> str | None:
  """What npm's own settings name, in the environment or in ~/.npmrc."""
  for name, value in os.environ.items():
    if name.lower() == 'npm_config_registry' and value:
      return value
  try:
    text = (pathlib.Path.home() / '.npmrc').read_text()
  except (OSError, RuntimeError, UnicodeDecodeError):
    return None
  match = re.search(r'^\s*registry\s*=\s*(\S+)', text, re.M)
  return match[1].strip('"\'') if match else None
