// What a reader can do with the report: see values, pick tasks, switch methods and seeds off, go back in steps.
// Charts are drawn already; their groups say what they are in data attributes (plot.mark). The page reads without this.
"use strict";
(() => {
  const MINUS = "\u2212";
  const state = { off: new Set(), picked: new Set(), step: null }; // `step` is null at the end
  let main, facts, tip, slider;

  const all = (selector, within = main) => [...within.querySelectorAll(selector)];

  function make(tag, parent, content = "", attributes = {}) {
    const element = document.createElement(tag);
    element.textContent = content;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  }

  // Numbers of charts -------------------------------------------------------------------------------------------------

  const read = new WeakMap();

  function list(text) {
    if (text.includes(":")) {
      const [first, distance, count] = text.split(":").map(Number);
      return Array.from({ length: count }, (_, i) => first + i * distance);
    }
    return text.split(",").map((part) => (part === "" ? NaN : Number(part)));
  }

  function line(group) {
    if (!read.has(group)) {
      const { steps, values, low, high } = group.dataset;
      read.set(group, { steps: list(steps), values: list(values), low: low && list(low), high: high && list(high) });
    }
    return read.get(group);
  }

  function axes(svg) {
    if (!read.has(svg)) {
      const [x, y, box] = ["x", "y", "box"].map((name) => list(svg.dataset[name]));
      const along = "log" in svg.dataset ? Math.log : (value) => value;
      read.set(svg, {
        first: x[0],
        last: x[1],
        top: box[3],
        bottom: box[2],
        x: (step) => box[0] + ((step - x[0]) / (x[1] - x[0])) * (box[1] - box[0]),
        step: (place) => x[0] + ((place - box[0]) / (box[1] - box[0])) * (x[1] - x[0]),
        y: (value) => box[2] + ((along(value) - along(y[0])) / (along(y[1]) - along(y[0]))) * (box[3] - box[2]),
      });
    }
    return read.get(svg);
  }

  function nearest(steps, step) {
    let best = 0;
    for (let i = 1; i < steps.length; i++) if (Math.abs(steps[i] - step) < Math.abs(steps[best] - step)) best = i;
    return best;
  }

  // The last value that was known at a step; NaN before the first.
  function known(group, step) {
    const { steps, values } = line(group);
    let found = NaN;
    for (let i = 0; i < steps.length && steps[i] <= step; i++) if (!Number.isNaN(values[i])) found = values[i];
    return found;
  }

  function number(value) {
    if (!Number.isFinite(value)) return "\u2013";
    const size = Math.abs(value);
    const text = size >= 1e6 || (size > 0 && size < 1e-3) ? value.toExponential(2) : String(+value.toPrecision(3));
    return text.replace("-", MINUS);
  }

  const series = (key) => facts.series.find((one) => one.key === key);

  // Whether a switch has turned off the method of an element, which has its key or its name, or the seed.
  function isOff(element) {
    const { method, name, seed } = element.dataset;
    const key = method ?? facts.series.find((one) => one.label === name)?.key;
    return state.off.has(key) || state.off.has(`${key}/${seed}`);
  }

  // Values on hover ---------------------------------------------------------------------------------------------------

  function pointed(svg, event) {
    const box = svg.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  // The lines that a chart tells the values of: its thick ones, and of the thin ones those picked and the nearest.
  function told(svg, step, place) {
    const scale = axes(svg);
    const shown = all("g[data-values]", svg).filter((group) => !isOff(group));
    const found = shown.map((group) => {
      const { steps, values, low, high } = line(group);
      const at = nearest(steps, step);
      const far = Math.abs(scale.y(values[at]) - place);
      return { group, step: steps[at], value: values[at], low: low?.[at], high: high?.[at], far };
    });
    const seen = found.filter((one) => !Number.isNaN(one.value));
    const thin = seen.filter((one) => "thin" in one.group.dataset);
    const close = thin.filter((one) => one.far < 14).sort((a, b) => a.far - b.far)[0];
    return seen.filter((one) => !thin.includes(one) || one === close || state.picked.has(one.group.dataset.task));
  }

  function label(group, svg) {
    const { name, method, task, seed, thin } = group.dataset;
    const parts = name === undefined ? [] : [name];
    if (method !== undefined && (facts.series.length > 1 || !task || thin === undefined)) {
      parts.push(series(method)?.label ?? method);
    }
    if (seed !== undefined) parts.push(`seed ${seed}`);
    if (task && thin !== undefined && seed === undefined) parts.push(task);
    return parts.join(", ");
  }

  function showChart(svg, event) {
    const [x, y] = pointed(svg, event);
    const scale = axes(svg);
    const step = scale.step(x);
    const found = step < scale.first || step > scale.last ? [] : told(svg, step, y);
    if (!found.length) return hideTip();
    const at = found.reduce((a, b) => (Math.abs(b.step - step) < Math.abs(a.step - step) ? b : a)).step;
    tip.replaceChildren();
    make("div", tip, `${svg.getAttribute("aria-label")}, step ${at.toLocaleString("en")}`);
    for (const { group, value, low, high } of found.sort((a, b) => b.value - a.value)) {
      const row = make("div", tip);
      const path = group.querySelector("path, use");
      make("i", row).style.borderColor = getComputedStyle(path).stroke;
      make("span", row, label(group, svg));
      const bounds = low !== undefined && !Number.isNaN(low) ? ` (${number(low)} to ${number(high)})` : "";
      make("b", row, number(value) + bounds);
    }
    placeTip(event);
    guides(at);
  }

  function placeTip(event) {
    tip.hidden = false;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + 14 + width < innerWidth ? event.clientX + 14 : event.clientX - 14 - width;
    const below = event.clientY + 14 + height < innerHeight ? event.clientY + 14 : event.clientY - 14 - height;
    tip.style.left = `${Math.max(4, Math.min(right, innerWidth - width - 4))}px`;
    tip.style.top = `${Math.max(4, below)}px`;
  }

  function hideTip() {
    tip.hidden = true;
    guides(state.step);
  }

  // A line at a step in every chart over steps; none for null.
  function guides(step) {
    for (const svg of all("svg[data-x]")) {
      let guide = svg.querySelector(".guide");
      const scale = axes(svg);
      if (step === null || step > scale.last) {
        guide?.remove();
        continue;
      }
      if (!guide) {
        guide = document.createElementNS(svg.namespaceURI, "line");
        guide.setAttribute("class", "guide");
        svg.append(guide);
      }
      const ends = { x1: scale.x(step), x2: scale.x(step), y1: scale.top, y2: scale.bottom };
      for (const [name, value] of Object.entries(ends)) guide.setAttribute(name, value);
    }
  }

  function hover(event) {
    if (!main.contains(event.target)) return hideTip();
    const said = event.target.closest("[title], [data-tip]");
    const svg = event.target.closest("svg[data-x]");
    if (said && main.contains(said)) {
      if (said.title) {
        said.dataset.tip = said.title; // ours at once, instead of the browser's after a while
        said.removeAttribute("title");
      }
      tip.textContent = said.dataset.tip;
      placeTip(event);
    } else if (svg) showChart(svg, event);
    else if (!tip.hidden) hideTip();
  }

  // Picked tasks ------------------------------------------------------------------------------------------------------

  function pick(task, more) {
    const was = state.picked.has(task);
    if (!more) state.picked.clear();
    if (was) state.picked.delete(task);
    else state.picked.add(task);
    showPicked();
  }

  function showPicked() {
    main.classList.toggle("picking", state.picked.size > 0);
    for (const element of all("[data-task]")) {
      const picked = state.picked.has(element.dataset.task);
      element.classList.toggle("picked", picked);
      if (element.tagName === "TR") element.cells[0].setAttribute("aria-pressed", picked);
    }
    for (const table of all("table.pairs")) {
      const rows = [...table.tBodies[0].rows];
      const picked = rows.map((row) => state.picked.has(row.dataset.task));
      rows.forEach((row, i) =>
        [...row.cells].slice(1).forEach((cell, j) => cell.classList.toggle("picked", picked[i] || picked[j])),
      );
    }
    for (const old of all("svg .overlay")) old.remove();
    for (const svg of all("#learning svg[data-x]")) {
      const box = axes(svg);
      for (const group of [...state.picked].flatMap((task) => taskLines(task))) {
        const { steps, values } = line(group);
        const points = steps.map((step, i) => [box.x(step), box.y(values[i])]).filter(([, y]) => !Number.isNaN(y));
        const overlay = document.createElementNS(svg.namespaceURI, "polyline");
        overlay.setAttribute("class", isOff(group) ? "overlay off" : "overlay");
        overlay.style.stroke = `var(${series(group.dataset.method).colour})`;
        overlay.setAttribute("points", points.map((point) => point.map((c) => c.toFixed(1)).join(",")).join(" "));
        svg.append(overlay);
      }
    }
    const hint = document.querySelector(".controls .hint");
    if (!hint) return;
    hint.replaceChildren();
    if (!state.picked.size) hint.textContent = "Click a task to follow it.";
    for (const task of state.picked) make("button", hint, `${task} \u00d7`, { "data-pick": task, type: "button" });
  }

  // The learning curves of a task, by method: those of the section on tasks, whose scale is that of all scores.
  function taskLines(task) {
    const own = all("#tasks g[data-values]").filter((g) => g.dataset.task === task && !("thin" in g.dataset));
    return own.filter((group) => series(group.dataset.method)?.colour !== "--muted");
  }

  function click(event) {
    const pressed = event.target.closest("[data-pick]");
    if (pressed) return pick(pressed.dataset.pick, true);
    if (!main.contains(event.target) || event.target.closest("a, summary, label, input, button")) return;
    const more = event.shiftKey || event.ctrlKey || event.metaKey;
    const svg = event.target.closest("svg[data-x]");
    const own = event.target.closest("[data-task]");
    if (own && !("thin" in own.dataset)) return pick(own.dataset.task, more);
    if (svg) {
      const [x, y] = pointed(svg, event);
      const near = told(svg, axes(svg).step(x), y).filter((one) => one.group.dataset.task && one.far < 14);
      if (near.length) pick(near.sort((a, b) => a.far - b.far)[0].group.dataset.task, more);
    }
  }

  function key(event) {
    if (event.key === "Escape") {
      state.picked.clear();
      showPicked();
    }
    const row = event.target.closest?.("tr[data-task] > th")?.parentElement;
    if (row && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      pick(row.dataset.task, event.shiftKey || event.ctrlKey);
    }
  }

  // Methods and seeds, on and off -------------------------------------------------------------------------------------

  function showSwitched() {
    for (const element of all("[data-method], [data-name]")) element.classList.toggle("off", isOff(element));
    showPicked();
  }

  function switches(bar) {
    const fields = make("fieldset", bar, "", { "aria-label": "Curves shown" });
    const add = (id, text, colour) => {
      const row = make("label", fields);
      const box = make("input", row, "", { type: "checkbox", "data-switch": id });
      box.checked = !state.off.has(id);
      if (colour) make("i", row).style.borderColor = `var(${colour})`;
      row.append(text);
      box.addEventListener("change", () => {
        if (box.checked) state.off.delete(id);
        else state.off.add(id);
        showSwitched();
      });
    };
    for (const { key, label, colour, seeds } of facts.series) {
      if (facts.series.length > 1) add(key, label, colour);
      if (seeds.length > 1) for (const seed of seeds) add(`${key}/${seed}`, `seed ${seed}`);
    }
  }

  // An earlier step ---------------------------------------------------------------------------------------------------

  function stepsOf() {
    const groups = all("#learning g[data-values], #tasks g[data-values]");
    const own = groups.filter((group) => series(group.dataset.method)?.colour !== "--muted");
    return [...new Set(own.flatMap((group) => line(group).steps))].sort((a, b) => a - b);
  }

  function steps(bar) {
    const found = stepsOf();
    if (found.length < 2) return;
    const row = make("label", bar, "Step", { class: "step" });
    slider = make("input", row, "", { type: "range", min: 0, max: found.length - 1, "aria-label": "Step" });
    slider.value = state.step === null ? found.length - 1 : nearest(found, state.step);
    const said = make("output", row);
    const show = () => {
      const step = found[slider.value];
      state.step = +slider.value === found.length - 1 ? null : step;
      said.textContent = step.toLocaleString("en") + (state.step === null ? ", the last" : "");
      showStep();
    };
    slider.addEventListener("input", show);
    show();
  }

  function put(element, content) {
    element.dataset.final ??= element.textContent;
    element.textContent = content ?? element.dataset.final;
  }

  function showStep() {
    guides(state.step);
    for (const table of all("table[data-steps]")) {
      const now = state.step === null ? -1 : nearest(list(table.dataset.steps), state.step);
      for (const row of table.tBodies[0].rows) {
        [...row.cells].forEach((cell, i) => cell.classList.toggle("now", i === now + 1 && i > 0));
      }
    }
    const means = all('#learning svg[aria-label^="Mean"] g[data-values]').filter((g) => !("thin" in g.dataset));
    const lines = new Map(); // by task and method; the mean has no task
    for (const group of means) lines.set(`\n${group.dataset.method}`, group);
    for (const group of all("#tasks g[data-values]")) {
      if (!("thin" in group.dataset)) lines.set(`${group.dataset.task}\n${group.dataset.method}`, group);
    }
    const alone = !main.querySelector("#tasks");
    for (const row of all("#results tbody tr")) {
      const task = alone ? "" : (row.dataset.task ?? "");
      row.closest("table").classList.toggle("past", state.step !== null);
      for (const element of all(".score, .bar", row)) {
        const group = lines.get(`${task}\n${element.dataset.method}`);
        const value = state.step === null || !group ? NaN : known(group, state.step);
        const bar = element.querySelector("b");
        if (bar) {
          bar.dataset.final ??= bar.style.width;
          const width = `${100 * Math.min(Math.max(value, 0), 1)}%`;
          bar.style.width = state.step === null ? bar.dataset.final : Number.isNaN(value) ? "0" : width;
        } else if (element.classList.contains("score")) {
          const text = Number.isNaN(value) ? "\u2013" : value.toFixed(facts.digits).replace("-", MINUS);
          put(element, state.step === null ? null : text);
        }
      }
    }
  }

  // ------------------------------------------------------------------------------------------------------------------

  function start() {
    main = document.querySelector("main");
    facts = JSON.parse(main.dataset.facts);
    const bar = document.createElement("div");
    bar.className = "controls";
    main.querySelector("nav").after(bar);
    if (facts.series.length > 1 || facts.series.some((one) => one.seeds.length > 1)) switches(bar);
    steps(bar);
    if (new Set(all("[data-task]").map((element) => element.dataset.task)).size > 1) {
      make("span", bar, "", { class: "hint" });
      for (const heading of all("tr[data-task] > th")) {
        for (const [name, value] of Object.entries({ tabindex: 0, role: "button" })) heading.setAttribute(name, value);
      }
    }
    if (facts.live) make("span", bar, `Live, as of ${new Date().toLocaleTimeString()}.`, { class: "live" });
    if (!bar.childElementCount) bar.remove();
    showSwitched();
  }

  // A page that `polytask report --live` serves takes newer ones over, and stays as the reader left it.
  async function follow() {
    try {
      const version = await (await fetch("version")).text();
      if (version !== facts.live) {
        const page = new DOMParser().parseFromString(await (await fetch("./")).text(), "text/html");
        const open = new Set(all("details[open] > summary").map((summary) => summary.textContent));
        document.title = page.title;
        main.replaceWith(page.querySelector("main"));
        start();
        for (const summary of all("summary")) if (open.has(summary.textContent)) summary.parentElement.open = true;
      }
    } catch {
      for (const said of all(".live")) said.textContent = "No longer live: the server has ended.";
    }
    setTimeout(follow, 2000);
  }

  tip = make("div", document.body, "", { id: "tip", role: "status" });
  tip.hidden = true;
  document.addEventListener("pointermove", hover);
  document.addEventListener("pointerdown", hover);
  document.addEventListener("scroll", hideTip, { passive: true });
  document.addEventListener("click", click);
  document.addEventListener("keydown", key);
  let shown = null;
  addEventListener("beforeprint", () => {
    shown = state.step; // paper has the numbers of the end
    state.step = null;
    showStep();
  });
  addEventListener("afterprint", () => {
    state.step = shown;
    showStep();
  });
  start();
  if (facts.live) follow();
})();
