// Layers x heads as small maps of the present query; each is a button that chooses its layer and head.
let atlasShape = "";

async function drawOverview(side) {
  const { run } = side, view = state.view, box = document.getElementById("overview");
  const layers = view === "layer" ? run.layers : view === "cross" ? run.cross : [];
  box.hidden = !layers.length;
  if (box.hidden) return;
  buildAtlas(run, layers);
  const shared = state.scale !== "map";
  document.getElementById("overview-what").textContent = overviewWhat(shared);
  const cells = [...document.querySelectorAll("#atlas button")];
  const rows = await Promise.all(cells.map((cell) => atlasRow(side, layers, Number(cell.dataset.layer), Number(cell.dataset.head))));
  const tops = layers.map((_, l) => Math.max(...cells.map((cell, i) =>
    (Number(cell.dataset.layer) === l && rows[i] ? rows[i].max : 0))));
  cells.forEach((cell, i) => {
    const layer = Number(cell.dataset.layer), row = rows[i], chosen = state[view] === layer && state.head === Number(cell.dataset.head);
    cell.setAttribute("aria-pressed", String(chosen));
    cell.tabIndex = chosen ? 0 : -1;
    cell.classList.toggle("empty", !row);
    drawThumb(cell.firstChild, run, row, shared ? tops[layer] : row ? row.max : 0);
  });
  if (!cells.some((cell) => cell.tabIndex === 0) && cells.length) cells[0].tabIndex = 0;
}

function overviewWhat(shared) {
  return (shared ? "A row shares one scale." : "Each has a scale of its own.") + " Empty: not kept on this page. Choose one to see it above.";
}

function buildAtlas(run, layers) {
  const wanted = JSON.stringify([state.view, layers, run.grid]);
  if (wanted === atlasShape) return;
  atlasShape = wanted;
  const atlas = document.getElementById("atlas"), heads = Math.max(...layers.map((layer) => layer.heads));
  atlas.style.gridTemplateColumns = `auto repeat(${heads + 1}, minmax(34px, 64px))`;
  const cells = [make("span"), ...["mean", ...Array(heads).keys()].map((name) => make("span", { class: "muted", text: String(name) }))];
  layers.forEach((layer, l) => {
    cells.push(make("span", { class: "muted", text: layer.name.replace("cross-attention ", "") }));
    for (let head = -1; head < heads; head++) cells.push(head < layer.heads ? atlasCell(layer, l, head, run) : make("span"));
  });
  atlas.replaceChildren(...cells);
}

function atlasCell(layer, l, head, run) {
  const button = make("button", { type: "button", "data-layer": l, "data-head": head,
    "aria-label": `${layer.name}, ${head < 0 ? "mean of heads" : "head " + head}` }, make("canvas"));
  button.firstChild.style.aspectRatio = `${run.size[1]} / ${run.size[0]}`;
  button.addEventListener("click", () => set({ [state.view]: l, head }));
  return button;
}

async function atlasRow({ run, capture }, layers, l, head) {
  const layer = layers[l], part = head < 0 ? "mean" : "heads", name = `${layer.key}/${part}`, h = Math.max(head, 0);
  if (state.view === "cross") {
    const words = wordsOf(run), row = (w) => readRow(run, capture, state.example, name, h * words.length + w);
    if (state.query.kind === "word" && state.query.index < words.length) return row(state.query.index);
    const rows = await Promise.all(words.map((_, w) => row(w)));
    return rows.length && rows.every(Boolean) ? meanOf(rows) : null;
  }
  if (["patch", "prefix"].includes(state.query.kind)) {
    const matrix = await readMatrix(run, capture, state.example, name, h);
    const token = state.query.kind === "patch" ? run.prefix + patchOf(run) : Math.min(state.query.index, run.prefix - 1);
    if (matrix) return state.direction === "by" ? matrix.readBy(token) : matrix.reads(token);
    if (run.captures[capture].examples[state.example]?.matrices && capture === run.captures.length - 1) return null;
  }
  return readRow(run, capture, state.example, name, h);
}

function drawThumb(canvas, run, row, top) {
  const [height, width] = run.grid;
  canvas.width = width; canvas.height = height;
  if (!row) return;
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  row.values.forEach((value, p) => pixels.data.set([...colourOf(value, { top, bottom: 0 }), 255], 4 * p));
  context.putImageData(pixels, 0, 0);
}

// Arrow keys walk over the small maps; only the chosen one is a stop of the Tab key.
document.getElementById("atlas").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }, move = moves[event.key];
  const cell = event.target.closest("button");
  if (!move || !cell) return;
  event.preventDefault();
  const next = document.querySelector(`#atlas [data-layer="${Number(cell.dataset.layer) + move[0]}"][data-head="${Number(cell.dataset.head) + move[1]}"]`);
  if (next) { next.focus(); next.click(); }
});
