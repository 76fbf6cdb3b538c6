"""The style sheet of the page: no font, no image, no address; light and dark by the reader's choice."""

CSS = """
:root { color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #22262b; --soft: #6a7078; --line: #e6e3dc; --grid: #efece6;
  --accent: #2f6f73; --good: #2e7d5b; --fair: #b07a10; --poor: #b5443c; --trial: #6d5aa8; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #15181b; --card: #1c2024; --ink: #e6e4df; --soft: #979ea6; --line: #2e343a; --grid: #282d32;
  --accent: #74b9bd; --good: #63bf94; --fair: #dcae54; --poor: #e2837b; --trial: #ab9be0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; font-variant-numeric: tabular-nums; }
main { max-width: 1280px; margin: 0 auto; padding: 40px 24px 64px; }
header { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline; justify-content: space-between; }
h1 { font-size: 26px; font-weight: 650; letter-spacing: -0.02em; margin: 0; }
h2 { font-size: 16px; font-weight: 650; margin: 0 0 14px; }
p { margin: 0 0 8px; max-width: 70ch; }
.soft { color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 20px 22px; margin-top: 18px; overflow-x: auto; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin-top: 24px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 24px; font-weight: 650; letter-spacing: -0.02em; line-height: 1.25; }
.tile span { color: var(--soft); font-size: 13px; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 500; font-size: 13px; color: var(--soft); padding: 0 14px 6px 0; white-space: nowrap; }
td { padding: 7px 14px 7px 0; border-top: 1px solid var(--line); vertical-align: middle; }
th:last-child, td:last-child { padding-right: 0; }
.n { text-align: right; white-space: nowrap; }
.name { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px; overflow-wrap: break-word; unicode-bidi: isolate; }
.one { white-space: nowrap; }
.attention { list-style: none; margin: 0; padding: 0; } .attention li { display: flex; gap: 12px; padding: 6px 0; align-items: baseline; }
.attention code, p code { font-size: 13px; overflow-wrap: anywhere; } .calm { color: var(--good); }
.trend { width: 140px; height: 28px; } .band { fill: var(--accent); opacity: 0.16; }
.wide { overflow-x: auto; } .heat { width: auto; border-spacing: 2px; border-collapse: separate; } .heat caption { text-align: left; color: var(--soft); font-size: 13px; padding-bottom: 8px; }
.heat th { font-size: 11px; padding: 2px 4px; text-align: center; } .heat td { border: 1px solid var(--line); padding: 2px; min-width: 26px; text-align: center; font-size: 11px; color: var(--ink); }
.heat .poor { border: 2px solid var(--poor); font-weight: 700; } .heat .fair { border-style: dashed; border-color: var(--fair); }
.tag { display: inline-block; border-radius: 99px; padding: 1px 10px; font-size: 13px; font-weight: 550; white-space: nowrap;
  color: var(--tag, var(--soft)); border: 1px solid currentColor; }
.good { --tag: var(--good); } .fair { --tag: var(--fair); } .poor { --tag: var(--poor); }
.begun { --tag: var(--trial); } .kept { --tag: var(--good); } .back { --tag: var(--fair); } .other { --tag: var(--accent); }
.rate { color: var(--tag, var(--soft)); font-weight: 600; }
.moved { font-weight: 650; }
.two { display: grid; grid-template-columns: minmax(0, 320px) minmax(0, 1fr); gap: 8px 36px; align-items: center; }
@media (max-width: 700px) { .two { grid-template-columns: 1fr; } main { padding: 24px 14px; } }
svg { display: block; overflow: visible; }
.whisker { width: 180px; height: 15px; }
.calibration { width: 100%; max-width: 320px; }
.timeline { width: 100%; min-width: 640px; margin-bottom: 14px; }
.grid { stroke: var(--grid); } .track { stroke: var(--line); stroke-width: 2; }
.span { stroke: var(--tag); stroke-width: 5; stroke-linecap: round; opacity: 0.38; }
.point { fill: var(--tag); stroke: var(--card); stroke-width: 1.5; }
.ideal { stroke: var(--soft); stroke-dasharray: 4 4; } .curve { fill: none; stroke: var(--accent); stroke-width: 1.5; opacity: 0.6; }
.dot { fill: var(--accent); stroke: var(--card); stroke-width: 1.5; }
.event { fill: var(--tag); stroke: var(--card); stroke-width: 2; }
.axis { fill: var(--soft); font-size: 11px; } .lane { fill: var(--ink); font-size: 12px; font-family: ui-monospace, Menlo, Consolas, monospace; }
.middle { text-anchor: middle; } .end { text-anchor: end; }
footer { margin-top: 22px; color: var(--soft); font-size: 13px; }
@media print { section, .tile { break-inside: avoid; } }
"""
