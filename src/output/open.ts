import { errorText } from '../host/errors.ts';
import type { OutputBuffer } from './port.ts';

/** What is said of a guest that goes on though it was about to be destroyed. */
export const interfacesDown =
  'its interfaces were taken down because the copy had taken over; set them up with ip link';

/**
 * With the permission: lets everything out and removes the buffer. Returns what kept it from that,
 * null when it is done. What a guest that ended by itself still holds is thrown away rather than
 * left in the way of what its configuration wants done with it.
 */
export async function openForGood(
  buffer: OutputBuffer,
  guestEnded: boolean,
  onNews: (text: string) => void,
): Promise<string | null> {
  try {
    await buffer.open();
    return null;
  } catch (error) {
    onNews(errorText(error));
    if (!guestEnded) return errorText(error);
  }
  return buffer.drop().then(() => null, errorText);
}

/**
 * The end of the process. Where no session ran there is no copy that could go on, and nobody's
 * permission is needed; what a session still holds stays held.
 */
export async function leaveOutput(
  buffer: OutputBuffer,
  sessionRan: boolean,
  onNews: (text: string) => void,
): Promise<void> {
  if (!sessionRan) await buffer.open().catch((error) => onNews(errorText(error)));
  buffer.close();
}
