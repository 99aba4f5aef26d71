/** Streams a text file through a worker, and prints a line of JSON for each line of text. */

import { once } from "node:events";
import { open } from "node:fs/promises";
import type { Readable } from "node:stream";

import { describeError, describeModel, describeSentence } from "./answers.js";
import { Client, envelopeBytes } from "./client.js";
import { WorkerError } from "./errors.js";
import type { BatchResult } from "./infer_stream.js";
import { batchLines, readLines } from "./lines.js";
import { type Options, readOptions, USAGE, UsageError } from "./options.js";

const FAILED = 1;
const WRONG_USAGE = 2;
const LINES_WITHOUT_ANSWER = 3;

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (!options) {
    await print(USAGE);
    return 0;
  }
  const client = new Client(options);
  try {
    return options.file === undefined
      ? await printModel(client)
      : await printAnswers(client, options, await openText(options.file));
  } finally {
    client.close();
  }
}

async function printModel(client: Client): Promise<number> {
  await print(JSON.stringify(describeModel(await client.model())));
  return 0;
}

async function printAnswers(client: Client, options: Options, input: Readable): Promise<number> {
  const { batchSize, inFlight, wanted } = options;
  try {
    const model = await client.model();
    const limits = {
      sentences: Math.min(batchSize, model.limits!.sentencesPerRequest),
      bytes: model.limits!.requestBytes,
      envelopeBytes: envelopeBytes(wanted),
    };
    const batches = batchLines(readLines(input, limits), limits);
    let line = 1;
    let unanswered = 0;
    for await (const result of client.infer(batches, wanted, inFlight)) {
      await print(describeBatch(result, line).join("\n"));
      line += result.sentences.length;
      unanswered += countUnanswered(result);
    }
    return unanswered > 0 ? LINES_WITHOUT_ANSWER : 0;
  } finally {
    input.destroy(); // an open pipe would keep this program alive
  }
}

/** A line of JSON for each sentence. */
function describeBatch({ sentences, answer }: BatchResult, firstLine: number): string[] {
  return sentences.map((text, row) => {
    const said =
      answer instanceof WorkerError ? describeError(answer) : describeSentence(answer, row, text);
    return JSON.stringify({ line: firstLine + row, text, ...said });
  });
}

function countUnanswered({ sentences, answer }: BatchResult): number {
  return answer instanceof WorkerError
    ? sentences.length
    : answer.statuses.filter(({ code }) => code !== "SENTENCE_CODE_OK").length;
}

async function openText(file: string): Promise<Readable> {
  return file === "-" ? process.stdin : (await open(file)).createReadStream();
}

/** Prints lines, no faster than they are taken. */
async function print(lines: string): Promise<void> {
  if (!process.stdout.write(lines + "\n")) {
    await once(process.stdout, "drain");
  }
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // Who reads has seen enough, as with `| head`.
  if (error.code !== "EPIPE") {
    console.error(`error: standard output: ${error.message}`);
  }
  process.exit(FAILED);
});

try {
  process.exitCode = await main();
} catch (error) {
  const { message } = error as Error;
  console.error(`error: ${error instanceof WorkerError ? error.describe() : message}`);
  process.exitCode = error instanceof UsageError ? WRONG_USAGE : FAILED;
}
