/**
 * A report as one HTML page that needs nothing else: no script, no font, no picture of another
 * place, and it says so to the browser (Content-Security-Policy). Pure.
 */
import type { Report } from '../../../app/report.ts';
import { withoutWitnessText } from '../../../core/texts/without-witness.ts';
import { formatBytes, formatMs } from '../../../core/units.ts';
import type { EventRecord } from '../../../registry/event-record.ts';
import type { PastSession } from '../../../registry/past.ts';
import type { SessionStatus } from '../../../registry/status.ts';
import { toneOf } from '../events.ts';
import { measured, shortMs } from '../figures.ts';
import { type Html, html, nothing, type Shown } from './html.ts';
import { type Mark, type Plot, plotHtml, type Span, stripHtml, timesOf } from './plot.ts';
import { type Step, stepsOf } from './steps.ts';
import { style } from './style.ts';

/** As many as can be told from each other. */
const stepsMax = 240;
const eventsMax = 200;
const sessionsMax = 50;
const figuresMax = 5_000;

const toneOfState: Readonly<Record<string, string>> = {
  ...{ protected: 'good', standby: 'good' },
  ...{ connecting: 'doubtful', seeding: 'doubtful', measuring: 'doubtful', late: 'doubtful' },
  ...{ ending: 'doubtful', activating: 'doubtful' },
  ...{ held: 'bad', unprotected: 'bad', active: 'bad' },
};

const toneOfLevel = { ok: 'good', warning: 'doubtful', unknown: 'doubtful', critical: 'bad' };

/** `2026-11-30 19:12:31`, UTC. */
function timeText(time: string): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}

function statusOf({ report, record }: PastSession): SessionStatus | null {
  return (report ?? record)?.status ?? null;
}

/** How a session is, or how it ended. */
function stateOf({ report, record, figures }: PastSession): string {
  if (report !== null) return report.state;
  return record?.status.outcome ?? figures.at(-1)?.state ?? 'not known';
}

/** What a person reads first. */
function headHtml({ host, domain, subject, made, parts }: Report): Html {
  const status = statusOf(subject);
  const { report, role, session, from, to } = subject;
  const arrow = role === 'primary' ? '→' : '←';
  const peer = status === null ? nothing : html` ${arrow} ${status.peer}`;
  const tone = report === null ? '' : toneOfLevel[report.level];
  const reason = (report ?? status)?.reason ?? null;
  const next = report?.next ?? [];
  const lines = next.map((line) => html`<br>Try: <code>${line}</code>`);
  const said =
    reason === null && next.length === 0
      ? nothing
      : html`<p class="try">${reason ?? ''}${lines}</p>`;
  return html`<header>
<h1>${domain} on ${host}${peer}</h1>
<p><span class="state ${tone}">${stateOf(subject)}</span>
${role} of session <code>${session.slice(0, 8)}</code>,
${timeText(from)} to ${timeText(to)} (UTC)</p>
${said}
<p class="soft">A report of tsremus ${parts[0]?.version ?? ''}, made ${timeText(made)} on ${host}.
It holds the names of this guest, of both hosts and of what runs here, the command that leads to the
other host, settings, events and figures; nothing of the guest's memory, disks or packets, and no
key or password.</p>
</header>
`;
}

function cardsHtml({ subject }: Report): Html {
  const status = statusOf(subject);
  if (status === null) return nothing;
  const { histograms, bytes_sent: sent, bytes_raw: raw, stalls, stalled_ms: stalledMs } = status;
  const lags = subject.figures.flatMap(({ lag_ms_max: lag }) => lag ?? []);
  const lag = lags.reduce((most, one) => Math.max(most, one), 0);
  const pause = histograms?.pause_ms;
  const moved = status.role === 'primary' ? 'sent' : 'received';
  const ratio = sent === 0 ? '' : `, ${(raw / sent).toFixed(1)} : 1`;
  const cards: readonly (readonly [string, string | null])[] = [
    ['newest acknowledged epoch', status.epoch === null ? null : String(status.epoch)],
    ['pause, median', pause?.p50 == null ? null : shortMs(pause.p50)],
    ['pause, 99 of 100 below', pause?.p99 == null ? null : shortMs(pause.p99)],
    ['longest pause', pause?.max == null ? null : shortMs(pause.max)],
    ['greatest lag', lags.length === 0 ? null : formatMs(lag)],
    [`${moved}${ratio}`, formatBytes(sent)],
    ['stalled checkpoints', stalls === 0 ? null : `${stalls}, ${formatMs(stalledMs)}`],
  ];
  const shown = cards.filter(([, value]) => value !== null);
  const cardOf = ([name, value]: (typeof shown)[number]) =>
    html`<div><b>${value ?? ''}</b><span class="soft">${name}</span></div>`;
  return html`<div class="cards">${shown.map(cardOf)}</div>\n`;
}

