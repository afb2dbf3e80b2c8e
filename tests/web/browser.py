"""A headless Chromium by its DevTools protocol, over pipes; the standard library
alone."""

import contextlib
import fcntl
import functools
import http.server
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome')

# Chromium reads from 3 and writes to 4.
MOVED = (
  'import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4); '
  'os.execv(sys.argv[3], sys.argv[3:])'
)


def find():
  """The path of a browser, or None."""
  return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
  """One tab.

  Args:
    folder: For its profile.
    *flags: More flags of the command line.
  """

  def __init__(self, folder, *flags):
    (down, self._to), (self._from, up) = os.pipe(), os.pipe()
    # Out of the way of 3 and 4.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (down, up)]
    os.close(down)
    os.close(up)
    self._process = subprocess.Popen(
      [
        sys.executable, '-c', MOVED, *map(str, ends), find(),
        '--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
        '--disable-dev-shm-usage', '--remote-debugging-pipe',
        '--disable-background-networking', '--disable-component-update',
        '--hide-scrollbars', f'--user-data-dir={folder}', *flags, 'about:blank',
      ],
      pass_fds=ends, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
      stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for end in ends:
      os.close(end)
    self._numbers, self._replies = itertools.count(1), {}
    self.requests, self.errors, self._session = [], [], None
    self._reader = threading.Thread(target=self._read, daemon=True)
    self._reader.start()
    targets = self.send('Target.getTargets', None)['targetInfos']
    tab = next(t['targetId'] for t in targets if t['type'] == 'page')
    asked = {'targetId': tab, 'flatten': True}
    self._session = self.send('Target.attachToTarget', None, **asked)[
      'sessionId'
    ]
    for domain in ('Page', 'Network', 'Runtime', 'DOM', 'Log'):
      self.send(f'{domain}.enable')
    self.send(
      'Target.setAutoAttach',
      autoAttach=True, waitForDebuggerOnStart=True, flatten=True,
    )  # fmt: skip

  def close(self):
    with contextlib.suppress(Exception):
      self.send('Browser.close', None)
    try:
      self._process.wait(20)
    except subprocess.TimeoutExpired:
      self._process.kill()
      self._process.wait()
    self._reader.join(20)
    os.close(self._to)
    os.close(self._from)

  def __enter__(self):
    return self

  def __exit__(self, *_):
    self.close()

  def send(self, method, session='tab', seconds=120, **params):
    """Asks; returns the result."""
    number = next(self._numbers)
    message = {'id': number, 'method': method, 'params': params}
    if session is not None:
      message['sessionId'] = self._session if session == 'tab' else session
    reply = self._replies[number] = queue.Queue()
    self._write(message)
    try:
      found = reply.get(timeout=seconds)
    except queue.Empty:
      raise TimeoutError(f'{method} took more than {seconds} s') from None
    if 'error' in found:
      raise RuntimeError(f'{method}: {found["error"]}')
    return found['result']

  def _write(self, message):
    data = json.dumps(message).encode() + b'\0'
    while data:
      data = data[os.write(self._to, data) :]

  def _read(self):
    left = b''
    while part := os.read(self._from, 1 << 16):
      *whole, left = (left + part).split(b'\0')
      for text in whole:
        self._hear(json.loads(text))

  def _hear(self, said):
    if 'id' in said:
      if said['id'] in self._replies:
        self._replies.pop(said['id']).put(said)
      return
    method, params = said['method'], said['params']
    if method == 'Target.attachedToTarget' and self._session is not None:
      session = params['sessionId']  # a worker, which waits for this
      for number, ask in enumerate(
        ('Network.enable', 'Runtime.enable', 'Runtime.runIfWaitingForDebugger')
      ):
        self._write({
          'id': 10**6 + number, 'method': ask, 'sessionId': session,
          'params': {},
        })  # fmt: skip
    elif method == 'Network.requestWillBeSent':
      self.requests.append(params['request']['url'])
    elif method == 'Runtime.exceptionThrown':
      self.errors.append(params['exceptionDetails'])
    elif method == 'Log.entryAdded' and params['entry']['level'] == 'error':
      self.errors.append(params['entry'])

  def evaluate(self, expression):
    """The value of an expression, awaited if it is a promise."""
    found = self.send(
      'Runtime.evaluate', expression=expression, awaitPromise=True,
      returnByValue=True,
    )  # fmt: skip
    if 'exceptionDetails' in found:
      raise RuntimeError(str(found['exceptionDetails']))
    return found['result'].get('value')

  def wait(self, expression, seconds=120):
    """Waits until an expression is true; returns its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
      if value := self.evaluate(expression):
        return value
      time.sleep(0.1)
    text = self.evaluate('document.body.innerText')
    raise TimeoutError(f'{expression} is not true; the page says:\n{text}')

  def choose(self, selector, path):
    """Gives a file to a field."""
    root = self.send('DOM.getDocument')['root']['nodeId']
    field = self.send('DOM.querySelector', nodeId=root, selector=selector)
    self.send(
      'DOM.setFileInputFiles', nodeId=field['nodeId'], files=[str(path)]
    )

  def resize(self, width, height, dark=False, mobile=False):
    self.send(
      'Emulation.setDeviceMetricsOverride', width=width, height=height,
      deviceScaleFactor=1, mobile=mobile,
    )  # fmt: skip
    scheme = {
      'name': 'prefers-color-scheme',
      'value': 'dark' if dark else 'light',
    }
    self.send('Emulation.setEmulatedMedia', features=[scheme])


@contextlib.contextmanager
def served(folder):
  """Address of a folder as `python -m http.server` hands it out."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  handler = functools.partial(Handler, directory=str(folder))
  with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
      yield f'http://127.0.0.1:{server.server_address[1]}/'
    finally:
      server.shutdown()
      thread.join()
