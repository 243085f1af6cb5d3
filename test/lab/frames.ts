/**
 * Frames of the guests as they leave a host: recorded on the outer port of its bridge, by the
 * host's own clock, which is also that of tsremus' log there. See guest/frames.c.
 */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { decodeFrames, type FrameRecord } from './frame-records.ts';
import { startInside } from './inside.ts';
import { type HostId, hosts, type Lab, LabError } from './lab.ts';
import { runDir } from './settings.ts';

/** The port of xenbr0 that leads outside; host/start names it. */
const outerPort = 'eth0';
const program = '/usr/local/bin/labguest';
const file = '/run/frames';

export interface FrameRecording {
  /** Ends it and fetches all records. */
  stop(): Promise<readonly FrameRecord[]>;
}

/** Starts recording on a host; returns when it certainly misses nothing any more. */
export async function recordFrames(lab: Lab, host: HostId): Promise<FrameRecording> {
  const script = [
    `rm -f ${file} ${file}.out`,
    `(setsid ${program} frames ${outerPort} ${file} >${file}.out 2>&1 </dev/null &`,
    `echo $! >${file}.pid)`,
    `for _ in $(seq 1200); do grep -q . ${file}.out 2>/dev/null && break; sleep 0.1; done`,
    `grep -q '# recording' ${file}.out || { cat ${file}.out >&2; exit 1; }`,
  ].join('\n');
  const begun = await lab.ssh(host, script);
  if (begun.code !== 0) {
    throw new LabError(`cannot record frames on ${hosts[host].name}: ${begun.stderr.trim()}`);
  }
  return { stop: () => fetchFrames(lab, host) };
}

/** Starts recording on the machine's end of a host's wire, by the machine's clock. */
export async function recordWire(host: HostId): Promise<FrameRecording> {
  const path = join(runDir, `frames-${host}`);
  let said = '';
  const program = await startInside(['frames', hosts[host].lanTap, path], (line) => {
    said = line;
  });
  return {
    stop: async () => {
      await program.stop();
      const records = decodeFrames(readFileSync(path));
      rmSync(path);
      const { dropped } = parseSummary(said, '');
      if (dropped > 0) throw new LabError(`${dropped} frames of ${hosts[host].name} were missed`);
      return records;
    },
  };
}

async function fetchFrames(lab: Lab, host: HostId): Promise<readonly FrameRecord[]> {
  const script = [
    `pid=$(cat ${file}.pid); kill -TERM $pid`,
    'while [ -d /proc/$pid ]; do sleep 0.1; done',
    `tail -n 1 ${file}.out`,
    `gzip -1 -c ${file} | base64 -w 0`,
    `rm -f ${file} ${file}.out ${file}.pid`,
  ].join('\n');
  const { stdout, stderr } = await lab.ssh(host, script);
  const newline = stdout.indexOf('\n');
  const packed = Buffer.from(stdout.slice(newline + 1), 'base64');
  const said = stdout.slice(0, newline);
  const { kept, dropped } = parseSummary(said, stderr);
  // What was not seen cannot be vouched for.
  if (dropped > 0) throw new LabError(`${hosts[host].name} missed ${dropped} of its frames`);
  const records = decodeFrames(gunzipSync(packed));
  if (records.length !== kept) {
    throw new LabError(`${records.length} records of ${kept} came from ${hosts[host].name}`);
  }
  return records;
}

function parseSummary(said: string, stderr: string): { kept: number; dropped: number } {
  try {
    return JSON.parse(said) as { kept: number; dropped: number };
  } catch {
    throw new LabError(`no frames were recorded: ${said} ${stderr.trim()}`);
  }
}
