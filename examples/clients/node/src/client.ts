/** A connection to a worker. */

import * as grpc from "@grpc/grpc-js";

import { fromServiceError, WorkerError } from "./errors.js";
import type { GetModelResponse__Output as Model } from "./generated/twinhead/v1/GetModelResponse.js";
import type { InferRequest } from "./generated/twinhead/v1/InferRequest.js";
import type { InferenceServiceClient } from "./generated/twinhead/v1/InferenceService.js";
import type { ModelServiceClient } from "./generated/twinhead/v1/ModelService.js";
import { type BatchResult, InferStream } from "./infer_stream.js";
import { Patience } from "./patience.js";
import { twinhead } from "./protos.js";

const CHANNEL_OPTIONS: grpc.ChannelOptions = {
  // A worker may be set to larger requests than its default; then its answers are larger, too.
  "grpc.max_receive_message_length": 64 * 1024 * 1024,
  // Notice within a minute that the machine at the other end is gone.
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 20_000,
  // Look for a worker that went away more often than gRPC does by itself (1 s, growing to 2 min).
  "grpc.initial_reconnect_backoff_ms": 250,
  "grpc.max_reconnect_backoff_ms": 1_000,
  // Workers are near; an HTTP proxy from the environment would only be in the way.
  "grpc.enable_http_proxy": 0,
};

/** How to reach a worker. */
export interface Connection {
  /** `host:port`. */
  target: string;
  credentials: grpc.ChannelCredentials;
  /** Bearer token, for workers that ask for one. */
  token?: string;
  /** When all calls end, by `Date.now()`; Infinity for never. */
  deadline: number;
}

/** Calls a worker, and waits for it when it is full or away. */
export class Client {
  private readonly target: string;
  private readonly deadline: number;
  private readonly channel: grpc.Channel;
  private readonly inference: InferenceServiceClient;
  private readonly models: ModelServiceClient;
  private readonly metadata = new grpc.Metadata();
  private readonly patience: Patience;

  /** Connects when the first call is made. */
  constructor({ target, credentials, token, deadline }: Connection) {
    this.target = target;
    this.deadline = deadline;
    this.channel = new grpc.Channel(target, credentials, CHANNEL_OPTIONS);
    const options = { channelOverride: this.channel };
    this.inference = new twinhead.v1.InferenceService(target, credentials, options);
    this.models = new twinhead.v1.ModelService(target, credentials, options);
    this.patience = new Patience(deadline);
    if (token) {
      this.metadata.set("authorization", `Bearer ${token}`);
    }
  }

  close(): void {
    this.channel.close();
  }

  /**
   * The live model: its tasks, and what a request may hold.
   *
   * @throws WorkerError
   */
  async model(): Promise<Model> {
    for (;;) {
      const answer = await this.getModel();
      if (!(answer instanceof WorkerError)) {
        this.patience.answered();
        return answer;
      }
      await this.patience.wait(answer);
    }
  }

  /**
   * Answers batches of sentences on one stream, in their order.
   *
   * A batch that the worker refuses gives an error in place of a response, and the stream goes on.
   * When the stream is lost, what is unanswered is sent again on another.
   *
   * @param batches are read no faster than results are taken.
   * @param wanted the request but for its sentences.
   * @param inFlight batches that are sent and not given out yet. It bounds memory; more than one
   *   keeps the worker busy while answers travel.
   * @throws WorkerError when no stream can be had any more; and what `batches` throws, after the
   *   results of the batches before it.
   */
  infer(
    batches: AsyncIterable<string[]>,
    wanted: InferRequest,
    inFlight: number,
  ): AsyncGenerator<BatchResult> {
    const open = () => this.inference.StreamInfer(this.metadata, { deadline: this.deadline });
    return new InferStream(open, this.target, this.patience, wanted, inFlight).results(batches);
  }

  private getModel(): Promise<Model | WorkerError> {
    // Else a machine that takes the connection and says nothing would be waited for without end.
    const deadline = Math.min(this.deadline, Date.now() + this.patience.left);
    return new Promise((resolve) => {
      this.models.GetModel({}, this.metadata, { deadline }, (error, model) => {
        resolve(model ?? fromServiceError(error!, this.target));
      });
    });
  }
}

/** Bytes of a message of the stream beside its sentences. */
export function envelopeBytes(wanted: InferRequest): number {
  const { requestSerialize } = twinhead.v1.InferenceService.service.StreamInfer;
  // Later batches have longer ids, and requests with sentences a longer length before them.
  return requestSerialize({ request: wanted }).length + 32;
}
