// The versions that the worker keeps: make one live, push another.
import { byId, bytes, make, say } from "./dom.js";
import { post } from "./post.js";

const STATES = { live: "live", previous: "previous", kept: "kept" };

let versions = [];

const live = () => versions.find((each) => each.state === "live")?.version ?? "";
const before = () => versions.find((each) => each.state === "previous")?.version;

/** Show a section `versions`. */
export function showVersions(section) {
  versions = section.versions;
  const lasting = section.lasting ? "" : "Kept until the worker stops: it has no folder for them.";
  say(byId("versions-note"), section.message || lasting);
  // The list is made anew only when it changed, and the button that had the focus has it again.
  const focused = document.activeElement?.dataset?.version;
  byId("versions").replaceChildren(...versions.map(oneVersion));
  byId("back").hidden = before() === undefined;
  if (focused) document.querySelector(`[data-version="${CSS.escape(focused)}"]`)?.focus();
}

/** Show that there is no admin service to ask. */
export function showNoAdmin() {
  const advice = () => [
    "The worker’s admin service tells it: start this page with ",
    make("code", {}, "--admin HOST:PORT"),
    " (its port is one above the worker’s, unless it was started otherwise).",
  ];
  byId("load").replaceChildren(make("p", {}, ...advice()));
  byId("versions-note").replaceChildren(...advice());
}

function oneVersion(each) {
  const received = new Date(each.received).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const details = [received, bytes(each.bytes), each.origin].filter(Boolean).join(", ");
  return make(
    "li",
    { class: each.state },
    make("div", {}, make("code", {}, each.version), " ", make("b", { class: "badge" }, STATES[each.state] ?? each.state)),
    make("small", {}, details),
    each.state === "live"
      ? null
      : make(
          "button",
          { type: "button", "data-version": each.version, "aria-label": `Make ${each.version} live`, onclick: () => activate(each.version) },
          "Make live",
        ),
  );
}

async function activate(version) {
  const from = live();
  const sure = await confirmed(
    `Make ${version} live?`,
    `${from} is live now. Nothing is interrupted: what is being answered is answered by the version that it began with. All callers of this worker get the other version from then on.`,
    "Make it live",
  );
  if (!sure) return;
  try {
    say(byId("versions-note"), "changing …");
    await post("activate", { version, live: from });
    say(byId("versions-note"), `${version} is live, after ${from}.`);
  } catch (error) {
    say(byId("versions-note"), error.message);
  }
}

/** Ask before what all callers notice. */
function confirmed(title, text, yes) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = yes;
  return new Promise((resolve) => {
    byId("confirm-yes").onclick = () => dialog.close("yes");
    byId("confirm-no").onclick = () => dialog.close("");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.returnValue = "";
    dialog.showModal();
    byId("confirm-no").focus();
  });
}

/** Show a section `push`. */
export function showPush(section) {
  byId("push-card").hidden = false;
  byId("push").querySelectorAll("input, button").forEach((each) => (each.disabled = section.running || !section.offered));
  if (!section.offered) {
    say(byId("push-note"), "To push from here, the page’s machine needs: pip install 'twinhead[trainer]'");
    return;
  }
  const name = section.folder.split("/").filter(Boolean).at(-1);
  if (section.running) say(byId("push-note"), `pushing ${name} …`);
  else if (section.done) say(byId("push-note"), `${name} is pushed.`);
  else if (section.failed) say(byId("push-note"), `${name} was not taken.`);
  byId("push-said").hidden = !section.said;
  byId("push-said").textContent = section.said.trim();
}

/** Let the buttons and the form do what they say. */
export function handleVersions() {
  byId("back").addEventListener("click", () => before() && activate(before()));
  byId("push").addEventListener("submit", async (event) => {
    event.preventDefault();
    const folder = byId("folder").value.trim();
    try {
      await post("push", { folder, live: live(), new_tasks: byId("new-tasks").checked });
    } catch (error) {
      say(byId("push-note"), error.message);
    }
  });
}
