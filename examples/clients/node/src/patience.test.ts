import assert from "node:assert/strict";
import test from "node:test";

import { WorkerError } from "./errors.js";
import { Patience, pauseFor } from "./patience.js";

const GONE = new WorkerError("UNAVAILABLE", "gone");
const FULL = new WorkerError("RESOURCE_EXHAUSTED", "full", "QUEUE_FULL", 700);

test("pauses double up to five seconds", () => {
  const pauses = [0, 1, 2, 3, 4, 5, 99].map((tries) => pauseFor(tries, undefined, 0.5));
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 5000, 5000]);
});

test("pauses vary by a fifth, but never below what the worker asks for", () => {
  assert.equal(pauseFor(1, undefined, 0), 400);
  assert.equal(pauseFor(1, undefined, 1), 600);
  assert.equal(pauseFor(9, 700, 0), 700);
  assert.equal(pauseFor(9, 700, 1), 840);
});

test("who never answered is waited for only when starting or full", () => {
  const patience = new Patience(Infinity);
  assert.throws(() => patience.failed(GONE), GONE);
  assert(patience.failed(FULL) >= 700);
  assert(patience.failed(new WorkerError("UNAVAILABLE", "starting", "STARTING", 2000)) >= 2000);
});

test("who answered before is waited for, for a minute", (context) => {
  let now = 0;
  context.mock.method(Date, "now", () => now);
  const patience = new Patience(Infinity);
  patience.answered();
  assert(patience.failed(GONE) <= 300);
  now += 59_000;
  assert(patience.failed(GONE) >= 400);
  patience.answered();
  now += 59_000;
  assert(patience.failed(GONE) <= 300);
  now += 60_000;
  assert.throws(() => patience.failed(GONE), GONE);
});

test("what will not pass is not waited for", () => {
  const patience = new Patience(Infinity);
  patience.answered();
  for (const failure of [
    new WorkerError("UNAUTHENTICATED", "a token is needed", "NO_CREDENTIALS"),
    new WorkerError("RESOURCE_EXHAUSTED", "message larger than max"),
  ]) {
    assert.throws(() => patience.failed(failure), failure);
  }
});

test("no pause is longer than the deadline", () => {
  const patience = new Patience(Date.now() + 100);
  assert(patience.failed(FULL) <= 100);
});
