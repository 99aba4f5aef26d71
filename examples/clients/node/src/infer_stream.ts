/** Batches on a stream: how many are on their way, in which order they come out, what is resent. */

import { EventEmitter, once } from "node:events";

import type * as grpc from "@grpc/grpc-js";

import { fromServiceError, fromStatus, WorkerError } from "./errors.js";
import type { InferRequest } from "./generated/twinhead/v1/InferRequest.js";
import type { InferResponse__Output as InferResponse } from "./generated/twinhead/v1/InferResponse.js";
import type { StreamInferRequest } from "./generated/twinhead/v1/StreamInferRequest.js";
import type { StreamInferResponse__Output as StreamInferResponse } from "./generated/twinhead/v1/StreamInferResponse.js";
import type { Patience } from "./patience.js";

/** What a batch of sentences gave: a response, or why there is none. */
export interface BatchResult {
  sentences: string[];
  answer: InferResponse | WorkerError;
}

interface Batch {
  id: string;
  sentences: string[];
  answer?: InferResponse | WorkerError;
}

/** One call of `StreamInfer`. */
export type Call = grpc.ClientDuplexStream<StreamInferRequest, StreamInferResponse>;

/** A bounded number of unanswered batches, which survive the call that they were sent on. */
export class InferStream {
  // Batches that are not given out yet, by id, in the order of the input. Those that are answered
  // before their turn count, too: they must not pile up behind a slow one.
  private readonly window = new Map<string, Batch>();
  private readonly changes = new EventEmitter();
  private call: Call | undefined;
  // Why the last call ended.
  private failure: WorkerError | undefined;
  private nextId = 0;
  private reading = false;
  private ended = false;
  private inputError: unknown;

  constructor(
    private readonly open: () => Call,
    private readonly target: string,
    private readonly patience: Patience,
    private readonly wanted: InferRequest,
    private readonly inFlight: number,
  ) {}

  /** See `Client.infer`. */
  async *results(batches: AsyncIterable<string[]>): AsyncGenerator<BatchResult> {
    const input = batches[Symbol.asyncIterator]();
    try {
      for (;;) {
        for (const { id, sentences, answer } of this.window.values()) {
          if (!answer) {
            break;
          }
          this.window.delete(id);
          yield { sentences, answer };
        }
        if (this.done) {
          break;
        }
        if (!this.reading && !this.ended && this.window.size < this.inFlight) {
          void this.read(input);
        }
        if (this.call) {
          await once(this.changes, "change");
        } else {
          await this.connect();
        }
      }
    } finally {
      this.leave();
      void input.return?.();
    }
    if (this.inputError) {
      throw this.inputError;
    }
  }

  private get done(): boolean {
    return this.ended && this.window.size === 0;
  }

  /** Takes another batch of the input, while answers come. */
  private async read(input: AsyncIterator<string[]>): Promise<void> {
    this.reading = true;
    try {
      const next = await input.next();
      if (next.done) {
        this.ended = true;
      } else {
        const batch = { id: String(this.nextId++), sentences: next.value };
        this.window.set(batch.id, batch);
        this.send(batch);
      }
    } catch (error) {
      this.inputError = error;
      this.ended = true;
    }
    this.reading = false;
    this.changes.emit("change");
  }

  private send({ id, sentences }: Batch): void {
    this.call?.write({ batchId: id, request: { ...this.wanted, sentences } });
  }

  /** Begins a call, after a pause when the one before it was lost. */
  private async connect(): Promise<void> {
    const failure = this.failure;
    if (failure) {
      await this.patience.wait(failure);
    }
    const call = this.open();
    // A new connection may hang without an error, as when the worker's machine stands still.
    const hung = failure && setTimeout(() => this.lose(call, failure), this.patience.left).unref();
    call.on("data", (response: StreamInferResponse) => {
      clearTimeout(hung);
      this.settle(call, response);
    });
    call.on("error", (error: grpc.ServiceError) => {
      this.lose(call, fromServiceError(error, this.target));
    });
    call.on("end", () => {
      this.lose(call, new WorkerError("UNAVAILABLE", `${this.target} ended the stream too soon`));
    });
    this.call = call;
    for (const batch of this.window.values()) {
      if (!batch.answer) {
        this.send(batch);
      }
    }
  }

  private settle(call: Call, { batchId, response, error }: StreamInferResponse): void {
    const batch = this.window.get(batchId);
    const answer = response ?? (error && fromStatus(error));
    if (!batch || !answer) {
      return;
    }
    if (answer instanceof WorkerError && answer.full) {
      this.sendLater(call, batch, answer);
      return;
    }
    this.patience.answered();
    batch.answer = answer;
    this.changes.emit("change");
  }

  private sendLater(call: Call, batch: Batch, refusal: WorkerError): void {
    try {
      const pause = this.patience.failed(refusal);
      // On another call it is sent anyway.
      setTimeout(() => call === this.call && this.send(batch), pause).unref();
    } catch {
      this.lose(call, refusal);
    }
  }

  private lose(call: Call, failure: WorkerError): void {
    if (call === this.call) {
      this.call = undefined;
      this.failure = failure;
      call.cancel();
      this.changes.emit("change");
    }
  }

  private leave(): void {
    const call = this.call;
    this.call = undefined; // what becomes of it matters no more
    if (this.done) {
      call?.end();
    } else {
      call?.cancel();
    }
  }
}