type Drawn = Pick<Plot, 'title' | 'about' | 'format'> & {
  readonly of: readonly (readonly [string, (step: Step) => number | null])[];
};

const perSecond = (value: number) => `${formatBytes(value)}/s`;

const plots: readonly Drawn[] = [
  {
    ...{ title: 'Pause', about: 'how long a checkpoint kept the guest still', format: shortMs },
    of: [
      ['longest', (step) => step.pauseMsMax],
      ['mean', (step) => step.pauseMsMean],
    ],
  },
  {
    ...{ title: 'Lag', about: 'age of the newest acknowledged checkpoint', format: formatMs },
    of: [['greatest', (step) => step.lagMsMax]],
  },
  {
    ...{ title: 'Size', about: 'of an epoch, mean', format: formatBytes },
    of: [
      ['changed', (step) => step.epochBytes],
      ['sent for it', (step) => step.epochSentBytes],
    ],
  },
  {
    ...{ title: 'Checkpoints', about: 'a second', format: (value: number) => value.toFixed(1) },
    of: [['epochs', (step) => (1_000 * step.epochs) / Math.max(1, step.toMs - step.fromMs)]],
  },
  {
    ...{ title: 'Link', about: 'bytes a second, as they were encoded', format: perSecond },
    of: [['moved', (step) => step.bytesPerSecond]],
  },
  {
    ...{ title: 'Waiting', about: 'the most at a time', format: formatBytes },
    of: [
      ['in memory', (step) => step.waitingBytes],
      ['in the output buffer', (step) => step.outputBytes],
    ],
  },
];

const styles = ['one', 'two'] as const;

/** Null: nothing of it was measured. */
function plotOf(drawn: Drawn, steps: readonly Step[], span: Span, marks: readonly Mark[]) {
  const series = drawn.of
    .map(([name, of], at) => ({ name, style: styles[at] ?? 'two', values: steps.map(of) }))
    .filter(({ values }) => values.some((value) => value !== null));
  if (series.length === 0) return null;
  const { title, about, format } = drawn;
  return plotHtml({ title, about, format, span, steps, series, marks });
}

function spanOf({ from, to }: PastSession): Span {
  return { fromMs: Date.parse(from), toMs: Date.parse(to) };
}

const markKeys = [
  ['good', 'event'],
  ['doubtful', 'trouble'],
  ['bad', 'held, lost or over'],
] as const;

function courseHtml({ subject, events }: Report): Html {
  const steps = stepsOf(subject.figures, stepsMax);
  if (steps.length === 0) {
    const none = 'No figures are left of this session on this host.';
    return html`<h2>Course</h2>\n<p class="soft">${none}</p>\n`;
  }
  const span = spanOf(subject);
  const marks = events
    .map(({ time, event, text }) => {
      const atMs = Date.parse(time);
      return { atMs, tone: toneOf(event), text: `${timeText(time)} ${event}: ${text}` };
    })
    .filter(({ atMs }) => atMs >= span.fromMs && atMs <= span.toMs)
    .slice(-eventsMax);
  const strip = steps.map((step) => ({ ...step, tone: toneOfState[step.state] ?? '' }));
  const keys = markKeys
    .filter(([tone]) => marks.some((mark) => mark.tone === tone))
    .map(([tone, name]) => html`<span class="key"><i class="mark ${tone}"></i>${name}</span> `);
  const drawn = plots.flatMap((one) => plotOf(one, steps, span, marks) ?? []);
  return html`<h2>Course</h2>
${stripHtml(span, strip)}
<div class="times">${timesOf(span).map((time) => html`<span>${time}</span>`)}</div>
<p class="soft">The strip: green where the guest had a whole copy and all was well, yellow on the
way there or late, red where it was held or had none; blank where nothing was written down. Times
are UTC.
${keys}</p>
${drawn}`;
}

