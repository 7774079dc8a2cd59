// Computes the map that is shown from the state. `side` is {run, capture}, the content of one panel.
const METHOD_NAMES = page.methods;
const READ_OUTS = {
  cls: "class token (the read-out)",
  gap: "read-out: mean over all patches",
  map: "read-out: mean over all patches",
};

// The views a run has. `pointwise`: every patch can be the query; `words`: words are the queries.
function viewsOf(run) {
  const names = new Set(run.layouts.flat().map(([name]) => name));
  const views = [{ key: "layer", name: "Attention of a layer", pointwise: true }];
  const map = (method) => ({ key: method, name: METHOD_NAMES[method], method });
  if (run.composed.includes("raw")) views.push({ ...map("raw"), name: "Raw attention, both towers" });
  if (names.has("map/rollout")) views.push({ ...map("rollout"), pointwise: true });
  for (const method of Object.keys(METHOD_NAMES)) {
    if (!["raw", "rollout"].includes(method) && names.has("map/" + method)) views.push(map(method));
  }
  if (run.cross.length) views.push({ key: "cross", name: "Cross-attention (words)", words: true });
  for (const method of ["relevance", "rollout"]) {
    if (names.has("words/" + method)) {
      views.push({ key: "words/" + method, name: METHOD_NAMES[method] + " of each word", words: true });
    }
  }
  if (names.has("similarity/text")) views.push({ key: "similarity", name: "Similarity to the text", words: true });
  return views;
}

const viewOf = (run, key) => viewsOf(run).find((view) => view.key === key);

// A second run may have other layers: its last layer matches the last, any other one the same number.
function layerOf(run, view) {
  const layers = view === "cross" ? run.cross : run.layers;
  if (!layers.length) return null;
  const main = view === "cross" ? page.runs[0].cross : page.runs[0].layers;
  const chosen = view === "cross" ? state.cross : state.layer;
  return layers[chosen >= main.length - 1 ? layers.length - 1 : Math.min(chosen, layers.length - 1)];
}

const headOf = (layer) => (state.head >= 0 ? Math.min(state.head, layer.heads - 1) : -1);

// The query patch of this run's grid, from its place in the first run's.
function patchOf(run) {
  const [rows, columns] = run.grid, [mainRows, mainColumns] = page.runs[0].grid;
  const row = Math.floor((state.query.row + 0.5) * rows / mainRows);
  const column = Math.floor((state.query.column + 0.5) * columns / mainColumns);
  return row * columns + column;
}

const placeName = (run, patch) => `row ${Math.floor(patch / run.grid[1]) + 1}, column ${patch % run.grid[1] + 1}`;
const patchName = (run, patch) => `patch in ${placeName(run, patch)}`;
const wordsOf = (run) => run.examples[state.example].words || [];

// {values, mass, max, query, unit, signed, leftOut, note, missing, patch, shares}; `missing` explains why there is no map.
async function shownMap(side) {
  const { run, capture } = side;
  const view = viewOf(run, state.view);
  if (!view) return { missing: `${run.name || "This run"} has no such view.` };
  if (!run.captures[capture].examples[state.example]) {
    return { missing: `The capture at step ${run.captures[capture].step} does not contain this image.` };
  }
  const found = view.words ? await wordMap(side, view) : await tokenMap(side, view);
  if (found.values && !found.values.every(Number.isFinite)) return { ...found, values: null,
    missing: "The values of this map are not finite: the model diverged." };
  return found;
}

async function tokenMap(side, view) {
  const { run, capture } = side, layer = layerOf(run, "layer");
  const head = view.key === "layer" ? headOf(layer) : -1;
  const part = head < 0 ? "mean" : "heads";
  const name = view.key === "layer" ? `${layer.key}/${part}` : "map/" + view.key;
  const title = view.key === "layer" ? `${layer.name}, ${head < 0 ? "mean of heads" : "head " + head}` : view.name;
  const patch = state.query.kind === "patch" ? patchOf(run) : -1;
  const base = { title, unit: unitOf(view.key), patch, signed: view.key === "leave_one_out" };
  const wanted = isToken(run, view);
  if (wanted && view.pointwise) {
    const matrix = await readMatrix(run, capture, state.example, view.key === "layer" ? name : "rollout", Math.max(head, 0));
    if (matrix) return { ...base, ...tokenRow(side, matrix, patch) };
  }
  const ofLabel = view.key === "relevance" && run.multilabel, label = ofLabel ? labelAt(side) : -1;
  if (ofLabel && label < 0) return { ...base, missing: `"${state.label}" is neither there nor predicted at this capture.` };
  const row = ofLabel ? await readRow(run, capture, state.example, "labels/relevance", label)
    : await readSigned(run, capture, state.example, name, Math.max(head, 0));
  if (!row) return { ...base, missing: notKept(side, title) };
  const target = ofLabel ? labelName(side) : run.captures[capture].examples[state.example].target;
  const query = view.key === "layer" || view.key === "rollout" || !target
    ? (layer.key === "pool" && view.key === "layer" ? "query of the attention pooling (the read-out)" : READ_OUTS[run.pooling])
    : `target "${target}"`;
  return { ...base, ...row, query, direction: "to", leftOut: leftOut(run, view.key, row.mass), patch: -1, marked: patch,
    note: wanted ? whyReadOut(side, view, title) : state.direction === "by" && view.pointwise
      ? "The read-out is not a token, so nothing attends to it: choose a patch." : "" };
}

