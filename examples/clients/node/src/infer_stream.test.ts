import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import test from "node:test";

import * as grpc from "@grpc/grpc-js";

import { WorkerError } from "./errors.js";
import type { StreamInferRequest } from "./generated/twinhead/v1/StreamInferRequest.js";
import { type Call, InferStream } from "./infer_stream.js";
import { Patience } from "./patience.js";
import { google } from "./protos.js";

/** A call whose other end is a test. */
class FakeCall extends EventEmitter {
  readonly sent: string[] = [];
  ended = false;

  write({ batchId }: StreamInferRequest): void {
    this.sent.push(batchId!);
    this.emit("sent", batchId);
  }

  answer(batchId: string): void {
    this.emit("data", { batchId, response: { modelVersion: batchId } });
  }

  refuse(batchId: string, code: number, reason: string): void {
    const value = google.rpc.ErrorInfo.serialize({ reason });
    const details = [{ type_url: "type.googleapis.com/google.rpc.ErrorInfo", value }];
    this.emit("data", { batchId, error: { code, message: "no", details } });
  }

  break(): void {
    const error = { code: grpc.status.UNAVAILABLE, details: "gone", metadata: new grpc.Metadata() };
    this.emit("error", Object.assign(new Error(), error));
  }

  end(): void {
    this.ended = true;
  }

  cancel(): void {}
}

/** Runs batches of one sentence through `calls`, one after the other; returns what each gave. */
async function infer(calls: FakeCall[], sentences: string[], inFlight: number) {
  async function* batches() {
    for (const sentence of sentences) {
      yield [sentence];
    }
  }
  const patience = new Patience(Infinity);
  patience.answered();
  const open = () => calls.shift() as unknown as Call;
  const stream = new InferStream(open, "worker", patience, {}, inFlight);
  const given: string[] = [];
  const alive = setInterval(() => {}, 1000); // as a real connection does
  for await (const { sentences, answer } of stream.results(batches())) {
    const what = answer instanceof WorkerError ? answer.code : answer.modelVersion;
    given.push(`${sentences[0]} ${what}`);
  }
  clearInterval(alive);
  return given;
}

test("answers come out in order, and never more than a window is unanswered", async () => {
  const call = new FakeCall();
  const waiting: string[] = [];
  call.on("sent", (id: string) => {
    waiting.push(id);
    assert(waiting.length <= 3);
    // The last first, when no more can come.
    if (waiting.length === 3 || id === "6") {
      setImmediate(() => {
        for (const each of waiting.splice(0).reverse()) {
          call.answer(each);
        }
      });
    }
  });
  const given = await infer([call], ["a", "b", "c", "d", "e", "f", "g"], 3);
  assert.deepEqual(given, ["a 0", "b 1", "c 2", "d 3", "e 4", "f 5", "g 6"]);
  assert(call.ended);
});

test("what a lost call leaves unanswered is sent again on another", async () => {
  const [lost, next] = [new FakeCall(), new FakeCall()];
  lost.on("sent", (id: string) => {
    if (id === "2") {
      setImmediate(() => {
        lost.answer("1");
        lost.break();
      });
    }
  });
  next.on("sent", (id: string) => setImmediate(() => next.answer(id)));
  assert.deepEqual(await infer([lost, next], ["a", "b", "c", "d"], 3), [
    "a 0",
    "b 1",
    "c 2",
    "d 3",
  ]);
  assert.deepEqual(next.sent, ["0", "2", "3"]);
});

test("a batch that finds no room is sent again, and one that is refused is told", async () => {
  const call = new FakeCall();
  let full = true;
  call.on("sent", (id: string) =>
    setImmediate(() => {
      if (id === "0" && full) {
        full = false;
        call.refuse(id, grpc.status.RESOURCE_EXHAUSTED, "QUEUE_FULL");
      } else if (id === "1") {
        call.refuse(id, grpc.status.INVALID_ARGUMENT, "INVALID_REQUEST");
      } else {
        call.answer(id);
      }
    }),
  );
  assert.deepEqual(await infer([call], ["a", "b", "c"], 2), ["a 0", "b INVALID_ARGUMENT", "c 2"]);
  assert.deepEqual(call.sent, ["0", "1", "0", "2"]);
});
