/**
 * -N SCRIPT: the administrator's script makes the redirect and its ifb instead of us, with the
 * arguments and the environment that Xen gives it (libxl_netbuffer.c, setup_async_exec; what
 * tools/hotplug/Linux/remus-netbuf-setup documents):
 *
 *     SCRIPT setup|teardown   vifname=vif3.0  XENBUS_PATH=/libxl/3/remus/netbuf/0
 *                             REMUS_IFB=ifb0 (teardown only)
 *
 * The script says which ifb it took by writing XENBUS_PATH/ifb to xenstore. What it redirects is
 * its affair: Xen's own one lets IPv6 and ARP pass.
 */
import { adviceLine } from '../../core/texts/advice.ts';
import { errorText, OperationError } from '../../host/errors.ts';
import { type GuestInterface, isInterfaceName } from './interfaces.ts';
import type { Run } from './tools.ts';

/** As long as Xen gives it (libxl_netbuffer.c, setup_async_exec: 40 s). */
const timeoutMs = 40_000;

function xenbusPath(domid: number, { devid, emulated }: GuestInterface): string {
  return `/libxl/${domid}/remus/netbuf/${devid}${emulated ? '-emu' : ''}`;
}

function failure(script: string, what: string, cause?: unknown): OperationError {
  return new OperationError('no-buffer', `the script ${script} ${what}`, {
    op: 'run-netbuf-script',
    subject: script,
    hint: adviceLine({ kind: 'run-script', path: script }),
    cause,
  });
}

/** Runs `SCRIPT setup` for one interface; the name of the ifb that it chose. */
export async function scriptSetup(
  runs: Run,
  script: string,
  domid: number,
  guest: GuestInterface,
): Promise<string> {
  const path = xenbusPath(domid, guest);
  const env = { vifname: guest.name, XENBUS_PATH: path };
  try {
    await runs([script, 'setup'], { timeoutMs, env });
  } catch (error) {
    throw failure(script, `failed for ${guest.name}: ${errorText(error)}`, error);
  }
  let ifb: string;
  try {
    ifb = (await runs(['xenstore-read', `${path}/ifb`])).stdout.trim();
  } catch (error) {
    throw failure(script, `left no name of an ifb in ${path}/ifb: ${errorText(error)}`, error);
  }
  if (!isInterfaceName(ifb)) throw failure(script, `chose ${JSON.stringify(ifb)} for an ifb`);
  return ifb;
}

/** Runs `SCRIPT teardown`, which throws away what is held. */
export async function scriptTeardown(
  runs: Run,
  script: string,
  domid: number,
  guest: GuestInterface,
  ifb: string,
): Promise<void> {
  const env = { vifname: guest.name, XENBUS_PATH: xenbusPath(domid, guest), REMUS_IFB: ifb };
  try {
    await runs([script, 'teardown'], { timeoutMs, env });
  } catch (error) {
    throw failure(script, `failed to remove the buffer of ${guest.name}: ${errorText(error)}`);
  }
}
