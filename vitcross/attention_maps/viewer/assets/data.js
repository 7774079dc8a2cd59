// Reads the page's data: its JSON, and blocks of rows that are unpacked on first use.
const page = JSON.parse(document.getElementById("payload").textContent);

// The formula of rows.py: squares below code 10, then even steps.
const LEVELS = Float64Array.from({ length: 256 }, (_, c) => c < 10 ? 0.02 * (c / 10) ** 2 : 0.02 + 0.004 * (c - 10));
const COLORS = Array.from({ length: 256 }, (_, i) =>
  [0, 2, 4].map((k) => parseInt(page.colors.substr(6 * i + k, 2), 16)));

const unpacked = new Map();

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// One block: row r has scale[r], mass[r] (its exact sum) and `width` codes.
function block(number, width) {
  if (!unpacked.has(number)) {
    unpacked.set(number, inflate(page.blocks[number]).then((buffer) => {
      const rows = buffer.byteLength / (8 + width);
      const view = new DataView(buffer);
      const floats = (start) => Float32Array.from({ length: rows }, (_, r) => view.getFloat32(start + 4 * r, true));
      return { width, scale: floats(0), mass: floats(4 * rows), codes: new Uint8Array(buffer, 8 * rows) };
    }));
  }
  return unpacked.get(number);
}

function rowOf(rows, r) {
  const codes = rows.codes.subarray(r * rows.width, (r + 1) * rows.width);
  return { values: Float64Array.from(codes, (c) => rows.scale[r] * LEVELS[c]), mass: rows.mass[r], max: rows.scale[r] };
}

const patchesOf = (run) => run.grid[0] * run.grid[1];

// Row `index` of a read-out table of one capture and image; null where the page has none.
async function readRow(run, capture, example, name, index = 0) {
  const entry = run.captures[capture].examples[example];
  if (!entry) return null;
  let start = 0;
  for (const [key, count] of run.layouts[entry.layout]) {
    if (key === name) {
      return index < count ? rowOf(await block(entry.rows, patchesOf(run)), start + index) : null;
    }
    start += count;
  }
  return null;
}

// A row with negative values, stored as two tables.
async function readSigned(run, capture, example, name, index = 0) {
  const above = await readRow(run, capture, example, name, index);
  const below = await readRow(run, capture, example, name + "-", index);
  if (!above || !below) return above;
  return { values: above.values.map((v, p) => v - below.values[p]), mass: above.mass - below.mass, max: above.max };
}

// The weights of every token: `reads(t)` a row over patches, `readBy(t)` what the patches read of token t.
async function readMatrix(run, capture, example, name, head = 0) {
  const entry = run.captures[capture].examples[example];
  const number = entry && entry.matrices[name];
  if (number === undefined || number === null) return null;
  const patches = patchesOf(run), tokens = run.prefix + patches, first = head * (tokens + run.prefix);
  const rows = await block(number, patches);
  return {
    reads: (token) => rowOf(rows, first + token),
    readBy: (token) => {
      if (token < run.prefix) return rowOf(rows, first + tokens + token);
      const at = (row) => rows.scale[first + row] * LEVELS[rows.codes[(first + row) * patches + token - run.prefix]];
      const values = Float64Array.from({ length: patches }, (_, p) => at(run.prefix + p));
      let prefix = 0;
      for (let k = 0; k < run.prefix; k++) prefix += at(k);
      return { values, mass: values.reduce((a, b) => a + b, 0), max: Math.max(...values), prefix };
    },
  };
}
