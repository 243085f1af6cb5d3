/** The contract of disk drivers: a toy keeps it, and each mistake that one could make breaks it. */
import { describe, expect, it } from 'vitest';
import { clauses, type SectorBytes } from './contract.ts';
import { type Mistake, openToyBench } from './toy.ts';

const sectors: readonly SectorBytes[] = [512, 4096];

describe.each(sectors)('a disk with sectors of %i bytes', (sectorBytes) => {
  it.each(clauses)('$name', async (clause) => {
    await clause.run(async (size) => openToyBench(size), sectorBytes);
  });
});

const mistakes: Readonly<Record<Mistake, true>> = {
  'applies on arrival': true,
  'applies when whole': true,
  'applies newest first': true,
  'applies the newest epoch first': true,
  'counts a torn epoch': true,
  'keeps what was not committed': true,
  'takes more after the roll back': true,
  'seals early': true,
  'seals late': true,
  'copies whole pages': true,
  'drops a flush': true,
  'drops a FUA': true,
  'forgets zeroes': true,
  'discards at the end': true,
  'settles before it is durable': true,
  'settles in spite of an error': true,
  'tells the guest of an error there': true,
  'hides an error from the guest': true,
  'breaks all reads after an error': true,
  'counts on after an error here': true,
  'counts on after an error there': true,
  'tells an error twice': true,
  'tells of no empty epoch': true,
  'tells an epoch twice': true,
  'the first copy overtakes a write': true,
  'the first copy ends after its barrier': true,
  'captures on after its close': true,
  'fails writes without a link': true,
  'dies with the guest in its hands': true,
  'loses a sector at the end': true,
};

describe('the contract', () => {
  it.each(Object.keys(mistakes) as Mistake[])('finds: %s', async (mistake) => {
    const broken: string[] = [];
    for (const clause of clauses) {
      const open = async (size: SectorBytes) => openToyBench(size, mistake);
      await clause.run(open, 512).catch(() => broken.push(clause.name));
    }
    expect(broken).not.toEqual([]);
  });
});
