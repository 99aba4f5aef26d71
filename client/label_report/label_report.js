"use strict";
const root = document.documentElement;
addEventListener("error", (event) => { root.dataset.error = event.message; });
document.addEventListener("securitypolicyviolation", (event) => { root.dataset.violation = event.violatedDirective; });

const RADIUS = 3.2, NEAR = 16, MOST_ZOOM = 40, OTHER = 10, CELL = 28;

// `map`: x, y, row, text of each point; tasks with their labels, the colours of these, and for each
// point what it was given: [label, score in thousandths, text of an entity], the first of them its colour.
function showMap(frame, map) {
  const part = (name) => frame.querySelector(name);
  const canvas = part("canvas"), brush = canvas.getContext("2d");
  const tip = part(".tip"), legend = part(".legend"), chooser = part("select"), search = part("input"), status = part("output");
  const points = map.x.map((_, point) => point);
  const extent = (values) => [Math.min(...values), Math.max(...values)];
  const [left, right] = extent(map.x), [low, high] = extent(map.y);
  const view = { zoom: 1, x: 0, y: 0 };
  let task, labels, hidden, shown, matches = null, current = -1, pinned = false, asked = false, drag = null;

  const element = (name, text, className) => {
    const made = document.createElement(name);
    made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const scale = () => Math.min((canvas.clientWidth - 40) / (right - left || 1), (canvas.clientHeight - 40) / (high - low || 1)) * view.zoom;
  const place = (point) => {
    const size = scale();
    return [
      canvas.clientWidth / 2 + view.x + (map.x[point] - (left + right) / 2) * size,
      canvas.clientHeight / 2 + view.y - (map.y[point] - (low + high) / 2) * size,
    ];
  };
  const draw = () => { if (!asked) { asked = true; requestAnimationFrame(paint); } };

  function paint() {
    asked = false;
    const ratio = devicePixelRatio || 1, style = getComputedStyle(root);
    const colours = Array.from({ length: OTHER + 1 }, (_, index) => style.getPropertyValue(`--c${index}`));
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    brush.setTransform(ratio, 0, 0, ratio, 0, 0);
    const size = RADIUS * Math.min(2, Math.sqrt(view.zoom)) * (canvas.clientWidth < 500 ? 0.8 : 1);
    for (const point of shown) {
      const [x, y] = place(point);
      brush.globalAlpha = matches && !matches.has(point) ? 0.07 : 0.75;
      brush.fillStyle = colours[task.colours[labels[point]] ?? OTHER];
      brush.beginPath();
      brush.arc(x, y, size, 0, 7);
      brush.fill();
    }
    brush.globalAlpha = 1;
    nameClouds(style);
    if (current >= 0) {
      const [x, y] = place(current);
      brush.strokeStyle = style.getPropertyValue("--ink");
      brush.lineWidth = 2;
      brush.beginPath();
      brush.arc(x, y, size + 3, 0, 7);
      brush.stroke();
      showTip(x, y);
    }
    tip.hidden = current < 0;
    root.dataset.drawn = shown.length;
  }

  // Where most of the places are: the middle of those in the fullest part of a grid.
  function densest(places) {
    const cells = new Map();
    for (const [x, y] of places) {
      for (const column of [-1, 0, 1]) {
        for (const line of [-1, 0, 1]) {
          const cell = `${Math.floor(x / CELL) + column} ${Math.floor(y / CELL) + line}`;
          cells.set(cell, [...(cells.get(cell) ?? []), [x, y]]);
        }
      }
    }
    const fullest = [...cells.values()].reduce((most, cell) => (cell.length > most.length ? cell : most));
    return [0, 1].map((axis) => fullest.reduce((sum, at) => sum + at[axis], 0) / fullest.length);
  }

  // The name of each coloured label where most of its points are.
  function nameClouds(style) {
    const taken = [];
    brush.font = "600 13px system-ui, sans-serif";
    brush.textAlign = "center";
    brush.textBaseline = "middle";
    brush.lineJoin = "round";
    task.labels.forEach((name, label) => {
      const own = shown.filter((point) => labels[point] === label).map(place);
      if (task.colours[label] === OTHER || own.length < shown.length / 100) return;
      const text = name.length > 24 ? name.slice(0, 23) + "…" : name;
      const half = brush.measureText(text).width / 2;
      let [x, y] = densest(own);
      x = Math.max(half + 4, Math.min(canvas.clientWidth - half - 4, x));
      while (taken.some((other) => Math.abs(other.x - x) < other.half + half && Math.abs(other.y - y) < 17)) y += 4;
      taken.push({ x, y, half });
      brush.lineWidth = 4;
      brush.strokeStyle = style.getPropertyValue("--panel");
      brush.strokeText(text, x, y);
      brush.fillStyle = style.getPropertyValue("--ink");
      brush.fillText(text, x, y);
    });
  }

  function showTip(x, y) {
    if (tip.dataset.point !== String(current)) {
      tip.dataset.point = current;
      const text = element("p", map.text[current]);
      text.dir = "auto";
      tip.replaceChildren(element("small", `row ${map.row[current].toLocaleString("en")}`), text);
      for (const each of map.tasks) {
        const given = each.given[current].map(([label, score, words]) => `${words ? words + " · " : ""}${each.labels[label]} ${(score / 1000).toFixed(2)}`);
        const line = element("div", "");
        line.append(element("b", `${each.name}: `), given.join(", ") || "no label");
        tip.append(line);
      }
    }
    tip.hidden = false;
    const beside = x + 14 + tip.offsetWidth > canvas.clientWidth ? x - 14 - tip.offsetWidth : x + 14;
    tip.style.left = `${Math.max(0, Math.min(beside, canvas.clientWidth - tip.offsetWidth))}px`;
    tip.style.top = `${y + 14 + tip.offsetHeight > canvas.clientHeight + 60 ? y - 14 - tip.offsetHeight : y + 14}px`;
  }

  function choosePoint(point) {
    if (point !== current) { current = point; draw(); }
  }

  function filter() {
    const wanted = search.value.trim().toLowerCase();
    shown = points.filter((point) => !hidden.has(labels[point]));
    matches = wanted ? new Set(shown.filter((point) => map.text[point].toLowerCase().includes(wanted))) : null;
    status.textContent = `${(matches ? matches.size : shown.length).toLocaleString("en")} of ${points.length.toLocaleString("en")} points`;
    if (hidden.has(labels[current])) {
      current = -1;
      pinned = false;
    }
    draw();
  }

  function chooseTask(index) {
    task = map.tasks[index] ?? { labels: [], colours: [], given: [] };
    labels = points.map((point) => task.given[point]?.[0]?.[0] ?? -1);
    hidden = new Set();
    const counts = new Map();
    for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
    const entries = [...task.labels.keys(), -1].filter((label) => counts.has(label) && map.tasks.length);
    legend.replaceChildren(...entries.map((label) => {
      const entry = element("button", "");
      entry.type = "button";
      entry.setAttribute("aria-pressed", "true");
      entry.append(element("i", "", `dot c${task.colours[label] ?? OTHER}`), element("span", task.labels[label] ?? "no label"), element("small", counts.get(label).toLocaleString("en")));
      entry.addEventListener("click", () => {
        if (!hidden.delete(label)) hidden.add(label);
        entry.setAttribute("aria-pressed", String(!hidden.has(label)));
        filter();
      });
      return entry;
    }));
    if (entries.length > 2) {
      const all = element("button", "all / none", "all");
      all.type = "button";
      all.addEventListener("click", () => {
        hidden = new Set(hidden.size ? [] : entries);
        for (const entry of legend.querySelectorAll("[aria-pressed]")) entry.setAttribute("aria-pressed", String(!hidden.size));
        filter();
      });
      legend.append(all);
    }
    filter();
  }

  const nearest = (x, y, most) => {
    let best = -1, least = most * most;
    for (const point of shown) {
      const [px, py] = place(point), distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least && !(matches && !matches.has(point))) [best, least] = [point, distance];
    }
    return best;
  };
  // The nearest point within a quarter turn of a direction.
  const next = (dx, dy) => {
    const [x, y] = place(current);
    let best = current, least = Infinity;
    for (const point of matches ?? shown) {
      const [px, py] = place(point), along = (px - x) * dx + (py - y) * dy, across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (point !== current && along > 0 && across <= along && along + across < least) [best, least] = [point, along + across];
    }
    return best;
  };
  const zoom = (factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
    const before = view.zoom;
    view.zoom = Math.max(1, Math.min(MOST_ZOOM, before * factor));
    const change = view.zoom / before;
    view.x = view.zoom === 1 ? 0 : (view.x + canvas.clientWidth / 2 - x) * change + x - canvas.clientWidth / 2;
    view.y = view.zoom === 1 ? 0 : (view.y + canvas.clientHeight / 2 - y) * change + y - canvas.clientHeight / 2;
    canvas.classList.toggle("zoomed", view.zoom > 1);
    draw();
  };

  canvas.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, far: false }; });
  canvas.addEventListener("pointermove", (event) => {
    if (drag && event.buttons && view.zoom > 1) {
      drag.far ||= Math.hypot(event.clientX - drag.x, event.clientY - drag.y) > 5;
      if (drag.far) {
        canvas.setPointerCapture(event.pointerId);
        view.x += event.movementX;
        view.y += event.movementY;
        draw();
      }
    } else if (!pinned) choosePoint(nearest(event.offsetX, event.offsetY, NEAR));
  });
  canvas.addEventListener("click", (event) => {
    if (!drag?.far) {
      const point = nearest(event.offsetX, event.offsetY, 1.5 * NEAR);
      pinned = point >= 0;
      choosePoint(point);
    }
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => { if (!pinned) choosePoint(-1); });
  canvas.addEventListener("dblclick", (event) => zoom(2, event.offsetX, event.offsetY));
  canvas.addEventListener("wheel", (event) => {
    // Else the wheel scrolls the page past the map.
    if (event.ctrlKey || document.activeElement === canvas) {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (turn) choosePoint(current < 0 ? nearest(canvas.clientWidth / 2, canvas.clientHeight / 2, Infinity) : next(...turn));
    else if (event.key === "+" || event.key === "-") zoom(event.key === "+" ? 1.5 : 1 / 1.5);
    else if (event.key === "0") zoom(0);
    else if (event.key === "Escape") choosePoint(-1);
    else return;
    pinned = current >= 0;
    event.preventDefault();
  });
  for (const button of frame.querySelectorAll(".zoom button")) button.addEventListener("click", () => zoom(Number(button.value)));
  search.addEventListener("input", filter);
  chooser?.addEventListener("change", () => chooseTask(chooser.selectedIndex));
  new ResizeObserver(draw).observe(canvas);
  for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", paint);
  chooseTask(chooser?.selectedIndex ?? 0);
  paint(); // at once, so that a page that is printed or saved unseen has its map
}

addEventListener("DOMContentLoaded", () => {
  const data = document.getElementById("map-data");
  if (data) showMap(document.getElementById("map-frame"), JSON.parse(data.textContent));
  root.dataset.ready = "yes";
});
