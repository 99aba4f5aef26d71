import assert from "node:assert/strict";
import test from "node:test";

import { batchLines, readLines, TextError } from "./lines.js";

const LIMITS = { sentences: 3, bytes: 100, envelopeBytes: 10 };

async function* chunks(...parts: (string | number[])[]): AsyncGenerator<Buffer> {
  for (const part of parts) {
    yield typeof part === "string" ? Buffer.from(part) : Buffer.from(part);
  }
}

/** What comes out, and the message of the error that ends it. */
async function collect<T>(items: AsyncIterable<T>): Promise<[T[], string?]> {
  const all: T[] = [];
  try {
    for await (const item of items) {
      all.push(item);
    }
  } catch (error) {
    assert(error instanceof TextError);
    return [all, error.message];
  }
  return [all];
}

const linesOf = (...parts: (string | number[])[]) => collect(readLines(chunks(...parts), LIMITS));

test("only a line feed ends a line", async () => {
  const text = "a\u2028b\u0085c\fd\re";
  assert.deepEqual(await linesOf(text + "\nf\n"), [[text, "f"]]);
});

test("one carriage return before a line feed is dropped", async () => {
  assert.deepEqual(await linesOf("a\r\nb\r\r\n\r\nc\r"), [["a", "b\r", "", "c\r"]]);
});

test("the last line may lack its end, and there is none after it", async () => {
  assert.deepEqual(await linesOf("a\n\nb"), [["a", "", "b"]]);
  assert.deepEqual(await linesOf("a\n\n"), [["a", ""]]);
  assert.deepEqual(await linesOf(""), [[]]);
});

test("a byte order mark is dropped at the beginning alone", async () => {
  assert.deepEqual(await linesOf("\ufeffa\n\ufeffb\n"), [["a", "\ufeffb"]]);
  assert.deepEqual(await linesOf("\ufeff\n"), [[""]]);
  assert.deepEqual(await linesOf("\ufeff"), [[]]);
});

test("chunks may end anywhere", async () => {
  const bytes = Buffer.from("\ufeffa🏛\r\nécole\r\n\nlast");
  const single = [...bytes].map((byte) => [byte]);
  assert.deepEqual(await linesOf(...single), [["a🏛", "école", "", "last"]]);
});

test("text that is not UTF-8 ends with the lines before it", async () => {
  assert.deepEqual(await linesOf("a\nb\n", [0x63, 0xe9, 0x0a], "d\n"), [
    ["a", "b"],
    "line 3 is not UTF-8; convert the file to UTF-8",
  ]);
  assert.deepEqual(await linesOf([0xed, 0xa0, 0x80]), [
    [],
    "line 1 is not UTF-8; convert the file to UTF-8",
  ]);
});

test("a line that no request can hold is told before its end is read", async () => {
  async function* endless(): AsyncGenerator<Buffer> {
    yield Buffer.from("a\n");
    for (;;) {
      yield Buffer.alloc(10, "b");
    }
  }
  assert.deepEqual(await collect(readLines(endless(), LIMITS)), [
    ["a"],
    "line 2 is longer than a request may be (100 bytes)",
  ]);
});

test("a line that just fits is sent", async () => {
  const longest = "x".repeat(84);
  assert.deepEqual(await linesOf(longest + "\r\n"), [[longest]]);
  assert.equal(
    (await linesOf(longest + "x"))[1],
    "line 1 is longer than a request may be (100 bytes)",
  );
});

test("batches are within the limits", async () => {
  const of = (text: string) => collect(batchLines(readLines(chunks(text), LIMITS), LIMITS));
  assert.deepEqual(await of("a\nb\nc\nd"), [[["a", "b", "c"], ["d"]]]);
  const [half, more] = ["é".repeat(19), "é".repeat(20)];
  assert.deepEqual(await of(`${half}\n${half}\n${more}\n${more}\n`), [
    [[half, half], [more], [more]],
  ]);
});

test("the lines before a fault are a batch", async () => {
  const text = chunks("a\n", [0xff], "\n");
  assert.deepEqual(await collect(batchLines(readLines(text, LIMITS), LIMITS)), [
    [["a"]],
    "line 2 is not UTF-8; convert the file to UTF-8",
  ]);
});
