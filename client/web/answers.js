// The rows of an answer.
import { bars, colour, marked } from "./bars.js";
import { count, make, percent } from "./dom.js";

const STATUSES = { empty: "empty", too_long: "too long", invalid: "unreadable" };

/** Shows answers, and what has changed since an earlier version's to the same sentences. */
export class Answers {
  #list;
  #open = new Set(); // of folded bars, by row and task
  #last = [];
  #earlier = []; // rows to compare with

  constructor(list) {
    this.#list = list;
  }

  /**
   * Show an answer; gives the number of sentences that have other labels than before.
   *
   * It is to a new question (`why` is "asked"), of another version ("version"), or the same once more
   * with other neighbours ("neighbours").
   */
  show(sentences, rows, why) {
    if (why === "asked") this.#earlier = [];
    if (why === "version") this.#earlier = this.#last;
    let changed = 0;
    const items = rows.map((row, place) => {
      const before = this.#earlier[place];
      const earlier = before ? earlierLabels(row, before) : new Map();
      changed += earlier.size > 0;
      return this.#row(sentences[place], row, place, earlier);
    });
    this.#last = rows;
    this.#list.replaceChildren(...items);
    return changed;
  }

  clear(text) {
    this.#last = this.#earlier = [];
    this.#list.replaceChildren(make("li", { class: "empty" }, text));
  }

  #row(sentence, row, place, earlier) {
    const tokens = row.tasks.filter((said) => said.kind === "token");
    const texts = tokens.length === 1 ? [marked(tokens[0])] : [make("p", { class: "text", dir: "auto" }, sentence)];
    const tasks = row.tasks.map((said) => {
      const was = earlier.get(said.task);
      const title = make(
        "h3",
        {},
        make("bdi", {}, said.task),
        said.kind === "binary" ? make("bdi", { class: "verdict" }, said.labels[0]) : null,
        was === undefined ? null : make("span", { class: "was" }, was),
      );
      if (said.kind === "token") {
        if (tokens.length > 1) return make("section", { class: "whole" }, title, marked(said));
        return make("section", {}, title, make("p", {}, ...found(said)));
      }
      if (said.bars === undefined) return make("section", {}, title, make("p", { class: "soft" }, "of a kind that this page does not know"));
      return make("section", {}, title, ...bars(said, this.#open, `${place} ${said.task}`));
    });
    return make(
      "li",
      { class: earlier.size > 0 ? "row changed" : "row" },
      ...texts,
      notes(row.status),
      tasks.length ? make("div", { class: "tasks" }, ...tasks) : null,
      neighbours(row.neighbours),
    );
  }
}

/** What tasks that now give other labels gave before, by task. */
function earlierLabels(row, before) {
  const found = new Map();
  for (const said of row.tasks) {
    const old = before.tasks.find((other) => other.task === said.task && other.kind === said.kind);
    if (old?.labels === undefined) continue;
    const [now, then] = [said.labels, old.labels].map((labels) => labels.join(", "));
    if (now !== then) found.set(said.task, then ? `was ${then}` : "had none");
  }
  return found;
}

function notes(status) {
  if (status.code !== "ok") {
    return make("p", { class: "fault" }, make("b", {}, STATUSES[status.code] ?? status.code), `: ${status.message}`);
  }
  if (!status.truncated) return null;
  const read = `only the first ${count(status.tokens_used, "token")} of ${status.tokens.toLocaleString("en")} were read`;
  return make("p", { class: "fault" }, make("b", {}, "cut"), `: ${read}`);
}

/** The types of entities that a sentence has, in their colours. */
function found(said) {
  const entities = said.parts.filter((part) => part.label !== undefined);
  if (!entities.length) return [make("span", { class: "soft" }, "none")];
  const types = [...new Set(entities.map((part) => part.label))];
  return types.map((label) => {
    const some = entities.filter((part) => part.label === label);
    return make("span", { class: `tag ${colour(some[0].colour)}` }, make("bdi", {}, label), ` ${some.length}`);
  });
}

function neighbours(near) {
  if (!near.length) return null;
  const items = near.map((each) =>
    make(
      "li",
      {},
      make("span", { class: "score" }, each.similarity.toFixed(2)),
      make("span", {}, make("bdi", {}, each.text), each.example ? make("small", {}, " example") : null),
    ),
  );
  return make("div", { class: "near" }, make("h3", {}, "Nearest"), make("ul", {}, ...items));
}
