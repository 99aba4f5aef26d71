/** The command line. */

import { readFileSync } from "node:fs";
import * as tls from "node:tls";
import { parseArgs } from "node:util";

import { credentials, type ChannelCredentials } from "@grpc/grpc-js";

import type { InferRequest } from "./generated/twinhead/v1/InferRequest.js";

export const USAGE = `Usage: node dist/main.js [options] FILE

FILE is UTF-8 text, a sentence on each line; - is standard input. Prints a line of JSON for each.

  --target HOST:PORT   the worker (localhost:50051)
  --tls                encrypt, and trust the system's certificates
  --tls-ca FILE        encrypt, and trust the certificates in this PEM file
  --token-file FILE    its first line goes along as a bearer token
  --batch-size N       sentences of a request, at most what the worker's limits allow (64)
  --in-flight N        requests that are sent and not answered yet (4)
  --tasks A,B          only these tasks (all)
  --no-embedding       do not ask for embeddings
  --no-truncate        refuse sentences that are longer than the model reads; else they are cut
  --repeatable         ask for answers that are the same to the bit each time
  --timeout SECONDS    for the whole run (none)
  --model              print the model as a line of JSON, and end; takes no FILE
  -h, --help           print this

Exit codes: 0 all lines have answers; 1 failed; 2 wrong usage; 3 some lines have no answer.`;

/** A command line that makes no sense. */
export class UsageError extends Error {
  constructor(message: string) {
    super(`${message}; see --help`);
  }
}

/** What the command line says. */
export interface Options {
  target: string;
  credentials: ChannelCredentials;
  token?: string;
  /** By `Date.now()`. */
  deadline: number;
  batchSize: number;
  inFlight: number;
  /** The request but for its sentences. */
  wanted: InferRequest;
  /** The text; undefined to describe the model. */
  file?: string;
}

/**
 * Reads the command line, and the files with what lets a caller in.
 *
 * @returns undefined when help is asked for.
 * @throws UsageError
 */
export function readOptions(args: string[]): Options | undefined {
  const { values, positionals } = parse(args);
  if (values.help) {
    return undefined;
  }
  if (positionals.length !== (values.model ? 0 : 1)) {
    throw new UsageError(
      values.model ? "--model takes no FILE" : "name one FILE, or - for standard input",
    );
  }
  const seconds = values.timeout === undefined ? Infinity : Number(values.timeout);
  if (!(seconds > 0)) {
    throw new UsageError(`--timeout takes a number of seconds above 0, not ${values.timeout}`);
  }
  return {
    target: values.target,
    credentials: readCredentials(values.tls, values["tls-ca"]),
    token: values["token-file"] && readToken(values["token-file"]),
    deadline: Date.now() + seconds * 1000,
    batchSize: positive("--batch-size", values["batch-size"]),
    inFlight: positive("--in-flight", values["in-flight"]),
    wanted: {
      outputs: {
        tasks: values.tasks?.split(","),
        embedding: {
          format: values["no-embedding"] ? "EMBEDDING_FORMAT_NONE" : "EMBEDDING_FORMAT_FLOAT32",
        },
        logits: false,
      },
      truncation: values["no-truncate"] ? "TRUNCATION_NONE" : "TRUNCATION_END",
      repeatable: values.repeatable,
    },
    file: positionals[0],
  };
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        target: { type: "string", default: "localhost:50051" },
        tls: { type: "boolean", default: false },
        "tls-ca": { type: "string" },
        "token-file": { type: "string" },
        "batch-size": { type: "string", default: "64" },
        "in-flight": { type: "string", default: "4" },
        tasks: { type: "string" },
        "no-embedding": { type: "boolean", default: false },
        "no-truncate": { type: "boolean", default: false },
        repeatable: { type: "boolean", default: false },
        timeout: { type: "string" },
        model: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function positive(option: string, value: string): number {
  if (!/^[1-9]\d{0,8}$/.test(value)) {
    throw new UsageError(`${option} takes a whole number above 0, not ${value}`);
  }
  return Number(value);
}

function readCredentials(encrypt: boolean, ca: string | undefined): ChannelCredentials {
  if (ca !== undefined) {
    const certificates = readFileSync(ca);
    // gRPC would say only that nobody answers.
    if (!certificates.includes("-----BEGIN CERTIFICATE-----")) {
      throw new Error(`${ca} holds no certificate in PEM`);
    }
    return credentials.createSsl(certificates);
  }
  return encrypt ? credentials.createSsl(systemCertificates()) : credentials.createInsecure();
}

/** The system's certificates. Node before 22.15 cannot tell them: null stands for its own list. */
function systemCertificates(): Buffer | null {
  const { getCACertificates } = tls as { getCACertificates?: (kind: "system") => string[] };
  const certificates = getCACertificates?.("system") ?? [];
  return certificates.length > 0 ? Buffer.from(certificates.join("\n")) : null;
}

function readToken(file: string): string {
  const token = readFileSync(file, "utf-8").split("\n", 1)[0].trim();
  // What else there is cannot travel in a header.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new Error(
      `${file} holds no token: that is a line of printable ASCII characters without spaces`,
    );
  }
  return token;
}
