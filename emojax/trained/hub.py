"""Models on the Hugging Face Hub: `hf://user/name`, fetched and pushed.

What is fetched is a stranger's folder: three files are asked for by name, and they
are checked as any exported model (`emojax.trained.folder`). The client of the hub
keeps them in its own cache, and what is there opens without a network.
"""

import importlib
import os
import pathlib
import re
from typing import Any, NamedTuple

import emojax
from emojax.trained import folder as release
from emojax.trained import front_matter
from emojax.trained.folder import ModelError

PREFIX = 'hf://'
FILES = (release.CARD, release.METADATA, release.WEIGHTS)
INSTALL = "pip install 'emojax[hub]'"
_PART = r'[A-Za-z0-9](?:[\w.-]{0,94}[A-Za-z0-9])?'


class Reference(NamedTuple):
  """A repository of the hub, and which state of it.

  Attributes:
    repo: 'user/name'.
    revision: A branch, a tag or a commit; None is the newest state.
  """

  repo: str
  revision: str | None = None

  def __str__(self) -> str:
    state = f'@{self.revision}' if self.revision else ''
    return f'{PREFIX}{self.repo}{state}'


def parse(name: str) -> Reference:
  """Reads 'hf://user/name' or 'hf://user/name@revision'; 'hf://' may be missing.

  Raises:
    ModelError: If it is none.
  """
  match = re.fullmatch(rf'({_PART}/{_PART})(?:@([\w./-]+))?', _bare(name), re.A)
  if match is None or '..' in match[0] or '--' in match[1]:
    raise ModelError(
      f'{name}: expected {PREFIX}user/name or {PREFIX}user/name@revision (a '
      'branch, a tag or a commit)'
    )
  return Reference(match[1], match[2])


def _bare(name: str) -> str:
  return name.removeprefix(PREFIX)


def fetch(name: str) -> pathlib.Path:
  """Brings a model from the hub; returns its folder in the hub's cache.

  Without a network, what is in the cache already is taken.

  Args:
    name: See `parse`.

  Raises:
    ModelError: If there is no such model, or it cannot be had.
  """
  reference = parse(name)
  client = _client(str(reference))
  try:
    found = client.snapshot_download(
      reference.repo,
      revision=reference.revision,
      allow_patterns=list(FILES),
      library_name='emojax',
      library_version=emojax.__version__,
    )
  except Exception as error:  # of the client, of what it asks, of the disk
    raise ModelError(f'{reference}: {_why(error, reference)}') from error
  path = pathlib.Path(found)
  if not (path / release.METADATA).is_file():
    raise ModelError(
      f'{reference} is no model of emojax: {release.METADATA} is missing there'
    )
  return path


class Upload(NamedTuple):
  """What is going to be uploaded.

  Attributes:
    files: Name in the repository -> contents.
    license: What the card says.
  """

  files: dict[str, bytes]
  license: str


def prepared(folder: str | os.PathLike) -> Upload:
  """Reads and checks an exported model, and nothing else in its folder.

  Raises:
    ModelError: If it would not load, or has no card.
  """
  folder = pathlib.Path(folder)
  metadata = release.read_metadata(folder)
  release.read_weights(folder, metadata)
  path, card = folder / release.CARD, release.read_card(folder)
  if card is None:
    raise ModelError(f'{path} is missing: export the model again')
  try:
    head = front_matter.read(card.decode())
  except ValueError as error:
    raise ModelError(f'{path}: {error}') from error
  contents = {
    name: card if name == release.CARD else (folder / name).read_bytes()
    for name in FILES
  }
  return Upload(contents, front_matter.licence(head))


def push(upload: Upload, reference: Reference, private: bool = False) -> str:
  """Writes a model to the hub, as one commit.

  Args:
    upload: What to write.
    reference: Where to; a repository that is missing is made.
    private: Make it private; a public one that is there already is refused.

  Returns:
    Address of the commit.

  Raises:
    ModelError: If it cannot be; says why.
  """
  client = _client(str(reference))
  if client.get_token() is None:
    raise ModelError(f'{reference}: {LOG_IN}')
  api = client.HfApi(library_name='emojax', library_version=emojax.__version__)
  try:
    api.create_repo(reference.repo, private=private or None, exist_ok=True)
    if private and not api.model_info(reference.repo).private:
      raise ModelError(
        f'{reference} is public already: make it private on its page first, or '
        'push without --private'
      )
    done = api.create_commit(
      reference.repo,
      [
        client.CommitOperationAdd(path_in_repo=name, path_or_fileobj=data)
        for name, data in upload.files.items()
      ],
      commit_message=f'A model exported with emojax {emojax.__version__}',
      revision=reference.revision,
    )
  except ModelError:
    raise
  except Exception as error:  # of the client, of what it asks
    raise ModelError(f'{reference}: {_why(error, reference)}') from error
  return done.commit_url


def _client(what: str) -> Any:
  """The hub's own client, which nothing else needs."""
  try:
    return importlib.import_module('huggingface_hub')
  except ImportError as error:
    raise ModelError(f'{what} needs huggingface_hub: {INSTALL}') from error


LOG_IN = 'log in with `hf auth login`, or set HF_TOKEN'
# From the particular to the general, as the client's classes are of each other.
REASONS = (
  (
    'GatedRepoError',
    'is gated: ask for access on its page, then ' + LOG_IN,
  ),
  (
    'RepositoryNotFoundError',
    'there is no such repository, or it is private: check the name, or ' + LOG_IN,
  ),
  ('RevisionNotFoundError', 'there is no such revision; @ names a branch, a tag '
   'or a commit'),
  ('LocalTokenNotFoundError', LOG_IN),
  (
    'LocalEntryNotFoundError',
    'the hub cannot be reached, and the whole model is not in the cache: check '
    'the network (HF_ENDPOINT, HF_HUB_OFFLINE, proxies), or give the folder of a '
    'model',
  ),
)  # fmt: skip


def _why(error: Exception, reference: Reference) -> str:
  """A line for people; the client's own text, where nothing better is known."""
  errors = importlib.import_module('huggingface_hub.errors')
  for name, text in REASONS:
    if isinstance(error, getattr(errors, name, ())):
      return text
  status = getattr(getattr(error, 'response', None), 'status_code', None)
  if status in (401, 403):
    return f'the hub refuses ({status}): {LOG_IN}, with the right to do this'
  line = ' '.join(str(error).split())[:300]
  return f'{type(error).__name__}: {line}'
