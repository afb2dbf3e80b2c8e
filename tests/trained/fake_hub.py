"""A small server that speaks the hub's protocol, for the hub's own client.

Repositories are states of files by commit. It is as strict as it must be for the
tests: what it does not know is an error 404 or 501, which the tests would see.
"""

import base64
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

GATED, DENIED = 'GatedRepo', 'denied'


class Repository:
  """What a repository holds.

  Attributes:
    commits: Commit -> files by name.
    refs: Branch or tag -> commit.
    private: Whether it is.
    error: GATED, or None.
  """

  def __init__(self, files=None, private=False):
    self.commits, self.refs = {}, {}
    self.private, self.error = private, None
    self.commit('main', files or {})

  def commit(self, branch, files):
    """Adds files to a branch; returns the commit."""
    old = self.commits.get(self.refs.get(branch, ''), {})
    made = {**old, **files}
    text = repr([branch, len(self.commits), sorted(made.items())])
    name = hashlib.sha1(text.encode()).hexdigest()
    self.commits[name], self.refs[branch] = made, name
    return name

  def at(self, revision):
    """(commit, its files), or None."""
    name = self.refs.get(revision, revision)
    return (name, self.commits[name]) if name in self.commits else None


class Hub(http.server.ThreadingHTTPServer):
  """The server; `repositories` by 'user/name', `seen` has (method, path)."""

  daemon_threads = True

  def __init__(self):
    super().__init__(('127.0.0.1', 0), _Handler)
    self.repositories, self.seen = {}, []
    threading.Thread(target=self.serve_forever, daemon=True).start()

  @property
  def url(self):
    """What HF_ENDPOINT is to be."""
    return f'http://127.0.0.1:{self.server_address[1]}'


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def log_message(self, *arguments):
    pass

  def do_GET(self):
    self.server.seen.append((self.command, self.path))
    path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
    for pattern, answer in (
      (r'/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>.+)', self._tree),
      (
        r'/api/models/(?P<repo>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?',
        self._info,
      ),
      (
        r'/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)',
        self._file,
      ),
    ):
      if match := re.fullmatch(pattern, path):
        found = match.groupdict()
        state = self._state(found['repo'], found.get('revision') or 'main')
        return state and answer(found, *state)
    return self._say(404, {'error': path})

  do_HEAD = do_GET

  def do_POST(self):
    self.server.seen.append((self.command, self.path))
    body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
    if self.headers.get('Authorization') != 'Bearer hf_good':
      return self._say(401, {'error': 'Invalid credentials'})
    path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
    if path == '/api/repos/create':
      return self._create(json.loads(body))
    if path == '/api/validate-yaml':  # of a card, before it is committed
      good = json.loads(body)['content'].startswith('---\nlibrary_name: ')
      return self._say(200 if good else 400, {'errors': [], 'warnings': []})
    match = re.fullmatch(
      r'/api/models/([^/]+/[^/]+)/(preupload|commit)/(.+)', path
    )
    if match is None or match[1] not in self.server.repositories:
      return self._say(404, {'error': path})
    if match[2] == 'preupload':
      files = json.loads(body)['files']
      return self._say(200, {'files': [
        {'path': f['path'], 'uploadMode': 'regular', 'shouldIgnore': False}
        for f in files
      ]})  # fmt: skip
    return self._commit(match[1], match[3], body)

  def _create(self, asked):
    name = '/'.join(filter(None, [asked.get('organization'), asked['name']]))
    if name in self.server.repositories:
      return self._say(
        409, {'error': 'exists', 'url': f'{self.server.url}/{name}'}
      )
    private = asked.get('visibility') == 'private' or asked.get(
      'private', False
    )
    self.server.repositories[name] = Repository(private=private)
    return self._say(200, {'url': f'{self.server.url}/{name}'})

  def _commit(self, repo, revision, body):
    lines = [json.loads(line) for line in body.splitlines() if line]
    assert [line['key'] for line in lines[1:]] == ['file'] * (len(lines) - 1)
    files = {
      line['value']['path']: base64.b64decode(line['value']['content'])
      for line in lines[1:]
    }
    commit = self.server.repositories[repo].commit(revision, files)
    url = f'{self.server.url}/{repo}/commit/{commit}'
    return self._say(200, {'commitUrl': url, 'commitOid': commit})

  def _state(self, repo, revision):
    found = self.server.repositories.get(repo)
    if found is None:
      self._say(404, {'error': 'no'}, {'X-Error-Code': 'RepoNotFound'})
    elif found.error:
      self._say(403, {'error': 'gated'}, {'X-Error-Code': found.error})
    elif found.at(revision) is None:
      self._say(404, {'error': 'no'}, {'X-Error-Code': 'RevisionNotFound'})
    else:
      return found.at(revision)
    return None

  def _info(self, found, commit, files):
    private = self.server.repositories[found['repo']].private
    self._say(200, {
      'id': found['repo'], 'sha': commit, 'private': private,
      'siblings': [{'rfilename': name} for name in files],
    })  # fmt: skip

  def _tree(self, found, commit, files):
    self._say(200, [
      {'type': 'file', 'path': n, 'size': len(d), 'oid': _oid(d)}
      for n, d in files.items()
    ])  # fmt: skip

  def _file(self, found, commit, files):
    data = files.get(found['file'])
    if data is None:
      self._say(404, {'error': 'no'}, {'X-Error-Code': 'EntryNotFound'})
    else:
      headers = {'ETag': f'"{_oid(data)}"', 'X-Repo-Commit': commit}
      self._send(200, data, headers)

  def _say(self, status, text, headers=()):
    self._send(status, json.dumps(text).encode(), dict(headers))

  def _send(self, status, data, headers):
    self.send_response(status)
    self.send_header('Content-Length', str(len(data)))
    self.send_header('Content-Type', 'application/json')
    for name, value in headers.items():
      self.send_header(name, value)
    self.end_headers()
    if self.command != 'HEAD':
      self.wfile.write(data)


def _oid(data):
  return hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()
