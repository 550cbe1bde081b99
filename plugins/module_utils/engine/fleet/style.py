# Copyright (c) 2026, catmaid.admin contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the page of all instances looks: on a desk and on a phone, by day and by night."""

from __future__ import annotations

STYLE = """
:root { --ground: #f4f6f8; --card: #fff; --text: #1c2128; --soft: #57606a; --line: #d8dee4; --chart: #0969da;
  --ok: #116329; --warning: #7d4e00; --failed: #b3151f; --unreachable: #6236b5;
  --ok-soft: #dcf5e3; --warning-soft: #fff1cc; --failed-soft: #ffe3e1; --unreachable-soft: #efe6ff; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0d1117; --card: #161b22; --text: #e6edf3; --soft: #9ea7b3; --line: #30363d; --chart: #6cb6ff;
    --ok: #57d673; --warning: #e8b339; --failed: #ff8f87; --unreachable: #c9a6ff;
    --ok-soft: #12301c; --warning-soft: #382b0a; --failed-soft: #441b1b; --unreachable-soft: #2d2047; }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 0; font-size: 15px; overflow-wrap: break-word; }
main { max-width: 100rem; margin: auto; padding: 1.5rem clamp(.75rem, 2.5vw, 2.5rem) 3rem; }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; justify-content: space-between; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; display: flex; flex-wrap: wrap; gap: .5rem; align-items: center;
  justify-content: space-between; overflow-wrap: anywhere; }
header p { margin: 0; color: var(--soft); }
ul { list-style: none; margin: 0; padding: 0; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.counts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; margin-top: 1.25rem; }
.counts li { padding: .75rem 1rem; border-radius: .6rem; border: 1px solid var(--line); background: var(--card);
  color: var(--soft); border-top: .3rem solid var(--tone); }
.counts strong { display: block; font-size: 1.9rem; line-height: 1.15; color: var(--tone); }
.counts .none { border-top-color: var(--line); }
.counts .none strong { color: var(--soft); font-weight: 400; }
.ok { --tone: var(--ok); --tint: var(--ok-soft); }
.warning { --tone: var(--warning); --tint: var(--warning-soft); }
.failed { --tone: var(--failed); --tint: var(--failed-soft); }
.unreachable { --tone: var(--unreachable); --tint: var(--unreachable-soft); }

.badge { display: inline-block; padding: .05rem .6rem; border-radius: 1rem; background: var(--tint);
  color: var(--tone); font-size: .85rem; font-weight: 600; white-space: nowrap; }
.badge .hidden { display: none; }
.sign { display: inline-block; min-width: .9em; font-weight: 700; text-align: center; color: var(--tone); }

.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; min-width: 0; }
.problems { display: block; columns: 26rem; }
.problems .card { break-inside: avoid; margin-bottom: 1rem; border-left: .3rem solid var(--tone); }
.problems li { display: flex; gap: .6rem; padding: .2rem 0; }
.problems li > span:last-child { min-width: 0; overflow-wrap: anywhere; }

.fleet { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; border-collapse: separate;
  border-spacing: 0; font-size: .875rem; }
.fleet th, .fleet td { padding: .6rem .55rem; }
.part { display: inline-block; max-width: 100%; }
.fleet thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--line);
  vertical-align: bottom; }
.fleet tbody tr:last-child > * { border-bottom: 0; }
.fleet tbody th { font-weight: 600; }
.fleet td.warning, .fleet td.failed { color: var(--tone); background: var(--tint); }
.fleet .silent { color: var(--soft); }
.fleet tbody th, .fleet thead th:first-child { min-width: 9rem; }
.site { display: block; color: var(--soft); font-weight: 400; }

.charts { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .75rem; }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .85rem; }
figcaption strong { display: block; white-space: nowrap; color: var(--text); font-size: 1.05rem; font-weight: 600; }
svg { display: block; width: 100%; height: 4rem; }
svg path { fill: none; stroke: var(--chart); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round;
  vector-effect: non-scaling-stroke; }
svg .area { fill: var(--chart); fill-opacity: .14; stroke: none; }
svg .base { stroke: var(--line); stroke-width: 1; }
svg .dot { stroke-width: 7; }
.ends { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 .5rem; margin: .2rem 0 0;
  color: var(--soft); font-size: .75rem; }
details { margin-top: .75rem; }
summary { color: var(--soft); cursor: pointer; font-size: .875rem; }
details table { font-size: .8rem; margin-top: .5rem; }
details th { font-weight: 400; }
details td, details th { padding: .2rem .4rem .2rem 0; }

@media (max-width: 84rem) {
  .fleet, .fleet tbody { display: block; border: 0; background: none; }
  .fleet tbody { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
  .fleet thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .fleet tbody tr { display: block; padding: .4rem 0; border: 1px solid var(--line);
    border-left: .3rem solid var(--tone); border-radius: .6rem; background: var(--card); }
  .fleet tbody th, .fleet td { display: flex; gap: 1rem; padding: .35rem 1rem; border: 0; }
  .fleet tbody th { flex-wrap: wrap; justify-content: space-between; font-size: 1rem; gap: 0 1rem; }
  .fleet td > .value { min-width: 0; overflow-wrap: anywhere; }
  .fleet td:not(.silent)::before { content: attr(data-head); flex: 0 0 7.5rem; color: var(--soft); }
}
@media (max-width: 26rem) { .counts { grid-template-columns: 1fr 1fr; } }
@media print { .card, .fleet tr { break-inside: avoid; } }
"""
