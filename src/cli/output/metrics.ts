/**
 * The findings of `tsremus status` in the text format of Prometheus (its documentation: exposition
 * formats, text-based format), for the textfile collector of its node exporter. Pure. Base units:
 * seconds and bytes; what counts up ends in _total; a session is told by its domain, uuid and role.
 */
import type { SessionState } from '../../core/health/facts.ts';
import type { HistogramSummary } from '../../core/histogram.ts';
import type { MissingGuest } from '../../registry/missing.ts';
import type { SessionReport } from '../../registry/report.ts';
import type { OutputStatus } from '../../registry/status.ts';
import { exitOfLevel } from '../exit-codes.ts';

/** What was found, and how bad it is as an exit code of `status`. */
export interface Measured {
  readonly reports: readonly SessionReport[];
  /** Guests that are declared here, and of them those without a session. */
  readonly declared: readonly string[];
  readonly missing: readonly MissingGuest[];
  readonly exitCode: number;
  readonly unreadable: number;
  readonly version: string;
}

type Labels = Readonly<Record<string, string>>;

interface Sample {
  /** What follows the family's name: nothing, or a summary's _sum and _count. */
  readonly suffix?: '_sum' | '_count';
  readonly labels: Labels;
  /** Null: there is nothing to say, and no line. */
  readonly value: number | null;
}

/** One metric: its lines stand together, under one HELP and one TYPE. */
interface Family {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'summary';
  readonly help: string;
  readonly samples: readonly Sample[];
}

/** In the order of SessionState. */
const states: readonly SessionState[] = [
  ...(['connecting', 'seeding', 'protected', 'measuring', 'late', 'ending', 'held'] as const),
  ...(['unprotected', 'standby', 'activating', 'active', 'ended'] as const),
];

function labelsOf({ status }: SessionReport): Labels {
  return { domain: status.domain, uuid: status.uuid, role: status.role };
}

const flag = (is: boolean) => (is ? 1 : 0);

/** A time of day in seconds since 1970. */
function seconds(time: string | null): number | null {
  const ms = time === null ? Number.NaN : Date.parse(time);
  return Number.isNaN(ms) ? null : ms / 1_000;
}

/** A metric that every session has once; null: nothing is known. */
type Row = readonly [
  name: string,
  type: 'gauge' | 'counter',
  help: string,
  of: (report: SessionReport) => number | null,
];

function each(reports: readonly SessionReport[], [name, type, help, of]: Row): Family {
  const samples = reports.map((report) => ({ labels: labelsOf(report), value: of(report) }));
  return { name: `tsremus_session_${name}`, type, help, samples };
}

const quantiles = [
  ['0.5', 'p50'],
  ['0.9', 'p90'],
  ['0.99', 'p99'],
] as const;

type Histogram = keyof NonNullable<SessionReport['status']['histograms']>;

/** Of every epoch but the seed; `scale`: from the unit of the histogram to the base unit. */
function summary(
  reports: readonly SessionReport[],
  [name, key, scale, help]: readonly [string, Histogram, number, string],
): Family {
  const samples = reports.flatMap((report): Sample[] => {
    const found: HistogramSummary | undefined = report.status.histograms?.[key];
    if (found === undefined) return [];
    const labels = labelsOf(report);
    return [
      ...quantiles.map(([quantile, member]) => {
        const value = found[member];
        return { labels: { ...labels, quantile }, value: value === null ? null : value * scale };
      }),
      { suffix: '_sum', labels, value: found.sum * scale },
      { suffix: '_count', labels, value: found.count },
    ];
  });
  return { name: `tsremus_session_${name}`, type: 'summary', help, samples };
}

function hostFamilies({ exitCode, unreadable, version, reports }: Measured): Family[] {
  const rows: readonly (readonly [string, string, number, Labels])[] = [
    ['build_info', 'The version of tsremus.', 1, { version }],
    ['status_code', 'Exit code of tsremus status: 0 to 3; 3 is unknown.', exitCode, {}],
    ['sessions', 'Sessions on this host.', reports.length, {}],
    ['unreadable_files', 'Status files that cannot be used.', unreadable, {}],
  ];
  return rows.map(([name, help, value, labels]) => {
    return { name: `tsremus_${name}`, type: 'gauge', help, samples: [{ labels, value }] };
  });
}

