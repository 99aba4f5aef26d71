// What one task says of one sentence.
import { make, percent } from "./dom.js";

// Colours of labels, as in the reports; further labels share the last one.
const COLOURS = 10;
// With more labels than this, the unlikely ones are folded away.
const UNFOLDED = 6;
const FOLDED_FROM = 8;

/** The class of a label's colour. */
export const colour = (place) => `c${Math.min(place, COLOURS)}`;

/** The bars of a task's labels; `open` remembers, by `key`, which ones were unfolded. */
export function bars(said, open, key) {
  const folded = said.bars.length > FOLDED_FROM ? UNFOLDED : said.bars.length;
  const list = (some) => make("ul", { class: "bars" }, ...some.map((bar) => oneBar(bar, said.kind)));
  const shown = list(said.bars.slice(0, folded));
  if (folded === said.bars.length) return [shown];
  const more = make(
    "details",
    { open: open.has(key) },
    make("summary", {}, `${said.bars.length - folded} more labels`),
    list(said.bars.slice(folded)),
  );
  more.addEventListener("toggle", () => (more.open ? open.add(key) : open.delete(key)));
  return [shown, more];
}

function oneBar(bar, kind) {
  const fill = make("span", { class: "fill" });
  fill.style.width = `${100 * bar.score}%`;
  const track = make("span", { class: "track", "aria-hidden": "true" }, fill);
  const limit = bar.threshold === null ? null : ` from ${percent(bar.threshold)}`;
  if (limit !== null) {
    const mark = make("span", { class: "mark" });
    mark.style.left = `${100 * bar.threshold}%`;
    track.append(mark);
  }
  const reached = kind === "single_label" ? null : bar.given ? ", given" : ", not given";
  return make(
    "li",
    { class: `${colour(bar.colour)}${bar.given ? " given" : ""}`, title: limit && `given${limit}` },
    make("bdi", { class: "name" }, bar.label),
    track,
    make("span", { class: "score" }, percent(bar.score)),
    reached && make("span", { class: "unseen" }, `${reached}${limit}`),
  );
}

/** A sentence with its entities marked. */
export function marked(said) {
  return make(
    "p",
    { class: "text", dir: "auto" },
    ...said.parts.map((part) =>
      part.label === undefined
        ? part.text
        : make(
            "mark",
            { class: colour(part.colour), title: percent(part.score) },
            make("bdi", {}, part.text),
            make("small", {}, make("bdi", {}, part.label), ` ${percent(part.score)}`),
          ),
    ),
  );
}
