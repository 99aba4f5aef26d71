/** A text file as batches of lines, with no more of it in memory than the batch at hand. */

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
// Beside its text, a sentence in a message is a tag and a length of up to five bytes.
const FIELD_BYTES = 6;

/** What one request may hold. */
export interface RequestLimits {
  sentences: number;
  /** Of the whole message. */
  bytes: number;
  /** Of what is in the message beside the sentences. */
  envelopeBytes: number;
}

/** Text that cannot be sent; what comes before it can. */
export class TextError extends Error {}

/**
 * The lines of UTF-8 text. Only a line feed ends one: `node:readline` ends them at U+2028, too,
 * puts U+FFFD for what is not UTF-8, and takes lines of any length into memory.
 *
 * @throws TextError at a line that is not UTF-8, or too long for a request.
 */
export async function* readLines(
  input: AsyncIterable<Buffer>,
  limits: RequestLimits,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  let number = 1;
  const withoutMark = (line: Buffer): Buffer =>
    number === 1 && line.subarray(0, 3).equals(BYTE_ORDER_MARK) ? line.subarray(3) : line;
  const decode = (line: Buffer): string => {
    if (line.length + FIELD_BYTES + limits.envelopeBytes > limits.bytes) {
      throw new TextError(`line ${number} is longer than a request may be (${limits.bytes} bytes)`);
    }
    try {
      return decoder.decode(line);
    } catch {
      throw new TextError(`line ${number} is not UTF-8; convert the file to UTF-8`);
    }
  };

  // The beginning of a line whose end is yet to come.
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of input) {
    let start = 0;
    for (let end; (end = chunk.indexOf(LINE_FEED, start)) !== -1; start = end + 1) {
      const line = withoutMark(Buffer.concat([...held, chunk.subarray(start, end)]));
      yield decode(line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line);
      held = [];
      heldBytes = 0;
      number += 1;
    }
    held.push(chunk.subarray(start));
    heldBytes += chunk.length - start;
    if (heldBytes > limits.bytes + BYTE_ORDER_MARK.length) {
      decode(Buffer.concat(held)); // throws: there is no need to read to the end of the line
    }
  }
  const last = withoutMark(Buffer.concat(held));
  if (last.length > 0) {
    yield decode(last);
  }
}

/** Lines in batches that the worker takes. When `lines` fails, the lines before are a batch yet. */
export async function* batchLines(
  lines: AsyncIterable<string>,
  limits: RequestLimits,
): AsyncGenerator<string[]> {
  let batch: string[] = [];
  let bytes = limits.envelopeBytes;
  let failure: unknown;
  try {
    for await (const line of lines) {
      const lineBytes = Buffer.byteLength(line) + FIELD_BYTES;
      if (bytes + lineBytes > limits.bytes) {
        yield batch;
        batch = [];
        bytes = limits.envelopeBytes;
      }
      batch.push(line);
      bytes += lineBytes;
      // Now, not with the next line, which may be long in coming.
      if (batch.length === limits.sentences) {
        yield batch;
        batch = [];
        bytes = limits.envelopeBytes;
      }
    }
  } catch (error) {
    failure = error;
  }
  if (batch.length > 0) {
    yield batch;
  }
  if (failure) {
    throw failure;
  }
}
