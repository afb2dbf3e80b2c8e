"""ONNX Runtime Web comes from where npm says, or by hand; never another version."""

import hashlib
import io
import os
import tarfile

import pytest

from emojax.trained.exporting import ExportError
from emojax.web import runtime


@pytest.fixture
def small(monkeypatch, tmp_path):
  """A package that is small, with digests of its own; its path."""
  files = {runtime.SCRIPT: b'script', runtime.BINARY: b'binary'}
  path = tmp_path / 'package.tgz'
  with tarfile.open(path, 'w:gz') as archive:
    for name, data in {**files, '../outside': b'x'}.items():
      member = tarfile.TarInfo(f'package/{name}')
      member.size = len(data)
      archive.addfile(member, io.BytesIO(data))
  use(monkeypatch, path, files)
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  return path


def use(monkeypatch, path, files):
  import base64

  digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest())
  monkeypatch.setattr(runtime, 'INTEGRITY', digest.decode())
  digests = {n: hashlib.sha256(data).hexdigest() for n, data in files.items()}
  monkeypatch.setattr(runtime, 'DIGESTS', digests)


EXPECTED = {runtime.SCRIPT: b'script', runtime.BINARY: b'binary'}


def test_a_tarball_and_its_folder_serve(small, tmp_path):
  assert runtime.load(small) == EXPECTED
  for name, data in EXPECTED.items():
    path = tmp_path / 'unpacked' / 'package' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  assert runtime.load(tmp_path / 'unpacked') == EXPECTED
  assert runtime.load(tmp_path / 'unpacked' / 'package') == EXPECTED
  assert not (tmp_path / 'cache').exists()  # what is given is not kept


def test_pipes_are_no_package(small, tmp_path):
  os.mkfifo(tmp_path / 'pipe.tgz')
  place = tmp_path / 'folder' / runtime.SCRIPT
  place.parent.mkdir(parents=True)
  os.mkfifo(place)
  for given in (tmp_path / 'pipe.tgz', tmp_path / 'folder'):
    with pytest.raises(ExportError, match='not a plain file'):
      runtime.load(given)


def test_another_version_is_refused(small, tmp_path):
  data = bytearray(small.read_bytes())
  data[-1] ^= 1
  other = tmp_path / 'other.tgz'
  other.write_bytes(data)
  with pytest.raises(ExportError, match=r'other.tgz is not .*--web-runtime'):
    runtime.load(other)
  folder = tmp_path / 'folder'
  for name in EXPECTED:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b'script')
  with pytest.raises(ExportError, match=r'ort-wasm-simd-threaded.wasm is not'):
    runtime.load(folder)
  with pytest.raises(ExportError, match=r'missing.tgz: No such file'):
    runtime.load(tmp_path / 'missing.tgz')


def test_what_was_fetched_is_kept_and_checked(small, monkeypatch):
  asked = []

  def fetched():
    asked.append(1)
    return small.read_bytes()

  monkeypatch.setattr(runtime, '_fetched', fetched)
  assert runtime.load() == runtime.load() == EXPECTED
  assert len(asked) == 1
  (runtime._cache() / runtime.SCRIPT).write_bytes(b'damaged')
  assert runtime.load() == EXPECTED
  assert len(asked) == 2


def test_without_npm_the_registry_of_its_settings_is_asked(
  small, monkeypatch, tmp_path
):
  import browser

  monkeypatch.setattr(runtime.shutil, 'which', lambda _: None)
  monkeypatch.setenv('HOME', str(tmp_path))
  for name in ('npm_config_registry', 'NPM_CONFIG_REGISTRY'):
    monkeypatch.delenv(name, raising=False)
  with pytest.raises(ExportError, match=r'npm is not here.*--web-runtime'):
    runtime.load()
  place = tmp_path / 'registry' / runtime.PACKAGE / '-'
  place.mkdir(parents=True)
  name = f'{runtime.PACKAGE}-{runtime.VERSION}.tgz'
  (place / name).write_bytes(small.read_bytes())
  with browser.served(tmp_path / 'registry') as url:
    (tmp_path / '.npmrc').write_text(f'fund=false\nregistry = {url}\n')
    assert runtime.load() == EXPECTED


def test_a_registry_that_cannot_be_reached_is_one_line(
  small, monkeypatch, tmp_path
):
  monkeypatch.setattr(runtime.shutil, 'which', lambda _: None)
  for registry in ('http://127.0.0.1:9/', 'file:///etc/'):
    monkeypatch.setenv('npm_config_registry', registry)
    with pytest.raises(ExportError, match=r'cannot be had.*--web-runtime') as e:
      runtime.load()
    assert '\n' not in str(e.value)


def test_what_npm_says_is_passed_on(small, monkeypatch, tmp_path):
  npm = tmp_path / 'npm'
  npm.write_text('#!/bin/sh\necho "npm error code ECONNREFUSED" >&2\nexit 1\n')
  npm.chmod(0o755)
  monkeypatch.setattr(runtime.shutil, 'which', lambda _: str(npm))
  with pytest.raises(ExportError, match=r'ECONNREFUSED.*--web-runtime'):
    runtime.load()


def test_the_digests_are_those_of_the_package(runtime_files):
  assert runtime_files.keys() == runtime.DIGESTS.keys()
  assert runtime_files[runtime.BINARY].startswith(b'\0asm')