function declaredFamily({ declared, missing }: Measured): Family {
  return {
    name: 'tsremus_declared_guest_missing',
    type: 'gauge',
    help: '1 if no session here protects the declared guest or holds its copy.',
    samples: declared.map((domain) => {
      return { labels: { domain }, value: flag(missing.some((one) => one.domain === domain)) };
    }),
  };
}

const stateRows: readonly Row[] = [
  [
    'code',
    'gauge',
    'As the exit code of tsremus status: 0 ok, 1 warning, 2 critical.',
    ({ level }) => exitOfLevel(level),
  ],
  [
    ...(['degraded', 'gauge', '1 if it protects less well than it should.'] as const),
    ({ status }) => flag(status.degraded !== null),
  ],
  [
    ...(['process_alive', 'gauge', '1 if the process of the session lives.'] as const),
    ({ liveness }) => flag(liveness === 'alive'),
  ],
  [
    ...(['buffered', 'gauge', '1 if output waits for the acknowledgement.'] as const),
    ({ status }) => flag(status.buffered),
  ],
  [
    ...(['guest_paused', 'gauge', '1 if the session has paused the guest.'] as const),
    ({ status }) => flag(status.guest_paused),
  ],
];

function stateFamily(reports: readonly SessionReport[]): Family {
  return {
    name: 'tsremus_session_state',
    type: 'gauge',
    help: '1 for the state that the session is in, as judged.',
    samples: reports.flatMap((report) =>
      states.map((state) => {
        return { labels: { ...labelsOf(report), state }, value: flag(report.state === state) };
      }),
    ),
  };
}

const timeRows: readonly Row[] = [
  [
    ...(['start_timestamp_seconds', 'gauge', 'When the session began.'] as const),
    ({ status }) => seconds(status.started),
  ],
  [
    ...(['update_timestamp_seconds', 'gauge', 'When the session last said how it is.'] as const),
    ({ status }) => seconds(status.updated),
  ],
  [
    ...(['ack_timestamp_seconds', 'gauge', 'When the newest epoch was acknowledged.'] as const),
    ({ status }) => seconds(status.ack_time),
  ],
  [
    'late_after_seconds',
    'gauge',
    'Age of the newest acknowledgement beyond which it is late.',
    ({ status }) => status.late_after_ms / 1_000,
  ],
  [
    'epochs_acknowledged_total',
    'counter',
    'Epochs behind the seed that were acknowledged.',
    ({ status }) => status.epoch,
  ],
  [
    'seed_ratio',
    'gauge',
    'How much of the seed is done, 0 to 1; only while seeding.',
    ({ status }) => (status.seed_percent === null ? null : status.seed_percent / 100),
  ],
];

const summaryRows = [
  ['pause_seconds', 'pause_ms', 0.001, 'How long the guest stood still for an epoch.'],
  ['encode_seconds', 'encode_ms', 0.001, 'How long an epoch was encoded.'],
  ['transfer_seconds', 'transfer_ms', 0.001, 'How long an epoch was sent.'],
  ['acknowledge_seconds', 'acknowledge_ms', 0.001, 'From there to the acknowledgement.'],
  ['period_seconds', 'period_ms', 0.001, 'From one checkpoint to the next.'],
  ['epoch_raw_bytes', 'raw_bytes', 1, 'Of an epoch, before it was encoded.'],
  ['epoch_sent_bytes', 'sent_bytes', 1, 'Of an epoch, as it was sent.'],
] as const;

