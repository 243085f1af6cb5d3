/**
 * Reads the structure of a checkpointed stream (docs/specs/libxl-migration-stream and
 * libxc-migration-stream of Xen). Shares no code with native/xen: it is what that is compared with.
 */

export interface StreamRecord {
  readonly layer: 'libxl' | 'libxc';
  readonly type: number;
  readonly epoch: number;
  /** Where the record's 8-byte header begins. */
  readonly offset: number;
  /** Length of its body, padding excluded. */
  readonly length: number;
}

/** Bytes before the first record: libxl's header. */
export const libxlHeaderBytes = 16;
/** Bytes after LIBXC_CONTEXT: image header and domain header. */
export const libxcHeaderBytes = 40;

const names: Readonly<Record<StreamRecord['layer'], Readonly<Record<number, string>>>> = {
  libxl: {
    0: 'END',
    1: 'LIBXC_CONTEXT',
    2: 'EMULATOR_XENSTORE_DATA',
    3: 'EMULATOR_CONTEXT',
    4: 'CHECKPOINT_END',
    5: 'CHECKPOINT_STATE',
  },
  libxc: {
    0: 'END',
    1: 'PAGE_DATA',
    2: 'X86_PV_INFO',
    3: 'X86_PV_P2M_FRAMES',
    4: 'X86_PV_VCPU_BASIC',
    5: 'X86_PV_VCPU_EXTENDED',
    6: 'X86_PV_VCPU_XSAVE',
    7: 'SHARED_INFO',
    8: 'X86_TSC_INFO',
    9: 'HVM_CONTEXT',
    10: 'HVM_PARAMS',
    11: 'TOOLSTACK',
    12: 'X86_PV_VCPU_MSRS',
    13: 'VERIFY',
    14: 'CHECKPOINT',
    15: 'CHECKPOINT_DIRTY_PFN_LIST',
    16: 'STATIC_DATA_END',
    17: 'X86_CPUID_POLICY',
    18: 'X86_MSR_POLICY',
  },
};

/** `libxc PAGE_DATA`; a type that no specification names shows its number. */
export function recordName({ layer, type }: Pick<StreamRecord, 'layer' | 'type'>): string {
  return `${layer} ${names[layer][type] ?? `0x${type.toString(16)}`}`;
}

const isRecord = (record: StreamRecord, name: string) => recordName(record) === name;

/** All records up to the end of the last whole epoch. Throws at the first that cannot be. */
export function readRecords(stream: Buffer): StreamRecord[] {
  const records: StreamRecord[] = [];
  let layer: StreamRecord['layer'] = 'libxl';
  let epoch = 0;
  let offset = libxlHeaderBytes;
  while (offset + 8 <= stream.length) {
    const type = stream.readUInt32LE(offset);
    const length = stream.readUInt32LE(offset + 4);
    const record = { layer, type, epoch, offset, length };
    const end = offset + 8 + Math.ceil(length / 8) * 8;
    if (end > stream.length) {
      throw new Error(`${recordName(record)} at ${offset} goes beyond the end`);
    }
    records.push(record);
    offset = end;
    if (isRecord(record, 'libxl LIBXC_CONTEXT')) {
      layer = 'libxc';
      offset += libxcHeaderBytes;
    } else if (isRecord(record, 'libxc CHECKPOINT')) {
      layer = 'libxl';
    } else if (isRecord(record, 'libxl CHECKPOINT_END')) {
      layer = 'libxc';
      epoch += 1;
    }
  }
  if (offset !== stream.length) throw new Error(`bytes are left over at ${offset}`);
  return records;
}

/** Where the page bodies of a PAGE_DATA record begin and end. */
export function pageBodies(stream: Buffer, record: StreamRecord): { from: number; to: number } {
  const body = record.offset + 8;
  const count = stream.readUInt32LE(body);
  return { from: body + 8 + 8 * count, to: body + record.length };
}

/** The names of an epoch's records in order, runs of the same one as one. */
export function sequenceOf(records: readonly StreamRecord[], epoch: number): string[] {
  const all = records.filter((record) => record.epoch === epoch).map(recordName);
  return all.filter((name, at) => name !== all[at - 1]);
}
