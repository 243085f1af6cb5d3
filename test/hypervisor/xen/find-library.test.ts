/** What the environment says of libxenlight is taken, or refused, and never passed over. */
import { expect, it } from 'vitest';
import { UsageError } from '../../../src/config/usage-error.ts';
import { checkVariables } from '../../../src/hypervisor/xen/find-library.ts';

it.each([
  { TSREMUS_LIBXL: 'lib/libxenlight.so' },
  { TSREMUS_LIBXL: './libxenlight.so' },
  { TSREMUS_LIBXL_LOG: '1' },
])('refuses %j', (env) => expect(() => checkVariables(env)).toThrow(UsageError));

it.each([
  {},
  { TSREMUS_LIBXL: '', TSREMUS_LIBXL_LOG: '' },
  { TSREMUS_LIBXL: 'libxenlight.so.4.17', TSREMUS_LIBXL_LOG: 'debug' },
  { TSREMUS_LIBXL: '/usr/lib/libxenlight.so' },
])('takes %j', (env) => expect(() => checkVariables(env)).not.toThrow());
