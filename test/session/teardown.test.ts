import { expect, it } from 'vitest';
import { Teardown } from '../../src/session/teardown.ts';

// Proves: whatever becomes of one, all that was taken is given back, the last first, each once and
// not before the one after it is through.
it('gives everything back, the last first, also after a failure', async () => {
  const done: string[] = [];
  const said: string[] = [];
  const teardown = new Teardown((text) => said.push(text));
  teardown.took('the log', () => void done.push('log'));
  teardown.took('the buffer', () => {
    throw new Error('it is busy');
  });
  teardown.took('the link', async () => {
    await new Promise((resolve) => setImmediate(resolve));
    done.push('link');
    throw new Error('it hangs');
  });
  expect(teardown.order).toEqual(['the link', 'the buffer', 'the log']);
  await teardown.run();
  await teardown.run();
  expect(done).toEqual(['link', 'log']);
  expect(said).toEqual([
    'the link could not be given back: it hangs',
    'the buffer could not be given back: it is busy',
  ]);
});
