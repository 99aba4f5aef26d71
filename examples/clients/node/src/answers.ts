/** The worker's answers as objects to print. */

import type { InferResponse__Output as InferResponse } from "./generated/twinhead/v1/InferResponse.js";
import type { GetModelResponse__Output as Model } from "./generated/twinhead/v1/GetModelResponse.js";
import type { TaskResult__Output as TaskResult } from "./generated/twinhead/v1/TaskResult.js";
import type { Tensor__Output as Tensor } from "./generated/twinhead/v1/Tensor.js";
import type { WorkerError } from "./errors.js";
import { utf16Index } from "./offsets.js";

/** What a batch's response says of its sentence number `row`, which is `text`. */
export function describeSentence(response: InferResponse, row: number, text: string): object {
  const { code, tokens, truncated, message } = response.statuses[row];
  const status = { status: enumName(code, "SENTENCE_CODE_"), tokens, truncated };
  const version = { model_version: response.modelVersion };
  if (code !== "SENTENCE_CODE_OK") {
    return { ...status, message, ...version };
  }
  const tasks = response.tasks.map((task) => [task.name, describeTask(task, row, text)]);
  const embedding = response.embeddings && { embedding: tensorRow(response.embeddings, row) };
  return { ...status, ...Object.fromEntries(tasks), ...embedding, ...version };
}

/** Why a sentence of a batch that was refused has no answer. */
export function describeError({ code, reason, message }: WorkerError): object {
  return { error: { code, reason, message } };
}

/** The model, without what this client has no use for. */
export function describeModel(model: Model): object {
  return {
    model_version: model.modelVersion,
    encoder: model.encoder,
    embedding_dimensions: model.embeddingDimensions,
    tasks: model.tasks.map(({ name, kind, labels }) => ({
      name,
      kind: enumName(kind, "TASK_KIND_"),
      labels,
    })),
  };
}

/** Row `row` of a FLOAT32 tensor, [rows, columns]. Other formats come as bytes, in `raw`. */
export function tensorRow(tensor: Tensor, row: number): number[] {
  const columns = tensor.shape[1];
  return tensor.float32Values.slice(row * columns, (row + 1) * columns).map(shortest);
}

/**
 * A number that is `value` in single precision, too, and has fewer digits to print: 0.61 for
 * 0.6100000143051147.
 */
export function shortest(value: number): number {
  // Rounding to decimals rather than to digits is faster than asking `toPrecision`, and as good for
  // probabilities and for what embeddings are made of. What is smaller is left as it is.
  for (let scale = 1e6; scale <= 1e9; scale *= 10) {
    const rounded = Math.round(value * scale) / scale;
    if (Math.fround(rounded) === value) {
      return rounded;
    }
  }
  return value;
}

function describeTask(task: TaskResult, row: number, text: string): unknown {
  const scored = (index: number, score: number) => ({
    label: task.labels[index],
    score: shortest(score),
  });
  if (task.singleLabel) {
    return scored(task.singleLabel.labelIndices[row], task.singleLabel.scores[row]);
  }
  if (task.binary) {
    const index = task.binary.labelIndices[row];
    const yes = task.binary.probabilities[row];
    return scored(index, index === 1 ? yes : Math.fround(1 - yes));
  }
  if (task.multiLabel) {
    const { labelIndices, scores } = task.multiLabel.sentences[row];
    return labelIndices.map((index, place) => scored(index, scores[place]));
  }
  return task.token?.sentences[row].entities.map(({ label, start, end, score }) => ({
    label,
    start,
    end,
    text: text.slice(utf16Index(text, start), utf16Index(text, end)),
    score: shortest(score),
  }));
}

function enumName(value: string, prefix: string): string {
  return value.replace(prefix, "").toLowerCase();
}
