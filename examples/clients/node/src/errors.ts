/** What a worker, or the way to it, answers in place of a result. */

import * as grpc from "@grpc/grpc-js";

import type { Status__Output as Status } from "./generated/google/rpc/Status.js";
import { google } from "./protos.js";

const STATUS_KEY = "grpc-status-details-bin";

/** A call that failed, or a batch that was refused. */
export class WorkerError extends Error {
  constructor(
    /** Name of the gRPC status code, such as `UNAVAILABLE`. */
    readonly code: string,
    message: string,
    /** Of the `ErrorInfo`, such as `QUEUE_FULL`; undefined when the transport failed. */
    readonly reason?: string,
    /** Milliseconds of the `RetryInfo`. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** Whether the worker has no room at present. */
  get full(): boolean {
    return this.code === "RESOURCE_EXHAUSTED" && this.reason === "QUEUE_FULL";
  }

  /** Whether the same may go well later, or with another worker at the same address. */
  get passing(): boolean {
    return this.full || this.code === "UNAVAILABLE";
  }

  /** All of it on one line, for people. */
  describe(): string {
    return `${this.code}${this.reason ? ` (${this.reason})` : ""}: ${this.message}`;
  }
}

/** The error of a whole call to `target`. */
export function fromServiceError(error: grpc.ServiceError, target: string): WorkerError {
  const [details] = error.metadata.get(STATUS_KEY);
  if (details instanceof Buffer) {
    return fromStatus(google.rpc.Status.deserialize(details));
  }
  const code = grpc.status[error.code] ?? String(error.code);
  // What OpenSSL and the resolver say ends with an empty line or an empty note.
  const said = error.details.replace(/\s+/g, " ").replace(/[ .]*(Resolution note:)?[ .]*$/, "");
  // A connection that breaks can look like this. Calls that this client cancels are not listened to
  // any more, and workers never say INTERNAL without details.
  const broken =
    error.code === grpc.status.CANCELLED ||
    (error.code === grpc.status.INTERNAL && said.startsWith("Received RST_STREAM"));
  if (broken) {
    return new WorkerError("UNAVAILABLE", `the worker at ${target} cut the call off (${said})`);
  }
  switch (error.code) {
    case grpc.status.UNAVAILABLE:
      return new WorkerError(
        code,
        `no worker answers at ${target} (${said}); is it running, and with TLS if you ask for ` +
          "TLS, else without?",
      );
    case grpc.status.DEADLINE_EXCEEDED:
      return new WorkerError(code, `the worker at ${target} did not answer in time (${said})`);
    case grpc.status.UNIMPLEMENTED:
      return new WorkerError(
        code,
        `what listens at ${target} is no Twinhead worker (${said}); name another target`,
      );
    default:
      return new WorkerError(code, said);
  }
}

/** The error that a `google.rpc.Status` describes. */
export function fromStatus(status: Status): WorkerError {
  let reason: string | undefined;
  let retryAfter: number | undefined;
  for (const detail of status.details) {
    if (detail.type_url.endsWith("/google.rpc.ErrorInfo")) {
      reason = google.rpc.ErrorInfo.deserialize(detail.value).reason;
    } else if (detail.type_url.endsWith("/google.rpc.RetryInfo")) {
      const delay = google.rpc.RetryInfo.deserialize(detail.value).retryDelay;
      retryAfter = delay ? delay.seconds * 1000 + delay.nanos / 1e6 : undefined;
    }
  }
  const code = grpc.status[status.code] ?? String(status.code);
  return new WorkerError(code, status.message, reason, retryAfter);
}
