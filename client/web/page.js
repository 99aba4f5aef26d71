// The page: sentences in, answers out, and what comes from the worker by itself.
import { Answers } from "./answers.js";
import { byId, count, make, say, time } from "./dom.js";
import { follow } from "./feed.js";
import { showLoad } from "./load.js";
import { Failed, post } from "./post.js";
import { handleVersions, showNoAdmin, showPush, showVersions } from "./versions.js";

// While somebody types: not at every key, and not a thousand sentences each time.
const TYPING_PAUSE = 300;
const TYPING_SENTENCES = 50;

const box = byId("sentences");
const answers = new Answers(byId("answers"));
const seen = { version: "", limit: 1000, ready: false };
const shown = { sentences: [], version: "", neighboursOf: "" }; // what the answers on the page are to
let embedded = ""; // the version by which all neighbours are embedded
let waiting = null; // a question that could not be answered yet
let under = null; // the question under way: a later one stops it
let timer = 0;
let examples = [];

const sentencesOf = (text) =>
  text.split(/\r?\n/).filter((line) => line.trim() !== "").map((line) => line.toWellFormed?.() ?? line);

async function ask(question) {
  clearTimeout(timer);
  under?.abort();
  const stop = new AbortController();
  under = null;
  waiting = null;
  if (!question.sentences.length) {
    shown.sentences = [];
    answers.clear("Labels, entities and the nearest sentences come here.");
    return say(byId("notice"), "");
  }
  if (question.sentences.length > seen.limit) {
    return say(byId("notice"), `This takes ${count(seen.limit, "sentence")} at a time; there are ${question.sentences.length.toLocaleString("en")}.`);
  }
  if (question.remember) say(byId("notice"), "asking …");
  try {
    const { why, ...body } = question;
    under = stop;
    const neighboursOf = embedded;
    const answer = await post("answers", body, stop.signal);
    const other = why !== "asked" && shown.version !== answer.version;
    const changed = answers.show(question.sentences, answer.rows, other ? "version" : why);
    Object.assign(shown, { sentences: question.sentences, version: answer.version, neighboursOf });
    const what = `${count(answer.rows.length, "sentence")} in ${time(answer.seconds)}, by ${answer.version}`;
    const moved = changed ? `; ${count(changed, "has other labels", "have other labels")} than before` : "; the same labels as before";
    if (why !== "neighbours" || other) say(byId("notice"), other ? what + moved : what);
    // Something changed while this was under way.
    if (answer.version !== seen.version || neighboursOf !== embedded) later(askAgain, 1000);
  } catch (error) {
    if (error instanceof Failed) failed(question, error);
    else if (error.name !== "AbortError") throw error;
  } finally {
    if (under === stop) under = null;
  }
}

/** Try again by itself what is not the question's own fault. */
function failed(question, error) {
  if (error.kind === "full") {
    say(byId("notice"), "The worker has all the work that it can hold; asking again …");
    later(() => ask(question), 1000 * Math.max(error.seconds, 0.5));
  } else if (error.kind === "away" || error.kind === "lost") {
    waiting = question;
    say(byId("notice"), "Waiting for the worker …");
    later(() => waiting && seen.ready && ask(waiting), 2000);
  } else {
    say(byId("notice"), error.message);
  }
}

function later(work, milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(work, milliseconds);
}

/** What is shown, of the version that is live now, and with the neighbours that are known now. */
function askAgain() {
  if (waiting) return ask(waiting);
  if (under || !shown.sentences.length) return;
  const why = shown.version !== seen.version ? "version" : "neighbours";
  if (why === "version" || (embedded === seen.version && shown.neighboursOf !== embedded)) {
    ask({ sentences: shown.sentences, truncate: byId("truncate").checked, remember: false, why });
  }
}

const askBox = (remember) => ask({ sentences: sentencesOf(box.value), truncate: byId("truncate").checked, remember, why: "asked" });

function handleBox() {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    askBox(true);
  });
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) askBox(true);
  });
  box.addEventListener("input", () => {
    if (!byId("typing").checked) return;
    if (sentencesOf(box.value).length <= TYPING_SENTENCES) later(() => askBox(false), TYPING_PAUSE);
  });
  byId("truncate").addEventListener("change", () => askBox(false));
  byId("examples").addEventListener("click", () => {
    box.value = examples.join("\n");
    askBox(true);
  });
}

function showWorker(worker) {
  seen.ready = worker.ready;
  byId("worker").dataset.state = worker.ready ? "ready" : "away";
  say(byId("worker-state"), worker.ready ? "worker" : "no worker at");
  say(byId("worker-address"), worker.address);
  alarm("worker", worker.ready ? "" : worker.message);
  if (worker.ready && waiting) ask(waiting);
}

function showModel(model) {
  const before = seen.version;
  Object.assign(seen, { version: model.version, limit: model.sentences });
  byId("live").hidden = byId("model-card").hidden = false;
  say(byId("version"), model.version);
  if (before && before !== model.version) {
    byId("live").classList.remove("fresh");
    requestAnimationFrame(() => byId("live").classList.add("fresh"));
  }
  const facts = [
    ["encoder", model.encoder],
    ["embedding", count(model.dimensions, "dimension")],
    ["runs on", model.runs],
    ["reads", `${count(model.tokens, "token")} of a sentence`],
    ...model.tasks.map((task) => [task.name, `${task.kind.replace("_", " ")}, ${count(task.labels, "label")}`]),
  ];
  byId("model").replaceChildren(
    ...facts.map(([name, value]) => make("div", {}, make("dt", {}, make("bdi", {}, name)), make("dd", {}, make("bdi", {}, value)))),
  );
  askAgain();
}

const alarms = new Map();

function alarm(name, text) {
  alarms.set(name, text);
  const texts = [...alarms.values()].filter(Boolean);
  byId("alarm").hidden = !texts.length;
  say(byId("alarm"), texts.join(" "));
}

handleBox();
handleVersions();
follow(
  {
    examples: (some) => (examples = some),
    recent: (recent) => {
      embedded = recent.version;
      askAgain();
    },
    worker: showWorker,
    model: showModel,
    load: (load) => showLoad(byId("load"), load),
    versions: showVersions,
    push: showPush,
    admin: (admin) => admin.address || showNoAdmin(),
  },
  (lost) => alarm("page", lost ? "The server of this page does not answer; is it still running?" : ""),
);
