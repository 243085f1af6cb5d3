/** What goes over the session's link in the simulator. */
import type { Answer } from '../../src/core/vocabulary.ts';

export interface Chunk {
  readonly kind: 'chunk';
  readonly epoch: number;
  readonly index: number;
  readonly count: number;
  readonly memory: number;
  readonly disk: number;
  readonly isDamaged: boolean;
}

export type Message =
  | Chunk
  | { readonly kind: 'heartbeat'; readonly seq: number }
  | { readonly kind: 'echo'; readonly seq: number }
  | { readonly kind: 'ack'; readonly epoch: number }
  /** The backup has used up one chunk. */
  | { readonly kind: 'credit' }
  | { readonly kind: 'ask'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'copy-lost'; readonly reason: string }
  | { readonly kind: 'activated' };
