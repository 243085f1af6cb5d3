/**
 * A course over time as a picture, SVG inside the page. Pure.
 *
 * It is stretched to whatever width there is, so nothing in it is text: what it says stands beside
 * it, and below the pointer. A figure holds for the whole time in which it was measured, so it is
 * drawn as a step; where nothing was measured nothing is drawn.
 */
import { type Html, html } from './html.ts';

/** In ms since 1970. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Series {
  readonly name: string;
  /** What draws it, of the page's style: `one` or `two`. */
  readonly style: 'one' | 'two';
  /** One for each step of the plot. */
  readonly values: readonly (number | null)[];
}

export interface Mark {
  readonly atMs: number;
  readonly tone: string;
  readonly text: string;
}

export interface Plot {
  readonly title: string;
  readonly about: string;
  readonly span: Span;
  readonly steps: readonly Span[];
  readonly series: readonly Series[];
  readonly marks: readonly Mark[];
  readonly format: (value: number) => string;
}

/** Units of the picture, which has no size of its own. */
const width = 1_000;
const height = 100;

/** 1, 2 or 5 times a power of ten, and no less than `value`: the end of a scale. */
export function scaleEnd(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((one) => one * power >= value * 0.999_999) ?? 10;
  return step * power;
}

const rounded = (value: number) => Math.round(value * 10) / 10;

export function across(atMs: number, { fromMs, toMs }: Span): number {
  const share = (atMs - fromMs) / Math.max(1, toMs - fromMs);
  return rounded(width * Math.min(1, Math.max(0, share)));
}

/** A record is written a moment after it was due: what is longer is a gap, ms. */
export const gapMsMin = 1_500;

/** Runs of steps without a gap. */
function runs(steps: readonly Span[], values: readonly (number | null)[]) {
  const found: { readonly span: Span; readonly value: number }[][] = [];
  steps.forEach((span, at) => {
    const value = values[at];
    if (value === null || value === undefined) return;
    const isNext = at > 0 && values[at - 1] !== null && gapMs(steps, at) < gapMsMin;
    const last = found.at(-1);
    if (isNext && last !== undefined) last.push({ span, value });
    else found.push([{ span, value }]);
  });
  return found;
}

function gapMs(steps: readonly Span[], at: number): number {
  return (steps[at]?.fromMs ?? 0) - (steps[at - 1]?.toMs ?? 0);
}

function pathsOf({ values }: Series, { steps, span }: Plot, end: number) {
  const y = (value: number) => rounded(height - (height * value) / end);
  return runs(steps, values).map((run) => {
    const [first] = run;
    const begin = across(first?.span.fromMs ?? 0, span);
    const line = run.map((one) => `V${y(one.value)}H${across(one.span.toMs, span)}`).join('');
    const from = `M${begin} ${y(first?.value ?? 0)}`;
    return { line: `${from}${line}`, area: `M${begin} ${height}${line}V${height}Z` };
  });
}

function seriesHtml(series: Series, plot: Plot, end: number): Html {
  const paths = pathsOf(series, plot, end);
  const area = paths.map(({ area }) => area).join('');
  const line = paths.map(({ line }) => line).join('');
  // The second one stands in front of the first, whose area would hide it.
  const filled = series.style === 'one' ? html`<path class="area one" d="${area}"/>` : '';
  return html`${filled}<path class="line ${series.style}" d="${line}"/>`;
}

interface Place {
  readonly x: number;
  readonly wide: number;
  readonly high: number;
}

/** A rectangle from the top, and what the pointer shows on it. */
function rectHtml(kind: string, { x, wide, high }: Place, title: string): Html {
  const shown = html`<title>${title}</title>`;
  return html`<rect class="${kind}" x="${x}" width="${wide}" height="${high}">${shown}</rect>`;
}

