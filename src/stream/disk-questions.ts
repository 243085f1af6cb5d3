/**
 * What the primary asks about a disk of this host: answered in order, one question at a time, for a
 * disk is read for each of them.
 */
import { OperationError } from '../host/errors.ts';
import type { Compare, Digests } from '../link/messages.ts';

/** Questions about one disk that wait at most; its end on the primary asks for four ahead. */
const comparesMax = 8;

export interface DiskQuestionsOptions {
  readonly disk: {
    readonly name: string;
    digests(first: number, count: number): Promise<Buffer>;
  };
  readonly onDigests: (answer: Pick<Digests, 'first' | 'digests'>) => void;
  /** What was asked is wrong, or the disk cannot be read. */
  readonly onError: (error: OperationError) => void;
}

export class DiskQuestions {
  readonly #options: DiskQuestionsOptions;
  /** Those that have no answer, and the last of the answers. */
  #waiting = 0;
  #answered: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(options: DiskQuestionsOptions) {
    this.#options = options;
  }

  /**
   * What do these blocks hold? Throws OperationError('protocol') for more questions than a primary
   * asks ahead.
   */
  ask({ first, count }: Pick<Compare, 'first' | 'count'>): void {
    if (this.#waiting === comparesMax) {
      const { name } = this.#options.disk;
      const text = `protocol error in compare: more than ${comparesMax} of ${name} wait`;
      throw new OperationError('protocol', text, { op: 'compare-disk', subject: 'count' });
    }
    this.#waiting += 1;
    this.#answered = this.#answered.then(() => this.#answer(first, count));
  }

  async #answer(first: number, count: number): Promise<void> {
    if (this.#isClosed) return;
    const { disk, onDigests, onError } = this.#options;
    try {
      const digests = await disk.digests(first, count);
      this.#waiting -= 1;
      if (!this.#isClosed) onDigests({ first, digests });
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      if (!this.#isClosed) onError(error);
    }
  }

  /** Nothing more is answered. */
  close(): void {
    this.#isClosed = true;
  }
}
