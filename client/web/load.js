// How much the worker does.
import { count, draw, make, time } from "./dom.js";

const WIDTH = 300;
const HEIGHT = 64;
const SECONDS = 60;

/** Show a section `load`. */
export function showLoad(place, load) {
  const now = load.history.at(-1) ?? 0;
  if (load.message) {
    place.replaceChildren(make("p", {}, load.message), chart(load.history));
    return;
  }
  const facts = make(
    "dl",
    { class: "figures" },
    fact("sentences a second", now >= 10 || now === 0 ? Math.round(now).toLocaleString("en") : now.toFixed(1), "big"),
    fact("tokens a second", Math.round(load.tokens_per_second).toLocaleString("en"), "big"),
    fact("waiting", `${count(load.queue_tokens, "token")} of ${load.queue_limit_tokens.toLocaleString("en")}`),
    fact("calls open", load.calls.toLocaleString("en")),
    fact("answered since its start", count(load.sentences, "sentence")),
    load.memory_bytes ? fact("memory", `${Math.round(load.memory_bytes / 2 ** 20).toLocaleString("en")} MiB`) : null,
  );
  const failures = load.failures.map((each) =>
    make("li", {}, `${each.reason}: ${each.recent.toLocaleString("en")} of late, ${each.count.toLocaleString("en")} since its start`),
  );
  place.replaceChildren(
    ...(load.ready ? [] : [make("p", { class: "fault" }, "Its model does not answer.")]),
    chart(load.history),
    facts,
    latencies(load),
    ...(failures.length ? [make("h3", {}, "Failures"), make("ul", { class: "failures" }, ...failures)] : []),
  );
}

function latencies(load) {
  const caption = `How long batches took, in the last ${load.window_seconds} seconds`;
  if (!load.latencies.length) return make("p", { class: "soft note" }, `${caption}: there was none.`);
  const head = ["", "half", "99 %", "batches"].map((name) => (name ? make("th", { scope: "col" }, name) : make("td")));
  const rows = load.latencies.map((each) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, each.class),
      ...[time(each.half_within), time(each.most_within), each.batches.toLocaleString("en")].map((text) => make("td", {}, text)),
    ),
  );
  return make("table", {}, make("caption", {}, caption), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

function fact(name, value, kind = null) {
  return make("div", { class: kind }, make("dt", {}, name), make("dd", {}, value));
}

/** Sentences a second over the last minute; the newest is at the right. */
function chart(history) {
  const top = Math.max(1, ...history);
  const step = WIDTH / (SECONDS - 1);
  const points = history.map((rate, index) => {
    const x = WIDTH - (history.length - 1 - index) * step;
    return [x, HEIGHT - 2 - ((rate ?? 0) / top) * (HEIGHT - 6)];
  });
  const line = points.map((point) => point.map((number) => number.toFixed(1)).join(","));
  const label = `Sentences a second over the last minute, ${Math.round(top).toLocaleString("en")} at most`;
  const lines = points.length
    ? [
        draw("polygon", { points: `${points[0][0].toFixed(1)},${HEIGHT} ${line.join(" ")} ${WIDTH},${HEIGHT}` }),
        draw("polyline", { points: line.join(" ") }),
      ]
    : [];
  return make(
    "figure",
    { class: "chart" },
    draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, ...lines),
    make("figcaption", {}, make("span", {}, "a minute ago"), make("span", {}, `at most ${Math.round(top).toLocaleString("en")}`), make("span", {}, "now")),
  );
}
