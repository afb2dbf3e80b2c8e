"""The style sheet of report.html: phones, dark mode, paper."""

CSS = """
:root {
  --paper: #f6f7f9; --card: #fff; --ink: #1d2129; --soft: #5b6472;
  --line: #e2e6ec; --accent: #0072b2; --best: #e5f1f9;
  --yes: #00704f; --no: #b23c00; --unclear: #6b5b00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171c; --card: #1c2027; --ink: #e7eaf0; --soft: #a3acba;
    --line: #313842; --accent: #6cb8ea; --best: #16374d;
    --yes: #4fcfa3; --no: #ff9a66; --unclear: #dcc25a;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif;
}
main { max-width: 1080px; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .8rem; }
p { margin: .6rem 0; }
.lead {
  background: var(--card); border-left: 4px solid var(--accent);
  border-radius: 8px; padding: .9rem 1.1rem;
}
figure { margin: 1.2rem 0; }
figure.table, figure.picture {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1rem;
}
figcaption { font-weight: 600; margin-bottom: .5rem; }
.picture figcaption {
  font-weight: 400; color: var(--soft); font-size: .9rem; margin: .6rem 0 0;
}
.picture img {
  display: block; max-width: 100%; height: auto; margin: 0 auto;
  background: #fff; border-radius: 6px;
}
.scroll { overflow-x: auto; }
table {
  border-collapse: collapse; width: 100%; font-size: .88rem;
  font-variant-numeric: tabular-nums;
}
th, td {
  padding: .32rem .6rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line);
}
thead th { color: var(--soft); font-weight: 600; }
th[scope=row] {
  text-align: left; font-weight: 500; position: sticky; left: 0;
  background: var(--card);
}
tr.section th { text-align: left; padding-top: .9rem; color: var(--accent); }
tr.section span { position: sticky; left: .6rem; }
td.best { font-weight: 700; background: var(--best); }
.note { color: var(--soft); font-size: .86rem; margin: .6rem 0 0; }
dl {
  display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .9rem 1rem; margin: 1rem 0; font-size: .92rem;
}
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.findings {
  list-style: none; margin: 1rem 0; padding: 0; display: grid; gap: .5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr));
}
.findings li {
  display: grid; grid-template-columns: 5.6rem 1fr; gap: .2rem .6rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .6rem .9rem; align-content: start;
}
.findings div > * { display: block; }
.findings div > strong { font-weight: 600; font-size: .95rem; }
.findings div > span { color: var(--soft); font-size: .88rem; }
.verdict { font-weight: 700; overflow-wrap: anywhere; }
.yes .verdict { color: var(--yes); }
.no .verdict { color: var(--no); }
.unclear .verdict { color: var(--unclear); }
.identity .verdict, .untestable .verdict { color: var(--soft); }
table.wide { font-size: .82rem; }
.wide th, .wide td { padding: .3rem .36rem; }
@media (max-width: 560px) {
  .picture img.large { max-width: 38rem; }
  body { font-size: 15px; }
  .findings li, dl { grid-template-columns: 1fr; }
  dt { margin-top: .4rem; }
}
@media print { body { background: #fff; } h2 { break-after: avoid; } }
"""
