/**
 * `npm run bench`: what tsremus costs and what limits it, on simxl at memory speed. Prints tables;
 * `--json FILE` writes every figure. Exit code 0 also where a target is missed: speed is measured
 * here, not asserted. Anything else means that the benchmark itself could not run.
 */
import { disk } from './disk.ts';
import { diskMirror } from './disk-mirror.ts';
import { diskReturn } from './disk-return.ts';
import { encoder } from './encoder.ts';
import { type BenchOptions, parseBenchOptions, type Scale, usage } from './options.ts';
import { drain, pausePerPage, pausePerSize } from './pause.ts';
import { pipeline, sustained } from './pipeline.ts';
import {
  reportOf,
  type Section,
  sectionText,
  tableText,
  targetTable,
  writeReport,
} from './report.ts';
import { spawn } from './spawn.ts';
import { sustainedDrain } from './sustained.ts';

const sections: Readonly<Record<string, (scale: Scale) => Promise<Section>>> = {
  drain,
  'pause-per-page': pausePerPage,
  'pause-per-size': pausePerSize,
  'sustained-drain': sustainedDrain,
  encoder,
  pipeline,
  sustained,
  spawn,
  disk,
  'disk-return': diskReturn,
  'disk-mirror': diskMirror,
};

/** They boot a machine, and may fetch what it is made of: where they are named. */
const onRequest: readonly string[] = ['disk-mirror'];

async function run(options: BenchOptions): Promise<void> {
  const startedAt = new Date();
  const chosen =
    options.names.length > 0
      ? options.names
      : Object.keys(sections).filter((name) => !onRequest.includes(name));
  const done: Section[] = [];
  for (const name of chosen) {
    const measure = sections[name];
    if (measure === undefined) throw new Error(`no part ${name}`);
    const section = await measure(options.scale);
    console.log(`${sectionText(section)}\n`);
    done.push(section);
  }
  const report = reportOf('bench', done, { scale: options.scale, startedAt });
  console.log(tableText(targetTable(report.targets)));
  console.log(`\n  ${report.machine.cpus} x ${report.machine.cpu}, ${report.seconds} s`);
  if (options.json !== null) writeReport(options.json, report);
}

const options = parseBenchOptions(process.argv.slice(2), Object.keys(sections));
if (typeof options === 'string') {
  console.error(`${options}\n${usage('bench', Object.keys(sections))}`);
  process.exit(64);
}
await run(options);
