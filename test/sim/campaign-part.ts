/** One process of a campaign: runs the seeds that it is sent, and answers what came out of them. */
import { runSeeds } from './campaign.ts';

/** Seeds to run: `from`, `from + 1`, ... */
export interface Part {
  readonly from: number;
  readonly count: number;
}

process.on('message', async ({ from, count }: Part) => {
  process.send?.(await runSeeds(from, count));
});
