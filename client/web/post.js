// Questions to the page's own server.

/** What a question came to, when that is no answer: `kind` is away, full, refused, wrong or lost. */
export class Failed extends Error {
  constructor({ kind, message, seconds = 1 }) {
    super(message);
    this.kind = kind;
    this.seconds = seconds;
  }
}

/** Ask; gives the answer, or fails with `Failed`. */
export async function post(path, body, signal = null) {
  let response, answer;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal,
    });
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failed({ kind: "lost", message: "The server of this page does not answer." });
  }
  if (!response.ok) throw new Failed(answer.error);
  return answer;
}