const streamRows: readonly Row[] = [
  [
    'raw_bytes_total',
    'counter',
    'Of the checkpoint stream, before it was encoded.',
    ({ status }) => status.bytes_raw,
  ],
  [
    ...(['sent_bytes_total', 'counter', 'Over the link; on the backup, received.'] as const),
    ({ status }) => status.bytes_sent,
  ],
  [
    'stalls_total',
    'counter',
    'Checkpoints that kept the guest waiting for memory.',
    ({ status }) => status.stalls,
  ],
  [
    ...(['stalled_seconds_total', 'counter', 'How long they did.'] as const),
    ({ status }) => status.stalled_ms / 1_000,
  ],
  [
    ...(['epochs_in_flight', 'gauge', 'Epochs without acknowledgement.'] as const),
    ({ status }) => status.in_flight,
  ],
  [
    ...(['epochs_in_flight_limit', 'gauge', 'As many may be.'] as const),
    ({ status }) => status.pending_max,
  ],
  [
    'memory_waiting_bytes',
    'gauge',
    'What waits to be sent, on the backup to be applied.',
    ({ status }) => status.memory?.waiting_bytes ?? null,
  ],
  [
    ...(['memory_queue_bytes', 'gauge', 'As much may wait.'] as const),
    ({ status }) => status.memory?.queue_bytes ?? null,
  ],
];

function pagesFamily(reports: readonly SessionReport[]): Family {
  return {
    name: 'tsremus_session_pages_total',
    type: 'counter',
    help: 'Pages of the guest by what became of them.',
    samples: reports.flatMap((report) =>
      Object.entries(report.status.pages ?? {}).map(([kind, value]) => {
        return { labels: { ...labelsOf(report), kind }, value };
      }),
    ),
  };
}

/** Of each interface of a guest whose output is buffered. */
function interfaceFamily(
  reports: readonly SessionReport[],
  [name, type, help, of]: readonly [
    string,
    'gauge' | 'counter',
    string,
    (one: OutputStatus['interfaces'][number]) => number,
  ],
): Family {
  const samples = reports.flatMap((report) =>
    (report.status.output?.interfaces ?? []).map((one) => {
      return { labels: { ...labelsOf(report), interface: one.name }, value: of(one) };
    }),
  );
  return { name: `tsremus_interface_${name}`, type, help, samples };
}

function outputFamilies(reports: readonly SessionReport[]): Family[] {
  return [
    interfaceFamily(reports, [
      ...(['held_packets', 'gauge', 'Frames that wait in the output buffer.'] as const),
      ({ packets }) => packets,
    ]),
    interfaceFamily(reports, [
      ...(['held_bytes', 'gauge', 'What they come to.'] as const),
      ({ bytes }) => bytes,
    ]),
    interfaceFamily(reports, [
      ...(['dropped_packets_total', 'counter', 'Frames dropped at the limit.'] as const),
      ({ dropped }) => dropped,
    ]),
    interfaceFamily(reports, [
      ...([
        'protected',
        'gauge',
        '1 if what it sends is held and let go as it should be.',
      ] as const),
      ({ state }) => flag(state === 'protected'),
    ]),
  ];
}

/** A label's value: these three are all that is escaped. */
function quoted(value: string): string {
  const text = value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
  return `"${text}"`;
}

function labelText(labels: Labels): string {
  const all = Object.entries(labels).map(([name, value]) => `${name}=${quoted(value)}`);
  return all.length === 0 ? '' : `{${all.join(',')}}`;
}

function familyText({ name, type, help, samples }: Family): string {
  const said = samples.filter(({ value }) => value !== null);
  if (said.length === 0) return '';
  const lines = said.map(({ suffix = '', labels, value }) => {
    return `${name}${suffix}${labelText(labels)} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** All of it; a metric of which nothing is known is left out. */
export function metricsText(measured: Measured): string {
  const { reports } = measured;
  return [
    ...hostFamilies(measured),
    declaredFamily(measured),
    stateFamily(reports),
    ...[...stateRows, ...timeRows].map((row) => each(reports, row)),
    ...summaryRows.map((row) => summary(reports, row)),
    ...streamRows.map((row) => each(reports, row)),
    pagesFamily(reports),
    ...outputFamilies(reports),
  ]
    .map(familyText)
    .join('');
}
