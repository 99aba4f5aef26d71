import assert from "node:assert/strict";
import test from "node:test";

import { shortest } from "./answers.js";

test("numbers are short, and the same in single precision", () => {
  assert.equal(shortest(Math.fround(0.61)), 0.61);
  assert.equal(shortest(Math.fround(-0.0123)), -0.0123);
  assert.equal(shortest(1), 1);
  for (const value of [1 / 3, 1e-4 / 3, 1e-30, 3.4e38, 123456.789, 1 - 2 ** -24, 2 ** -149]) {
    const single = Math.fround(value);
    assert.equal(Math.fround(JSON.parse(JSON.stringify(shortest(single)))), single);
  }
});
