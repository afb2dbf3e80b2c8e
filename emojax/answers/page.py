"""One HTML file that shows the answers; it asks for nothing from anywhere.

Texts of others (names of files and labels) are data in it, never markup: they
stand in a block of JSON, and the script puts them in as text.
"""

import html
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

FAIR_USE = (
  'These numbers estimate what people would say of a picture of a face. They '
  'do not say what somebody feels, thinks or is, and they are wrong for many '
  'faces. Do not decide about people by them. Some laws forbid such use: in the '
  'European Union the AI Act (Article 5(1)(f)) forbids to infer emotions of '
  'people at work and in education, except for medical or safety reasons.'
)
POLICY = (
  "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
  "script-src 'unsafe-inline'"
)
TEMPLATE = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>Faces and answers</title>
<style>
{style}</style></head>
<body>
<header><h1>What people would say of these faces</h1>
<p id="facts"></p>
<p class="note">{fair_use}</p>
<ul id="about"></ul></header>
<main id="main"><noscript>This page needs JavaScript; the numbers are in the
table beside it.</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>
{script}</script>
</body></html>
"""


def render(data: Mapping[str, Any]) -> str:
  """The page.

  Args:
    data: Of `gallery.read`.
  """
  # '</script>' in a name must not end the block.
  text = json.dumps(data, allow_nan=False, separators=(',', ':'))
  return TEMPLATE.format(
    policy=html.escape(POLICY),
    style=_file('page.css'),
    fair_use=html.escape(FAIR_USE),
    data=text.replace('<', '\\u003c'),
    script=_file('page.js'),
  )


def _file(name: str) -> str:
  return importlib.resources.files('emojax.answers').joinpath(name).read_text()
