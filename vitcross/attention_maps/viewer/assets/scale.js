// Computes the color scale: its top and its bar, and formats numbers.
const number = (value) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "-";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return size >= 1e-4 && size < 1e4 ? String(Number(value.toPrecision(3))) : value.toExponential(1);
};
// Trust numbers are areas under probabilities, written with two decimals, or three where they are small.
const area = (value) => (Number.isFinite(value) ? value.toFixed(Math.abs(value) < 0.0995 ? 3 : 2) : "-");
const signed = (value) => (value > 0 ? "+" : "") + area(value);
const percent = (share) => {
  if (share >= 0.995 && share < 1) return ">99 %";
  if (share > 0 && share < 0.005) return "<1 %";
  return `${(100 * share).toFixed(0)} %`;
};

const UNITS = { attention: "attention", relevance: "relevance", drop: "change of the probability", cosine: "cosine" };
const uniformOf = (run) => 1 / (run.prefix + patchesOf(run));

// The top of an absolute scale until a number is typed.
function absoluteTop(run, unit) {
  if (unit === "attention") return Math.min(1, 10 * uniformOf(run));
  return 1;
}

// Attention sums to 1 and can be compared through a run. Relevance grows with the answer's score, so that one late
// capture would leave all others black: like every other quantity, its scale covers only what is shown now.
const throughRun = () => unitOf(state.view) === "attention";

// The largest value for this view, layer, image and query in all captures (`throughRun`), or else in the maps shown,
// for a word including all words of its text.
async function sharedTop(sides, shown) {
  const view = viewOf(sides[0].run, state.view);
  let top = 0;
  for (const map of shown) if (map.values) for (const v of map.values) top = Math.max(top, Math.abs(v));
  const take = (row) => { if (row) top = Math.max(top, row.max || 0); };
  if (!throughRun()) {
    for (const { run, capture } of sides) {
      if (view.words && state.query.kind === "word") for (const row of await allWordRows(run, capture, view)) take(row);
    }
    return top;
  }
  for (const { run, capture } of sides) {
    const pointwise = view && view.pointwise && isToken(run, view);
    const layer = layerOf(run, state.view === "cross" ? "cross" : "layer");
    for (let c = 0; c < run.captures.length; c++) {
      if (state.view === "layer") {
        for (let h = 0; h < layer.heads && !pointwise; h++) take(await readRow(run, c, state.example, layer.key + "/heads", h));
      } else if (!view.words) {
        take(await readSigned(run, c, state.example, "map/" + state.view));
      } else if (state.query.kind === "word") {
        for (const row of await wordRows(run, c, layer, view)) take(row);
      }
    }
    if (pointwise && state.view === "layer") await matrixTop(run, capture, layer, take);
  }
  return top;
}

async function matrixTop(run, capture, layer, take) {
  for (let h = 0; h < layer.heads; h++) {
    const matrix = await readMatrix(run, capture, state.example, layer.key + "/heads", h);
    if (!matrix) return;
    take(state.direction === "by" ? matrix.readBy(tokenOf(run)) : matrix.reads(tokenOf(run)));
  }
}

function wordRows(run, capture, layer, view) {
  const read = (name, index) => readRow(run, capture, state.example, name, index);
  if (view.key !== "cross") return Promise.all([read(view.key === "similarity" ? "similarity/words" : view.key, state.query.index)]);
  const count = wordsOf(run).length;
  return Promise.all(Array.from({ length: layer.heads }, (_, h) => read(`${layer.key}/heads`, h * count + state.query.index)));
}

function allWordRows(run, capture, view) {
  const name = view.key === "similarity" ? "similarity/words" : view.key;
  return Promise.all(wordsOf(run).map((_, w) => readSigned(run, capture, state.example, name, w)));
}

// {bottom, top, what}: per map, shared or absolute. The bottom is 0, or -top where values are negative.
async function scalesOf(sides, shown) {
  const shared = state.scale === "shared" ? await sharedTop(sides, shown) : 0;
  return shown.map((map, i) => {
    if (!map.values) return null;
    const own = Math.max(0, ...map.values.map((v) => Math.abs(v)));
    let top = own, what = "the largest value of this map";
    if (state.scale === "shared") [top, what] = [shared, sharedMeaning(sides)];
    if (state.scale === "absolute") {
      const typed = Number(state.top);
      const chosen = state.top !== "" && typed > 0;
      top = chosen ? typed : absoluteTop(sides[i].run, map.unit);
      what = chosen ? "the number that you chose" : map.unit === "attention" ? "10 times uniform attention" : `a ${UNITS[map.unit]} of 1`;
    }
    const negative = map.signed && map.values.some((v) => v < 0);
    return { top, bottom: negative ? -top : 0, what };
  });
}

function sharedMeaning(sides) {
  if (!throughRun()) {
    const words = viewOf(sides[0].run, state.view)?.words && state.query.kind === "word" ? "all words of this text" : "";
    if (words) return `the largest value among ${words}, ${sides.length > 1 ? "both maps shown" : "this capture"}`;
    return sides.length > 1 ? "the largest value of the two maps shown" : "the largest value of this map";
  }
  const captures = sides[0].run.captures.length > 1 || sides.length > 1 ? "captures" : "";
  const view = viewOf(sides[0].run, state.view);
  const heads = state.view === "layer" || (state.view === "cross" && state.query.kind === "word") ? "heads of this layer" : "";
  if (view && view.pointwise && isToken(sides[0].run, view)) return `the largest value among the ${heads || "maps shown"}`;
  const among = [heads, captures].filter(Boolean).join(" and ");
  return among ? `the largest value among all ${among}` : "the largest value of this map";
}

// The hint below the control for "shared".
function sharedHint() {
  if (throughRun()) return "All captures, and all heads of a layer, share one top: they can be compared.";
  const unit = unitOf(state.view);
  const why = unit === "relevance" ? "Relevance grows with the answer's score: captures have no common scale." : "Other captures have their own.";
  return `Only the maps shown share one top: both sides of a comparison, all words of a text. ${why}`;
}

// Below 0 the colors go from the table's dark end to red.
function colorOf(value, scale) {
  if (value < 0 && scale.bottom < 0) {
    const share = Math.min(1, value / scale.bottom), dark = COLORS[0];
    return [255, 92, 92].map((c, k) => Math.round(dark[k] + share * (c - dark[k])));
  }
  const share = scale.top > 0 ? Math.min(1, Math.max(0, value / scale.top)) : 0;
  return COLORS[Math.min(255, Math.floor(share * 255 + 0.5))];
}

function drawBar(canvas, scale) {
  canvas.width = 256; canvas.height = 1;
  const context = canvas.getContext("2d"), pixels = context.createImageData(256, 1);
  for (let x = 0; x < 256; x++) {
    const color = colorOf(scale.bottom + (scale.top - scale.bottom) * x / 255, scale);
    pixels.data.set([...color, 255], 4 * x);
  }
  context.putImageData(pixels, 0, 0);
}
