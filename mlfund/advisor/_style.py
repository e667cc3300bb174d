"""The style sheet of the report: light and dark, screen and paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --card: #ffffff; --ink: #1d2129; --soft: #5a6270; --line: #dfe1e4;
  --accent: #1f5fbf; --accent-soft: #e8f0fb; --warn: #8a5a00; --warn-soft: #fdf3dd;
  --bad: #b3261e; --bad-soft: #fbe9e7; --code: #f3f4f5;
  --baseline: #6c7480; --linear: #1f6fb2; --tree_ensemble: #2a7d46;
  --gradient_boosting: #c25a00; --neural_network: #7a3fb0; --pretrained: #0f7c86;
  --ensemble: #b02a6b;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --card: #1c2027; --ink: #e8eaee; --soft: #a3abb8; --line: #323842;
    --accent: #82b1ff; --accent-soft: #1e2b40; --warn: #f0c26a; --warn-soft: #332a17;
    --bad: #ff9b92; --bad-soft: #3a2120; --code: #22272f;
    --baseline: #9aa3b0; --linear: #6db3ef; --tree_ensemble: #6cc58a;
    --gradient_boosting: #ff9d4d; --neural_network: #c093f0; --pretrained: #5cc6d0;
    --ensemble: #f27fb2;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 71rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; letter-spacing: -0.01em; }
h1 { font-size: 2.1rem; margin: 0.2rem 0 0.6rem; font-weight: 680; }
h2 { font-size: 1.3rem; margin: 3rem 0 0.9rem; font-weight: 640; }
h3 { font-size: 1rem; margin: 0 0 0.15rem; font-weight: 620; }
p { margin: 0.5rem 0; max-width: 46rem; }
a { color: var(--accent); }
ul { margin: 0.4rem 0; padding-left: 1.2rem; max-width: 46rem; }
li { margin: 0.25rem 0; }
.eyebrow { color: var(--soft); font-size: 0.86rem; margin: 0; overflow-wrap: anywhere; }
.soft { color: var(--soft); }
.small { font-size: 0.88rem; }
.card {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 1.3rem 1.5rem;
}
.hero { padding: 1.9rem 2.1rem 1.7rem; }
.hero .lead { font-size: 1.1rem; max-width: 44rem; }
.sure { display: flex; align-items: center; gap: 0.9rem; margin: 0.9rem 0; }
.sure p { margin: 0; white-space: nowrap; }
.gauge {
  flex: 0 1 20rem; height: 8px; border-radius: 4px; background: var(--line); overflow: hidden;
}
.gauge span { display: block; height: 100%; border-radius: 4px; background: var(--accent); }
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr));
  gap: 1.1rem 1.6rem; margin: 1.4rem 0 0; padding: 1.2rem 0 0;
  border-top: 1px solid var(--line);
}
.tiles div { min-width: 0; }
.tiles dt { color: var(--soft); font-size: 0.82rem; }
.tiles dd {
  margin: 0; font-size: 1.22rem; font-weight: 620; font-variant-numeric: tabular-nums;
}
.tiles dd small { display: block; font-size: 0.8rem; font-weight: 400; color: var(--soft); }
.columns {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1.1rem;
}
.hero .columns { margin-top: 1.3rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
.card + .card, .card + .note, .note + .card { margin-top: 1.1rem; }
.columns .card + .card { margin-top: 0; }
.columns + .card { margin-top: 1.1rem; }
.columns h3 { margin-bottom: 0.4rem; }
figure { margin: 0; min-width: 0; }
figure .plot { overflow-x: auto; margin-top: 0.8rem; }
figcaption p { font-size: 0.86rem; color: var(--soft); margin: 0; line-height: 1.45; }
svg { display: block; width: 100%; min-width: 25rem; max-width: 40rem; height: auto; }
svg text { font-size: 12.5px; fill: var(--ink); font-family: inherit; }
svg .tick, svg .axis { fill: var(--soft); font-size: 11.5px; }
svg .strong { font-weight: 660; }
svg .value { font-variant-numeric: tabular-nums; }
svg line { stroke-linecap: round; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .zero { stroke: var(--soft); stroke-width: 1.2; }
svg .range { stroke: currentColor; stroke-width: 4; opacity: 0.38; }
svg .thin { stroke: currentColor; stroke-width: 2; opacity: 0.45; }
svg .leader { stroke: currentColor; stroke-width: 1; opacity: 0.6; }
svg .whisker { stroke: var(--ink); stroke-width: 1.4; }
svg .mean { fill: currentColor; stroke: var(--card); stroke-width: 1.5; }
svg .dot, svg .fill, svg .bar { fill: currentColor; }
svg .fold { fill: var(--card); stroke: currentColor; stroke-width: 1.2; opacity: 0.85; }
svg .band { fill: currentColor; opacity: 0.13; }
svg .curve { fill: none; stroke: currentColor; stroke-width: 2.2; stroke-linejoin: round; }
svg .bar { opacity: 0.78; }
.c-accent { color: var(--accent); }
.c-baseline { color: var(--baseline); } .c-linear { color: var(--linear); }
.c-tree_ensemble { color: var(--tree_ensemble); }
.c-gradient_boosting { color: var(--gradient_boosting); }
.c-neural_network { color: var(--neural_network); }
.c-pretrained { color: var(--pretrained); } .c-ensemble { color: var(--ensemble); }
.dot-key {
  display: inline-block; width: 0.62rem; height: 0.62rem; border-radius: 50%;
  background: currentColor; margin-right: 0.5rem;
}
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td {
  padding: 0.5rem 0.6rem; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top;
}
th { color: var(--soft); font-weight: 560; font-size: 0.82rem; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { color: var(--ink); font-size: 0.9rem; }
td small { display: block; color: var(--soft); font-weight: 400; }
tbody th small { display: block; color: var(--soft); font-weight: 400; padding-left: 1.12rem; }
thead th { vertical-align: bottom; line-height: 1.3; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n, tbody th { white-space: nowrap; }
tr.chosen > * { background: var(--accent-soft); }
.chip {
  display: inline-block; padding: 0.05rem 0.55rem; border-radius: 1rem; font-size: 0.78rem;
  border: 1px solid var(--line); color: var(--soft); white-space: nowrap;
}
.chip.good { color: var(--accent); border-color: currentColor; }
.chip.warn { color: var(--warn); border-color: currentColor; }
.chip.bad { color: var(--bad); border-color: currentColor; }
.note {
  border-left: 4px solid var(--warn); background: var(--warn-soft); padding: 0.7rem 1rem;
  border-radius: 6px; margin: 0.6rem 0; overflow-wrap: anywhere;
}
.note.bad { border-color: var(--bad); background: var(--bad-soft); }
.note p { margin: 0.15rem 0; }
pre {
  background: var(--code); border: 1px solid var(--line); border-radius: 8px;
  padding: 1rem 1.1rem;
  overflow-x: auto; font: 0.85rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, monospace;
  margin: 0.6rem 0;
}
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.9em; }
.sheet { display: flex; align-items: center; gap: 0.9rem; margin: 0.35rem 0; }
.sheet-label { flex: 0 0 8rem; overflow-wrap: anywhere; font-size: 0.9rem; }
.sheet img { image-rendering: pixelated; max-width: 100%; min-width: 0; border-radius: 4px; }
table.confusion { width: auto; }
table.confusion td { min-width: 2.6rem; }
table.confusion td.right {
  background: color-mix(in srgb, var(--accent-soft) var(--share, 0%), var(--card));
}
table.confusion td.wrong {
  background: color-mix(in srgb, var(--bad) var(--share, 0%), var(--card));
}
dl.facts {
  display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1.4rem;
  margin: 0.4rem 0; font-size: 0.9rem;
}
dl.facts dt { color: var(--soft); }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--soft); font-size: 0.85rem; }
@media (max-width: 40rem) {
  main { padding: 1.2rem 0.9rem 3rem; }
  h1 { font-size: 1.6rem; }
  .card, .hero { padding: 1.1rem 1rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: 0.5rem; }
}
@media print {
  :root { color-scheme: light; --page: #fff; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  .card { border-color: #bbb; }
  figure, table, pre, .card, .note { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; }
}
"""
