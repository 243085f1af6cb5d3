/** How a report looks: on light and dark screens, wide and narrow ones, and on paper. */
export const style = `
:root { color-scheme: light dark;
  --paper: #fff; --card: #f6f7f9; --ink: #1b1f24; --soft: #5c6670; --line: #d8dde3;
  --one: #2563a8; --two: #c2570c; --good: #2c8a4b; --doubtful: #b98900; --bad: #c5303a; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1d2125; --ink: #e4e7ea; --soft: #9aa4ae; --line: #343a41;
  --one: #6aa9f0; --two: #f0954d; --good: #56b878; --doubtful: #d9b23c; --bad: #f0707a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 1.5rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 15px/1.45 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
p { margin: .4rem 0; overflow-wrap: anywhere; }
code, pre, .mono { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
.soft, figcaption span, .legend, .scale, .times { color: var(--soft); }
.state { display: inline-block; padding: .1rem .6rem; border-radius: 1rem; color: var(--paper);
  font-weight: 600; background: var(--soft); }
.state.good { background: var(--good); } .state.doubtful { background: var(--doubtful); }
.state.bad { background: var(--bad); }
.try { margin: .6rem 0; padding: .5rem .8rem; border-left: 4px solid var(--soft);
  background: var(--card); overflow-wrap: anywhere; }
.cards { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
.cards div { background: var(--card); border-radius: .4rem; padding: .5rem .8rem; }
.cards b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
figure { margin: 1.4rem 0 0; }
figcaption span { margin-left: .4rem; }
.plot { display: flex; margin-top: .3rem; }
.scale { flex: 0 0 4.6rem; display: flex; flex-direction: column; justify-content: space-between;
  text-align: right; padding-right: .5rem; font-size: .8rem; line-height: 1; white-space: nowrap; }
td:last-child { min-width: 7rem; }
.plot svg { flex: 1; min-width: 0; height: 7rem; overflow: visible; }
.times { display: flex; justify-content: space-between; margin-left: 4.6rem; font-size: .8rem; }
.legend { margin: .1rem 0 0 4.6rem; font-size: .85rem; }
.key { margin-right: 1rem; white-space: nowrap; }
.key i { display: inline-block; width: 1.2rem; height: .2rem; margin-right: .4rem;
  vertical-align: middle; background: var(--one); }
.key i.two { background: var(--two); }
.key i.mark { width: .2rem; height: .9rem; }
.key i.good { background: var(--good); } .key i.doubtful { background: var(--doubtful); }
.key i.bad { background: var(--bad); }
.strip { display: block; width: 100%; height: 1rem; margin: 1rem 0 .3rem; }
.strip rect { fill: var(--soft); } .strip .good { fill: var(--good); }
.strip .doubtful { fill: var(--doubtful); } .strip .bad { fill: var(--bad); }
.strip + .times { margin-left: 0; }
path { fill: none; vector-effect: non-scaling-stroke; }
.grid { stroke: var(--line); }
.line { stroke: var(--one); stroke-width: 1.5; } .line.two { stroke: var(--two); }
.area { fill: var(--one); opacity: .15; }
.mark { stroke: var(--good); stroke-dasharray: 2 3; }
.mark.doubtful { stroke: var(--doubtful); } .mark.bad { stroke: var(--bad); }
.at { fill: transparent; } .at:hover { fill: var(--soft); opacity: .25; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; white-space: nowrap; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
@media (min-width: 44rem) { td.keep { white-space: nowrap; } }
@media (max-width: 44rem) { .scale { flex-basis: 3.6rem; }
  .times, .legend { margin-left: 3.6rem; } }
.good-text { color: var(--good); } .doubtful-text { color: var(--doubtful); }
.bad-text { color: var(--bad); }
pre { overflow-x: auto; background: var(--card); padding: .6rem .8rem; border-radius: .4rem; }
summary { cursor: pointer; }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
`;