interface Column {
  readonly title: string;
  readonly style?: 'number' | 'keep';
}

function tableHtml(columns: readonly Column[], rows: readonly (readonly Shown[])[]): Html {
  const head = columns.map(({ title, style: own }) => html`<th class="${own ?? ''}">${title}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((cell, at) => html`<td class="${columns[at]?.style ?? ''}">${cell}</td>`);
    return html`<tr>${cells}</tr>\n`;
  });
  return html`<div class="wide"><table><tr>${head}</tr>\n${body}</table></div>\n`;
}

function histogramsHtml({ subject }: Report): Html {
  const histograms = statusOf(subject)?.histograms ?? null;
  if (histograms === null || histograms.pause_ms.count === 0) return nothing;
  const columns = ['of an epoch', 'median', '90 of 100', '99 of 100', 'most'].map((title, at) =>
    at === 0 ? { title } : ({ title, style: 'number' } as const),
  );
  const rows = measured.map(([name, key, format]) => {
    const { p50, p90, p99, max } = histograms[key];
    return [name, ...[p50, p90, p99, max].map((value) => (value === null ? '-' : format(value)))];
  });
  return html`<h2>All epochs of the session</h2>\n${tableHtml(columns, rows)}`;
}

function eventRow({ time, role, session, event, text }: EventRecord): readonly Shown[] {
  const word = html`<b class="${toneOf(event)}-text">${event}</b>`;
  return [timeText(time), role, session.slice(0, 8), word, text];
}

function eventsHtml({ events }: Report): Html {
  if (events.length === 0) return nothing;
  const shown = events.slice(-eventsMax);
  const left = events.length - shown.length;
  const columns: readonly Column[] = [
    ...(['time (UTC)', 'role', 'session', 'event'] as const).map(
      (title) => ({ title, style: 'keep' }) as const,
    ),
    { title: 'what was said' },
  ];
  const more = left === 0 ? nothing : html`<p class="soft">${left} older ones are left out.</p>\n`;
  const table = tableHtml(columns, shown.map(eventRow));
  return html`<h2>Events of the guest on this host</h2>\n${more}${table}`;
}

function scheduleText({ schedule, pending_max: pendingMax }: SessionStatus): string | null {
  if (schedule === null) return null;
  const { mode, interval_ms: interval, max_overhead_percent: percent } = schedule;
  const when = mode === 'fixed' ? `every ${interval} ms` : `auto, pauses at most ${percent} %`;
  return `${when}; at most ${pendingMax} epochs without acknowledgement`;
}

function memoryText({ memory }: SessionStatus): string | null {
  if (memory === null) return null;
  const { max_bytes: max, queue_bytes: queue, cache_bytes: cache } = memory;
  const [all, waits, pages] = [max, queue, cache].map(formatBytes);
  return `${all}: ${waits} for what waits, ${pages} for the page cache`;
}

function transportText({ transport }: SessionStatus): string | null {
  if (transport === null) return null;
  const { ssh_command: by, host } = transport;
  return by === null ? `ssh to ${host}` : `${by} ${host}`;
}

/** What the session ran by, as far as it said so. */
function agreedHtml({ subject }: Report): Html {
  const status = statusOf(subject);
  if (status === null) return nothing;
  const agreed = status.without_witness;
  const left = status.disks_left ?? [];
  const refusals = status.host_refusals ?? [];
  const rows: readonly (readonly [string, string | null])[] = [
    ['tsremus', subject.record?.tsremus ?? null],
    ['checkpoints', scheduleText(status)],
    ['output', status.buffered ? 'is held until it is acknowledged' : 'is not held (-n)'],
    ['heartbeat timeout', `${status.heartbeat_timeout_ms} ms`],
    ['a death', agreed === undefined ? null : withoutWitnessText(agreed, status)],
    ['codec', status.codec],
    ['memory', memoryText(status)],
    ['transport', transportText(status)],
    ['disks left alone', left.length === 0 ? null : left.join(', ')],
    ["the guest's own end", status.watch === false ? 'nobody sees to it (-e)' : null],
    ['degraded', status.degraded],
    ['notes', refusals.length === 0 ? null : refusals.join('; ')],
    ['process', `${status.pid}, boot ${status.boot_id}`],
    ['guest', `${status.uuid}, number ${status.domid ?? '-'}`],
  ];
  const known = rows.filter(([, value]) => value !== null);
  const shown = known.map(([name, value]) => [name, value ?? ''] as const);
  return html`<h2>What the session ran by</h2>\n${plainTable(shown)}`;
}

function plainTable(rows: readonly (readonly [string, string])[]): Html {
  const cells = rows.map(([name, value]) => html`<tr><th>${name}</th><td>${value}</td></tr>\n`);
  return html`<div class="wide"><table>${cells}</table></div>\n`;
}

function settingsHtml({ settings }: Report): Html {
  if (typeof settings === 'string') {
    return html`<h2>Settings of this host</h2>\n<p class="try">${settings}</p>\n`;
  }
  const said = settings.filter(({ origin }) => origin !== 'default');
  const title = html`<h2>Settings of this host</h2>\n`;
  if (said.length === 0) return html`${title}<p class="soft">All are the defaults.</p>\n`;
  const rows = said.map(({ name, value, where }) => [name, value ?? '', where ?? '']);
  const columns = [{ title: 'setting' }, { title: 'value' }, { title: 'said by' }];
  const table = tableHtml(columns, rows);
  return html`${title}${table}<p class="soft">All others are the defaults.</p>\n`;
}

function sessionsHtml({ sessions }: Report): Html {
  const rows = sessions
    .slice(0, sessionsMax)
    .map((one) => [
      ...[one.session.slice(0, 8), one.role, statusOf(one)?.peer ?? '-'],
      ...[timeText(one.from), timeText(one.to), stateOf(one), String(one.figures.length)],
    ]);
  const columns: readonly Column[] = [
    ...[{ title: 'session' }, { title: 'role' }, { title: 'other host' }],
    ...(['from', 'to'] as const).map((title) => ({ title, style: 'keep' }) as const),
    ...[{ title: 'state or end' }, { title: 'figures', style: 'number' } as const],
  ];
  const left = sessions.length - rows.length;
  const more = left === 0 ? nothing : html`<p class="soft">${left} older ones are left out.</p>\n`;
  return html`<h2>Sessions of the guest on this host</h2>\n${tableHtml(columns, rows)}${more}`;
}

const figureKeys = [
  ...(['time', 'state', 'ms', 'epochs', 'pause_ms_mean', 'pause_ms_max', 'lag_ms_max'] as const),
  ...(['epoch_bytes_mean', 'epoch_sent_bytes_mean', 'bytes_sent', 'waiting_bytes_max'] as const),
  ...(['output_bytes_max', 'stalled_ms', 'dropped'] as const),
];

/** For whoever wants to calculate. */
function figuresHtml({ subject }: Report): Html {
  const shown = subject.figures.slice(-figuresMax);
  if (shown.length === 0) return nothing;
  const lines = shown.map((one) => figureKeys.map((key) => one[key] ?? '').join(','));
  const text = [figureKeys.join(','), ...lines].map((line) => html`${line}\n`);
  return html`<h2>Figures</h2>
<details><summary>${shown.length} lines, as they were written down</summary>
<pre>${text}</pre></details>
`;
}

const policy = "default-src 'none'; style-src 'unsafe-inline'";

/** The whole file. */
export function reportPage(report: Report): string {
  const { domain, host, parts } = report;
  const body = [
    headHtml(report),
    cardsHtml(report),
    courseHtml(report),
    histogramsHtml(report),
    eventsHtml(report),
    agreedHtml(report),
    settingsHtml(report),
    html`<h2>This host</h2>\n${plainTable(parts.map(({ name, version }) => [name, version]))}`,
    sessionsHtml(report),
    figuresHtml(report),
  ];
  const head = html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tsremus report: ${domain} on ${host}</title>
`;
  const shown = html`</head>\n<body>\n${body}</body>\n</html>\n`;
  return `${head.text}<style>${style}</style>\n${shown.text}`;
}
