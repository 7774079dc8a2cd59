// Draws layers x heads as small maps of the current query; each is a button that chooses its layer and head.
let atlasShape = "";

async function drawOverview(side) {
  const { run } = side, kind = atlasKind(run), layers = kind === "cross" ? run.cross : run.layers;
  buildAtlas(run, layers, kind);
  const shared = state.scale !== "map";
  document.getElementById("overview-what").textContent = overviewWhat(shared, kind);
  const cells = [...document.querySelectorAll("#atlas button")];
  const rows = await Promise.all(cells.map((cell) => atlasRow(side, layers, kind, Number(cell.dataset.layer), Number(cell.dataset.head))));
  const tops = layers.map((_, l) => Math.max(...cells.map((cell, i) =>
    (Number(cell.dataset.layer) === l && rows[i] ? rows[i].max : 0))));
  cells.forEach((cell, i) => {
    const layer = Number(cell.dataset.layer), row = rows[i], chosen = state.view === kind && state[kind] === layer && state.head === Number(cell.dataset.head);
    cell.setAttribute("aria-pressed", String(chosen));
    cell.tabIndex = chosen ? 0 : -1;
    cell.classList.toggle("empty", !row);
    drawThumb(cell.firstChild, run, row, shared ? tops[layer] : row ? row.max : 0);
  });
  if (!cells.some((cell) => cell.tabIndex === 0) && cells.length) cells[0].tabIndex = 0;
}

// Word views show the layers in which words read patches, the others those in which patches read each other.
const atlasKind = (run) => (viewOf(run, state.view).words && run.cross.length ? "cross" : "layer");

function overviewWhat(shared, kind) {
  const what = kind === "cross" ? "What the word reads, " : "What the query reads, ";
  return what + "layer by layer. " + (shared ? "A row shares one scale." : "Each has its own scale.") + " An empty one is not on this page. Choose one to see it above.";
}

function buildAtlas(run, layers, kind) {
  const wanted = JSON.stringify([kind, layers, run.grid]);
  if (wanted === atlasShape) return;
  atlasShape = wanted;
  const atlas = document.getElementById("atlas"), heads = Math.max(...layers.map((layer) => layer.heads));
  atlas.style.gridTemplateColumns = `auto repeat(${heads + 1}, minmax(34px, 64px))`;
  const cells = [make("span"), ...["mean", ...Array(heads).keys()].map((name) => make("span", { class: "muted", text: String(name) }))];
  layers.forEach((layer, l) => {
    cells.push(make("span", { class: "muted", text: layer.name.replace("cross-attention ", "") }));
    for (let head = -1; head < heads; head++) cells.push(head < layer.heads ? atlasCell(layer, l, head, run, kind) : make("span"));
  });
  atlas.replaceChildren(...cells);
}

function atlasCell(layer, l, head, run, kind) {
  const button = make("button", { type: "button", "data-layer": l, "data-head": head,
    "aria-label": `${layer.name}, ${head < 0 ? "mean of heads" : "head " + head}` }, make("canvas"));
  button.addEventListener("click", () => set({ view: kind, [kind]: l, head }));
  return button;
}

async function atlasRow({ run, capture }, layers, kind, l, head) {
  const layer = layers[l], part = head < 0 ? "mean" : "heads", name = `${layer.key}/${part}`, h = Math.max(head, 0);
  if (kind === "cross") {
    const words = wordsOf(run), row = (w) => readRow(run, capture, state.example, name, h * words.length + w);
    if (state.query.kind === "word" && state.query.index < words.length) return row(state.query.index);
    const rows = await Promise.all(words.map((_, w) => row(w)));
    return rows.length && rows.every(Boolean) ? meanOf(rows) : null;
  }
  const view = viewOf(run, state.view);
  if (view.pointwise && isToken(run, view)) {
    const matrix = await readMatrix(run, capture, state.example, name, h);
    if (matrix) return state.direction === "by" ? matrix.readBy(tokenOf(run)) : matrix.reads(tokenOf(run));
    if (capture === run.captures.length - 1) return null; // no room; beside rows of a patch, read-outs would mislead
  }
  return readRow(run, capture, state.example, name, h);
}

function drawThumb(canvas, run, row, top) {
  const [height, width] = run.grid;
  canvas.width = width; canvas.height = height;
  canvas.style.aspectRatio = `${run.size[1]} / ${run.size[0]}`;
  if (!row) return;
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  row.values.forEach((value, p) => pixels.data.set([...colorOf(value, { top, bottom: 0 }), 255], 4 * p));
  context.putImageData(pixels, 0, 0);
}

// Arrow keys move between the small maps; the Tab key reaches only the chosen one.
document.getElementById("atlas").addEventListener("keydown", (event) => {
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }, move = moves[event.key];
  const cell = event.target.closest("button");
  if (!move || !cell) return;
  event.preventDefault();
  const next = document.querySelector(`#atlas [data-layer="${Number(cell.dataset.layer) + move[0]}"][data-head="${Number(cell.dataset.head) + move[1]}"]`);
  if (next) { next.focus(); next.click(); }
});
