/** What a session does and how fast, below its line in `tsremus status DOMAIN`. Pure. */
import { disksLeftText } from '../../core/texts/disks-left.ts';
import { withoutWitnessText } from '../../core/texts/without-witness.ts';
import { formatBytes, formatMs } from '../../core/units.ts';
import type { Histograms, SessionStatus } from '../../registry/status.ts';
import { type Cell, type Column, formatTable, printable } from './table.ts';

const columns: readonly Column[] = [
  { title: '' },
  { title: 'p50', align: 'right' },
  { title: 'p99', align: 'right' },
  { title: 'max', align: 'right' },
];

export const measured: readonly (readonly [string, keyof Histograms, (value: number) => string])[] =
  [
    ['pause', 'pause_ms', shortMs],
    ['encode', 'encode_ms', shortMs],
    ['transfer', 'transfer_ms', shortMs],
    ['acknowledge', 'acknowledge_ms', shortMs],
    ['period', 'period_ms', shortMs],
    ['bytes in', 'raw_bytes', formatBytes],
    ['bytes out', 'sent_bytes', formatBytes],
  ];

/** Times of an epoch are small: tenths count below 10 ms. */
export function shortMs(ms: number): string {
  return ms < 9.95 ? `${ms.toFixed(1)} ms` : formatMs(ms);
}

function histogramLines(histograms: Histograms): string {
  const rows = measured.map(([name, key, format]): Cell[] => {
    const { p50, p99, max } = histograms[key];
    const cells = [p50, p99, max].map((value) => (value === null ? '-' : format(value)));
    return [name, ...cells].map((text) => ({ text }));
  });
  return indented(formatTable(columns, rows));
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}

function scheduleWords({ schedule, pending_max, in_flight }: SessionStatus): string[] {
  if (schedule === null) return [];
  const words =
    schedule.mode === 'fixed'
      ? `every ${schedule.interval_ms} ms`
      : `auto, pauses at most ${schedule.max_overhead_percent} % of the time`;
  const isDeferred = in_flight !== null && pending_max !== null && in_flight >= pending_max;
  const deferred = isDeferred ? ', the next checkpoint is deferred' : '';
  return [words, `${in_flight} of ${pending_max} epochs in flight${deferred}`];
}

function streamWords({ role, codec, bytes_raw, bytes_sent }: SessionStatus): string[] {
  if (codec === null) return [];
  const [from, to] = role === 'primary' ? ['read', 'sent'] : ['decoded', 'received'];
  const ratio = bytes_sent === 0 ? '' : ` (${(bytes_raw / bytes_sent).toFixed(1)} : 1)`;
  return [
    `codec ${codec}`,
    `${formatBytes(bytes_raw)} ${from}, ${formatBytes(bytes_sent)} ${to}${ratio}`,
  ];
}

function pageWords({ pages }: SessionStatus): string[] {
  if (pages === null) return [];
  const { unchanged, zero, delta, raw } = pages;
  return [`pages: ${unchanged} unchanged, ${zero} zero, ${delta} delta, ${raw} raw`];
}

function memoryWords({ memory, stalls, stalled_ms }: SessionStatus): string[] {
  if (memory === null) return [];
  const { waiting_bytes, queue_bytes, cache_bytes } = memory;
  const checkpoints = stalls === 1 ? '1 checkpoint' : `${stalls} checkpoints`;
  const stalled = stalls === 0 ? '' : `, ${checkpoints} stalled for ${formatMs(stalled_ms)}`;
  return [
    `memory: ${formatBytes(waiting_bytes)} of ${formatBytes(queue_bytes)} wait, ` +
      `${formatBytes(cache_bytes)} for the page cache${stalled}`,
  ];
}

/** Of a session that is over nothing is to be decided any more. */
function witnessWords(status: SessionStatus): string[] {
  const { without_witness: agreed, outcome, state } = status;
  return agreed === undefined || outcome !== null || state === 'measuring'
    ? []
    : [withoutWitnessText(agreed, status)];
}

/** As long as a copy is there, or runs on what they hold. */
function diskWords(status: SessionStatus): string[] {
  const { disks_left: left = [], outcome } = status;
  const hasCopy = outcome === null || outcome === 'activated';
  return left.length === 0 || !hasCopy ? [] : [printable(disksLeftText(left, status))];
}

/** A quiet note: the session is as well as it is without. */
function refusalWords({ host_refusals: refusals = [], pid, outcome }: SessionStatus): string[] {
  if (outcome !== null) return [];
  return refusals.map((text) => printable(`process ${pid} ${text}`));
}

/** The figures of one session, with a blank line before them. */
export function figuresText(status: SessionStatus): string {
  const { domain, role, histograms } = status;
  const lines = [
    scheduleWords(status).join('; '),
    streamWords(status).join('; '),
    ...pageWords(status),
    ...memoryWords(status),
    ...witnessWords(status),
    ...diskWords(status),
    ...refusalWords(status),
  ].filter((line) => line !== '');
  const head = `\n${printable(`${domain} (${role})`)}\n`;
  const text = lines.map((line) => `  ${line}\n`).join('');
  return head + text + (histograms === null ? '' : histogramLines(histograms));
}