// Whether the query is one token: a patch, a prefix token, or, for the direction "attended by", the class token.
function isToken(run, view) {
  if (state.query.kind !== "read") return true;
  return state.direction === "by" && view.pointwise && run.pooling === "cls";
}

const tokenOf = (run) => (state.query.kind === "patch" ? run.prefix + patchOf(run) : Math.min(state.query.index || 0, run.prefix - 1));

function tokenRow({ run }, matrix, patch) {
  const token = tokenOf(run);
  const towers = state.view === "rollout" && run.composed.includes("rollout") ? ", in the image tower" : "";
  const query = (patch >= 0 ? patchName(run, patch) : prefixName(run, token)) + towers;
  const row = state.direction === "by" ? matrix.readBy(token) : matrix.reads(token);
  const left = state.direction === "by" ? row.prefix : leftOut(run, "layer", row.mass);
  return { ...row, query, direction: state.direction, leftOut: left };
}

function prefixName(run, token) {
  if (run.pooling === "cls") return token === 0 ? "class token" : `register ${token}`;
  return `prefix token ${token + 1}`;
}

// Rows of softmax weights, and their rollout, sum to 1: the rest of a row goes to the prefix tokens.
function leftOut(run, view, mass) {
  if (!run.prefix || run.composed.includes(view)) return null;
  return ["layer", "rollout", "cross", "raw"].includes(view) ? Math.max(0, 1 - mass) : null;
}

function notKept({ run, capture }, title) {
  return `This page has no room for ${title} at step ${number(run.captures[capture].step)}.`;
}

function whyReadOut({ run, capture }, view, title) {
  if (!view.pointwise) return "This map explains the whole answer and has no other query.";
  const last = run.captures.length - 1;
  const why = capture < last ? `only the last capture has single patches` : `there was no room for patches of ${title}`;
  return `The read-out is shown: ${why}.`;
}

async function wordMap(side, view) {
  const { run, capture } = side, words = wordsOf(run);
  const layer = view.key === "cross" ? layerOf(run, "cross") : null, head = layer ? headOf(layer) : -1;
  const title = layer ? `${layer.name}, ${head < 0 ? "mean of heads" : "head " + head}` : view.name;
  const name = layer ? `${layer.key}/${head < 0 ? "mean" : "heads"}` : view.key === "similarity" ? "similarity/words" : view.key;
  const row = (w) => readSigned(run, capture, state.example, name, Math.max(head, 0) * words.length + w);
  const rows = await Promise.all(words.map((_, w) => row(w)));
  const base = { title, unit: unitOf(view.key), signed: view.key === "similarity", direction: "to" };
  if (!rows.every(Boolean) || !rows.length) return { ...base, missing: words.length ? notKept(side, title) : "This text has no words." };
  const patch = state.query.kind === "patch" ? patchOf(run) : -1;
  const shares = patch >= 0 ? wordsOfPatch(view, rows, patch) : null;
  if (state.query.kind === "word" && state.query.index < words.length) {
    const found = rows[state.query.index];
    return { ...base, ...found, query: `word "${words[state.query.index][0]}"`, leftOut: leftOut(run, view.key, found.mass), patch: -1 };
  }
  const whole = view.key === "similarity"
    ? await readSigned(run, capture, state.example, "similarity/text") : meanOf(rows);
  const all = view.key === "similarity" ? "the whole text" : "mean over all words";
  const query = patch < 0 ? all : `${patchName(run, patch)}, whose words are shaded; the map is of ${all}`;
  return { ...base, ...whole, query, patch: -1, marked: patch, leftOut: leftOut(run, view.key, whole.mass), shares,
    direction: patch >= 0 ? "words" : "to",
    shading: patch >= 0 ? `The words are shaded by ${view.key === "similarity" ? "their cosine with" : "their share of the attention that"} ${view.key === "similarity" ? "" : "goes to "}the ${patchName(run, patch)}.` : "" };
}

function meanOf(rows) {
  const values = rows[0].values.map((_, p) => rows.reduce((sum, row) => sum + row.values[p], 0) / rows.length);
  return { values, mass: rows.reduce((sum, row) => sum + row.mass, 0) / rows.length, max: Math.max(...values) };
}

// How the attention that a patch receives divides among the words; cosines stay what they are.
function wordsOfPatch(view, rows, patch) {
  const values = rows.map((row) => row.values[patch]);
  if (view.key === "similarity") return values;
  const total = values.reduce((a, b) => a + b, 0);
  return values.map((value) => (total > 0 ? value / total : 0));
}

function unitOf(view) {
  if (view === "similarity") return "cosine";
  if (view === "leave_one_out") return "drop";
  return view.includes("relevance") ? "relevance" : "attention";
}
