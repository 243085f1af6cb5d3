/** Cuts a byte stream into lines, holding back at most one unfinished line of bounded length. */
export class LineReader {
  #rest: Buffer = Buffer.alloc(0);
  readonly #bytesMax: number;
  /** True once a line was longer than allowed; nothing is read after that. */
  overlong = false;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that `chunk` completes, without their newline. */
  push(chunk: Buffer): string[] {
    if (this.overlong) return [];
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const lines: string[] = [];
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10)) {
      if (end > this.#bytesMax) break;
      lines.push(bytes.toString('utf8', 0, end));
      bytes = bytes.subarray(end + 1);
    }
    this.overlong = bytes.length > this.#bytesMax;
    this.#rest = this.overlong ? Buffer.alloc(0) : bytes;
    return lines;
  }
}
