/**
 * The backup of `tsremus protect -b`, as far as a primary sees one: it takes a session's stream,
 * acknowledges every epoch, and keeps nothing. So a measured session runs through everything that a
 * protected one does, but for the way to another host. It has no copy and promises at any time.
 */
import type { Link } from '../../link/link.ts';

/** Returns when the link has ended. */
export function swallow(link: Pick<Link, 'listen' | 'send' | 'consumed' | 'close'>): Promise<void> {
  return new Promise((resolve) => {
    link.listen({
      message(message) {
        switch (message.kind) {
          case 'heartbeat':
            return link.send({ kind: 'echo', seq: message.seq });
          case 'data':
          case 'disk':
            return link.consumed(message.chunk.length);
          case 'epoch-end':
            return link.send({ kind: 'ack', epoch: message.epoch });
          case 'ask':
            return link.send({ kind: 'answer', id: message.id, answer: { kind: 'promised' } });
          default:
            return;
        }
      },
      close: () => resolve(),
    });
  });
}
