/** How long to wait for a worker that is full, starting, or gone. */

import { setTimeout as sleep } from "node:timers/promises";

import type { WorkerError } from "./errors.js";

const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5_000;
const GIVE_UP_AFTER = 60_000;

/**
 * Milliseconds until the next try, after `tries` that failed before this one.
 *
 * @param retryAfter what the worker asks for; it is never undercut.
 * @param random 0 to 1: callers that failed together should not come back together.
 */
export function pauseFor(tries: number, retryAfter?: number, random = Math.random()): number {
  if (retryAfter) {
    return retryAfter * (1 + random / 5);
  }
  return Math.min(FIRST_PAUSE * 2 ** tries, LONGEST_PAUSE) * (1 + (2 * random - 1) / 5);
}

/** What is left of the time that a client goes on without an answer. */
export class Patience {
  private reached = false;
  private tries = 0;
  private lostSince: number | undefined;

  /** @param deadline when the caller stops waiting, by `Date.now()`. */
  constructor(private readonly deadline: number) {}

  /** Milliseconds, counted from the first failure since the last answer. */
  get left(): number {
    return (this.lostSince ?? Date.now()) + GIVE_UP_AFTER - Date.now();
  }

  /** Notes an answer. */
  answered(): void {
    this.reached = true;
    this.tries = 0;
    this.lostSince = undefined;
  }

  /** Notes a failure: milliseconds to wait, or, when there is nothing to wait for, throws it. */
  failed(failure: WorkerError): number {
    this.lostSince ??= Date.now();
    // A worker that never answered is more likely not there than away for a moment.
    const mayComeBack = this.reached || failure.full || failure.reason === "STARTING";
    if (!failure.passing || !mayComeBack || this.left <= 0) {
      throw failure;
    }
    // No longer than the deadline: the next call then ends with it.
    return Math.min(pauseFor(this.tries++, failure.retryAfter), this.deadline - Date.now());
  }

  /** Waits after a failure, or throws it. */
  async wait(failure: WorkerError): Promise<void> {
    await sleep(Math.max(this.failed(failure), 0));
  }
}
