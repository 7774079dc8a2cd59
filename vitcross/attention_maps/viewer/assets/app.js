// Holds the state of the page, handles events, and draws the page.
const state = {
  example: 0, view: "layer", layer: 0, cross: 0, head: -1, query: { kind: "read" }, direction: "to", scale: "shared",
  top: "", opacity: 70, boxes: true, gray: true, compare: page.runs.length > 1, captures: [0, 0], label: null,
};
const panels = [newPanel(0), newPanel(1)];
let drawing = 0, playing = null;

function sidesShown() {
  if (page.runs.length > 1) return page.runs.map((run, i) => ({ run, capture: state.captures[i] }));
  const run = page.runs[0];
  return (state.compare ? [0, 1] : [0]).map((i) => ({ run, capture: state.captures[i] }));
}

function set(changes) {
  if ("view" in changes || "layer" in changes || "example" in changes) state.top = "";
  if ("example" in changes) state.label = null;
  Object.assign(state, changes);
  const view = viewOf(page.runs[0], state.view);
  if (["layer", "cross"].includes(state.view)) {
    const layers = state.view === "cross" ? page.runs[0].cross : page.runs[0].layers;
    state.head = Math.min(state.head, layers[state[state.view]].heads - 1);
  }
  if (!view.words && state.query.kind === "word") state.query = { kind: "read" };
  if (view.words && state.query.kind === "prefix") state.query = { kind: "read" };
  draw();
}

async function draw() {
  const ticket = ++drawing, sides = sidesShown();
  document.body.dataset.drawing = String(ticket);
  try {
    drawControls();
    drawExamples();
    const maps = await Promise.all(sides.map(shownMap));
    const scales = await scalesOf(sides, maps);
    if (ticket !== drawing) return;
    const box = document.getElementById("panels");
    if (box.childElementCount !== sides.length) box.replaceChildren(...panels.slice(0, sides.length).map((panel) => panel.root));
    document.body.classList.toggle("two", sides.length > 1);
    for (let i = 0; i < sides.length; i++) await drawPanel(panels[i], sides[i], i, sides, maps[i], scales[i]);
    if (ticket !== drawing) return;
    drawWords(sides[0], maps[0]);
    drawLabels(sides[0]);
    drawTrust(sides, maps);
    await drawOverview(sides[0]);
    if (ticket === drawing) document.body.dataset.drawn = String(ticket);
  } catch (error) {
    fail(`The page could not draw this map: ${error.message}`);
  }
}

async function drawPanel(panel, side, index, sides, map, scale) {
  drawHeading(panel, side, index, sides, map);
  await drawMap(panel, side, map, scale);
  drawMarks(panel, side, map);
  drawScale(panel, map, scale);
  drawReadOut(panel, side, map, scale);
  panel.shown = { side, map };
  panel.note.textContent = map.note || "";
  panel.missing.textContent = map.missing || "";
  panel.missing.hidden = !map.missing;
  panel.canvas.setAttribute("aria-label", `Map over the image. ${map.query ? "Query: " + map.query : map.missing || ""}. Arrow keys move the query, Escape returns to the read-out.`);
  panel.pointer.textContent = "";
}

function fail(message) {
  const box = document.getElementById("failure");
  box.textContent = message;
  box.hidden = false;
}

// Clicking the patch that is already the query returns to the read-out.
function choosePatch(row, column) {
  const same = state.query.kind === "patch" && state.query.row === row && state.query.column === column;
  set({ query: same ? { kind: "read" } : { kind: "patch", row, column } });
}

function chooseWord(index) {
  const view = viewOf(page.runs[0], state.view), views = viewsOf(page.runs[0]);
  const same = view.words && state.query.kind === "word" && state.query.index === index;
  const fitting = views.find(({ key }) => key === "words/" + state.view) || views.find(({ words }) => words);
  if (!view.words && !fitting) return;
  set({ view: view.words ? state.view : fitting.key, query: same ? { kind: "read" } : { kind: "word", index } });
}

function chooseMethod(method) {
  const run = page.runs[0], key = viewOf(run, method) ? method : "layer";
  set({ view: key, query: { kind: "read" }, ...(key === "layer" ? { layer: run.layers.length - 1, head: -1 } : {}) });
}

function placeOf(panel, event) {
  if (!panel.shown) return null;  // no map is drawn yet
  const { run } = panel.shown.side, box = panel.canvas.getBoundingClientRect();
  const y = (event.clientY - box.top) / box.height * run.size[0], x = (event.clientX - box.left) / box.width * run.size[1];
  const row = Math.floor(y / run.patch[0]), column = Math.floor(x / run.patch[1]);
  return row >= 0 && column >= 0 && row < run.grid[0] && column < run.grid[1] ? [row, column] : null;
}

// The state counts patches in the grid of the first run.
function inMainGrid(run, [row, column]) {
  const [rows, columns] = page.runs[0].grid;
  return [Math.floor((row + 0.5) * rows / run.grid[0]), Math.floor((column + 0.5) * columns / run.grid[1])];
}

function listenToPanel(panel, index) {
  panel.canvas.addEventListener("click", (event) => {
    const place = placeOf(panel, event);
    if (place) choosePatch(...inMainGrid(panel.shown.side.run, place));
  });
  panel.canvas.addEventListener("pointermove", (event) => point(panel, placeOf(panel, event)));
  panel.canvas.addEventListener("pointerleave", () => { panel.pointer.textContent = ""; });
  panel.canvas.addEventListener("keydown", moveQuery);
  panel.slider.input.addEventListener("input", () => { stop(); capture(index, Number(panel.slider.input.value)); });
  panel.slider.play.addEventListener("click", () => (playing ? stop() : play(index)));
}

