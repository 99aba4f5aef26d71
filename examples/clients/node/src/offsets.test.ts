import assert from "node:assert/strict";
import test from "node:test";

import { utf16Index } from "./offsets.js";

// As Python slices, which counts code points.
function slice(text: string, start: number, end: number): string {
  return text.slice(utf16Index(text, start), utf16Index(text, end));
}

test("code points above U+FFFF are two units", () => {
  assert.equal(slice("Ann 🏛 Rome", 4, 5), "🏛");
  assert.equal(slice("Ann 🏛 Rome", 6, 10), "Rome");
});

test("a family is as many code points as it has parts", () => {
  const text = "the 👩‍👩‍👧‍👦 left";
  assert.equal(slice(text, 4, 11), "👩‍👩‍👧‍👦");
  assert.equal(slice(text, 4, 5), "👩");
  assert.equal(slice(text, 12, 16), "left");
});

test("a combining mark is a code point of its own", () => {
  assert.equal(slice("e\u0301cole", 0, 2), "e\u0301");
  assert.equal(slice("e\u0301cole", 1, 3), "\u0301c");
});

test("characters of the basic plane are one unit, those of its extensions two", () => {
  assert.equal(slice("北京𠮷野家", 2, 4), "𠮷野");
});

test("half of a pair counts as one", () => {
  assert.equal(slice("a\ud800b\udc00c", 2, 3), "b");
  assert.equal(slice("a\ud800b\udc00c", 3, 5), "\udc00c");
});

test("nothing comes after the end", () => {
  assert.equal(utf16Index("a🏛", 2), 3);
  assert.equal(utf16Index("a🏛", 9), 3);
  assert.equal(utf16Index("", 1), 0);
});