/** What was measured at a place, below the pointer there. */
function pointerHtml(plot: Plot): Html[] {
  return plot.steps.map((step, at) => {
    const said = plot.series.map(({ name, values }) => {
      const value = values[at];
      return `${name} ${value === null || value === undefined ? '-' : plot.format(value)}`;
    });
    const x = across(step.fromMs, plot.span);
    const wide = Math.max(0.5, rounded(across(step.toMs, plot.span) - x));
    const title = `${clockTime(step.toMs)}: ${said.join(', ')}`;
    return rectHtml('at', { x, wide, high: height }, title);
  });
}

function marksHtml({ marks, span }: Plot): Html[] {
  return marks.map(({ atMs, tone, text }) => {
    const x = across(atMs, span);
    return html`<path class="mark ${tone}" d="M${x} 0V${height}"><title>${text}</title></path>`;
  });
}

function legend({ series, format }: Plot): Html[] {
  return series.map(({ name, style, values }) => {
    const known = values.filter((value) => value !== null);
    const most = known.length === 0 ? 'none' : `at most ${format(Math.max(...known))}`;
    return html`<span class="key"><i class="${style}"></i>${name}: ${most}</span> `;
  });
}

/** `19:12:31`, UTC. */
export function clockTime(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19);
}

const dayMs = 24 * 60 * 60 * 1_000;

/** The times at the beginning, in the middle and at the end; with the day where it matters. */
export function timesOf({ fromMs, toMs }: Span): readonly string[] {
  const isLong = toMs - fromMs > dayMs;
  const middleMs = (fromMs + toMs) / 2;
  return [fromMs, middleMs, toMs].map((ms) =>
    isLong ? new Date(ms).toISOString().slice(0, 16).replace('T', ' ') : clockTime(ms),
  );
}

export function plotHtml(plot: Plot): Html {
  const known = plot.series.flatMap(({ values }) => values.filter((value) => value !== null));
  const end = scaleEnd(Math.max(0, ...known));
  const [top, middle] = [end, end / 2].map((value) => plot.format(value).replace('.0', ''));
  const lines = [0, height / 2, height].map((y) => html`<path class="grid" d="M0 ${y}H${width}"/>`);
  const drawn = plot.series.map((series) => seriesHtml(series, plot, end));
  return html`<figure>
<figcaption><b>${plot.title}</b> <span>${plot.about}</span></figcaption>
<div class="plot">
<div class="scale"><span>${top ?? ''}</span><span>${middle ?? ''}</span><span>0</span></div>
<svg viewBox="0 0 ${width} ${height}" preserveAspectRatio="none"
  role="img" aria-label="${plot.title}">
${lines}${drawn}${marksHtml(plot)}${pointerHtml(plot)}
</svg></div>
<div class="times">${timesOf(plot.span).map((time) => html`<span>${time}</span>`)}</div>
<p class="legend">${legend(plot)}</p>
</figure>
`;
}

type Lasted = Span & { readonly state: string; readonly tone: string };

/** What is of one state, and without a gap, is one. */
function lasted(steps: readonly Lasted[]): readonly Lasted[] {
  const found: Lasted[] = [];
  for (const step of steps) {
    const before = found.at(-1);
    const isSame = before?.state === step.state && step.fromMs - before.toMs < gapMsMin;
    if (before !== undefined && isSame) found[found.length - 1] = { ...before, toMs: step.toMs };
    else found.push(step);
  }
  return found;
}

/** A strip in which each state that a session was in has its colour. */
export function stripHtml(span: Span, steps: readonly Lasted[]): Html {
  const parts = lasted(steps).map(({ state, tone, ...step }) => {
    const x = across(step.fromMs, span);
    const wide = Math.max(1, rounded(across(step.toMs, span) - x));
    const title = `${clockTime(step.fromMs)} to ${clockTime(step.toMs)}: ${state}`;
    return rectHtml(tone, { x, wide, high: 10 }, title);
  });
  return html`<svg class="strip" viewBox="0 0 ${width} 10" preserveAspectRatio="none"
  role="img" aria-label="states">${parts}</svg>`;
}
