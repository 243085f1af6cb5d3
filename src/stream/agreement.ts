/** What both sides agree upon in HELLO: how the stream is encoded, with how large a cache. */

import { adviceLine } from '../core/texts/advice.ts';
import { OperationError } from '../host/errors.ts';
import type { Hello, StreamChoice } from '../link/hello-message.ts';
import { type CodecName, codecNames } from './codec/codec.ts';

/** The codecs of this build, the best first; with -u the one that changes nothing. */
export function codecsOf(compression: boolean): readonly CodecName[] {
  return compression ? codecNames : ['none'];
}

export interface StreamAgreement {
  readonly codec: CodecName;
  readonly cacheBytes: number;
  readonly form?: 'bytes';
}

/** How what a disk has in an epoch is encoded: as the memory, without pages. */
export function diskStream({ codec }: StreamAgreement): StreamAgreement {
  return { codec, cacheBytes: 0, form: 'bytes' };
}

function known(names: readonly string[]): CodecName | undefined {
  return codecNames.find((name) => name === names.find((one) => isCodec(one)));
}

function isCodec(name: string): name is CodecName {
  return (codecNames as readonly string[]).includes(name);
}

/**
 * The backup chooses: the primary's first codec that it has, and the smaller cache. Throws an
 * OperationError `version-mismatch` when they have none in common.
 */
export function chooseStream(hello: Hello, cacheBytesMax: number): StreamAgreement {
  const codec = known(hello.capabilities.codecs);
  if (codec === undefined) {
    throw new OperationError(
      'version-mismatch',
      `the primary encodes by ${hello.capabilities.codecs.join(', ')}, which is not known here`,
      { op: 'choose-codec', hint: adviceLine({ kind: 'same-version' }) },
    );
  }
  return { codec, cacheBytes: codec === 'none' ? 0 : Math.min(hello.cacheBytes, cacheBytesMax) };
}

/** The primary takes the choice; throws an OperationError `protocol` when it was not offered. */
export function agreedStream(
  choice: StreamChoice | null,
  offered: { readonly codecs: readonly CodecName[]; readonly cacheBytes: number },
): StreamAgreement {
  const codec = offered.codecs.find((name) => name === choice?.codec);
  if (choice === null || codec === undefined || choice.cacheBytes > offered.cacheBytes) {
    const said = choice === null ? 'none' : `${choice.codec} with ${choice.cacheBytes} bytes`;
    throw new OperationError(
      'protocol',
      `protocol error in HELLO: field stream is ${said}, offered were ` +
        `${offered.codecs.join(', ')} with ${offered.cacheBytes} bytes of cache`,
      { op: 'choose-codec', subject: 'stream' },
    );
  }
  return { codec, cacheBytes: choice.cacheBytes };
}