function point(panel, place) {
  if (!place || !panel.shown.map.values) { panel.pointer.textContent = ""; return; }
  const { side, map } = panel.shown;
  const patch = place[0] * side.run.grid[1] + place[1];
  panel.pointer.textContent = `${placeName(side.run, patch)}: ${number(map.values[patch])}` +
    (map.unit === "attention" ? `, ${number(map.values[patch] / uniformOf(side.run))} x uniform` : "");
}

function capture(index, value) {
  const captures = [...state.captures];
  captures[index] = Math.max(0, Math.min(sidesShown()[index].run.captures.length - 1, value));
  set({ captures });
}

function play(index) {
  const run = sidesShown()[index].run, begin = state.captures[index] >= run.captures.length - 1 ? -1 : state.captures[index];
  let at = begin;
  panels[index].slider.play.textContent = "\u275a\u275a";
  panels[index].slider.play.setAttribute("aria-label", "Stop");
  const next = () => { at += 1; capture(index, at); if (at >= run.captures.length - 1) stop(); };
  playing = setInterval(next, 700);
  next();
}

function stop() {
  clearInterval(playing);
  playing = null;
  for (const { slider } of panels) { slider.play.textContent = "\u25b6"; slider.play.setAttribute("aria-label", "Play all captures"); }
}

function moveQuery(event) {
  const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }, move = moves[event.key];
  if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  const [rows, columns] = page.runs[0].grid, { query } = state;
  if (query.kind !== "patch") { set({ query: { kind: "patch", row: rows >> 1, column: columns >> 1 } }); return; }
  const inside = (value, size) => Math.max(0, Math.min(size - 1, value));
  set({ query: { kind: "patch", row: inside(query.row + move[0], rows), column: inside(query.column + move[1], columns) } });
}

const SHORTCUTS = {
  Escape: () => set({ query: { kind: "read" } }),
  "[": () => capture(0, state.captures[0] - 1),
  "]": () => capture(0, state.captures[0] + 1),
  "<": () => set({ example: Math.max(0, state.example - 1), query: { kind: "read" } }),
  ">": () => set({ example: Math.min(page.runs[0].examples.length - 1, state.example + 1), query: { kind: "read" } }),
  d: () => set({ direction: state.direction === "to" ? "by" : "to" }),
  b: () => set({ boxes: !state.boxes }),
};

function listen() {
  const on = (id, event, then) => document.getElementById(id).addEventListener(event, then);
  on("view", "change", (e) => set({ view: e.target.value }));
  on("layer", "change", (e) => set({ [state.view]: Number(e.target.value) }));
  on("head", "change", (e) => set({ head: Number(e.target.value) }));
  on("token", "change", (e) => { const [kind, index] = e.target.value.split(" "); if (kind !== "patch") set({ query: { kind, index: Number(index) } }); });
  on("opacity", "input", (e) => set({ opacity: Number(e.target.value) }));
  on("top", "input", (e) => set({ top: e.target.value }));
  on("boxes", "change", (e) => set({ boxes: e.target.checked }));
  on("gray", "change", (e) => set({ gray: e.target.checked }));
  on("compare", "change", (e) => set({ compare: e.target.checked, captures: e.target.checked ? [0, state.captures[0] || page.runs[0].captures.length - 1] : [state.captures[1], 0] }));
  for (const name of ["direction", "scale"]) {
    for (const input of document.querySelectorAll(`[name=${name}]`)) input.addEventListener("change", () => set({ [name]: input.value }));
  }
  on("text", "click", (e) => { const word = e.target.closest("[data-word]"); if (word) chooseWord(Number(word.dataset.word)); });
  panels.forEach(listenToPanel);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input[type=number], select");
    const then = SHORTCUTS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (then && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) then();
  });
}

const modelName = ({ text, cross, multilabel }) =>
  multilabel ? "Several labels per image" : !text ? "Classifier" : text.predicts_next ? "Captioner" : cross.length ? "Question answering" : "Dual encoder";

function stepsOf({ captures: all }) {
  const [first, last] = [all[0], all[all.length - 1]].map(({ step }) => number(step));
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

function begin() {
  const [run] = page.runs, captures = page.runs.map(({ captures: all }) => `${all.length} capture${all.length > 1 ? "s" : ""}`);
  document.getElementById("title").textContent = page.title || "Where the model looks";
  document.title = `${page.title || "Attention"} - viewer`;
  document.getElementById("about").textContent = `${modelName(run)}, ${run.grid.join(" x ")} patches, ` + page.runs.map((r, i) =>
    `${page.runs.length > 1 ? r.name + ": " : ""}${captures[i]}, ${stepsOf(r)}`).join("; ");
  document.getElementById("notes").replaceChildren(...page.notes.map((text) => make("li", { text })));
  document.getElementById("left-out").hidden = !page.notes.length;
  if (typeof DecompressionStream === "undefined") {
    fail("This browser cannot unpack the maps (it lacks DecompressionStream). Use Chrome or Edge 80, Firefox 113, Safari 16.4, or newer.");
    return;
  }
  const last = (r) => r.captures.length - 1;
  state.captures = page.runs.length > 1 ? page.runs.map(last) : [last(run), last(run)];
  state.layer = run.layers.length - 1;
  state.cross = Math.max(0, run.cross.length - 1);
  // Start with relevance, or with words where there are any.
  const order = !run.text ? ["relevance"] : ["words/relevance", "cross", "similarity"];
  state.view = order.find((key) => viewOf(run, key)) || "layer";
  if (viewOf(run, state.view).words) state.query = firstWord(run);
  listen();
  set({});
}

function firstWord(run) {
  const named = wordsOf(run).findIndex((word) => word[3]);
  return named >= 0 ? { kind: "word", index: named } : { kind: "read" };
}

begin();
