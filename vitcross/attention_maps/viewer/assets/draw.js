// Draws one panel: the image under its map, outlines, the color bar, the read-out.
const SVG = "http://www.w3.org/2000/svg";
const LONG_SIDE = 640; // largest side of the canvas in pixels, unless the image has more

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(options)) {
    if (key === "text") element.textContent = value;
    else if (key === "class") element.className = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

function shape(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const images = new Map();
function imageOf(example) {
  if (!images.has(example.image)) {
    images.set(example.image, new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(image);
      image.onerror = () => reject(new Error("An image of this page is damaged."));
      image.src = example.image;
    }));
  }
  return images.get(example.image);
}

function newPanel(index) {
  const panel = {
    title: make("h2"), step: make("p", { class: "muted" }),
    canvas: make("canvas", { tabindex: "0", role: "application", id: `map-${index}`,
      "aria-describedby": `read-out-${index}` }),
    marks: shape("svg", { "aria-hidden": "true", preserveAspectRatio: "none" }),
    missing: make("p", { class: "missing" }), bar: make("canvas", { class: "bar", "aria-hidden": "true" }),
    low: make("span"), middle: make("span"), high: make("span"), what: make("p", { class: "muted scale-what" }),
    readout: make("dl", { class: "readout", id: `read-out-${index}`, "aria-live": "polite" }),
    pointer: make("p", { class: "pointer" }), note: make("p", { class: "note" }),
    slider: newSlider(index),
  };
  panel.frame = make("div", { class: "frame" }, panel.canvas, panel.marks, panel.pointer, panel.missing);
  panel.root = make("article", { class: "panel card" },
    make("div", { class: "heading" }, panel.title, panel.step), panel.slider.root, panel.frame,
    make("div", { class: "bar-row" }, panel.bar, make("div", { class: "ticks" }, panel.low, panel.middle, panel.high)), panel.what,
    panel.note, panel.readout);
  return panel;
}

function newSlider(index) {
  const slider = {
    input: make("input", { type: "range", min: "0", step: "1", id: `capture-${index}` }),
    label: make("label", { for: `capture-${index}`, text: "Capture" }),
    output: make("output", { for: `capture-${index}` }),
    play: make("button", { type: "button", class: "play", "aria-label": "Play all captures", text: "\u25b6" }),
  };
  slider.root = make("div", { class: "slider" }, slider.label, slider.play, slider.input, slider.output);
  return slider;
}

// Patch edges in canvas pixels; a grid that reaches beyond the image is cut off there.
function edges(run, canvas) {
  const sx = canvas.width / run.size[1], sy = canvas.height / run.size[0];
  return {
    x: (c) => Math.min(canvas.width, Math.round(c * run.patch[1] * sx)),
    y: (r) => Math.min(canvas.height, Math.round(r * run.patch[0] * sy)),
  };
}

async function drawMap(panel, side, map, scale) {
  const { run } = side, example = run.examples[state.example], image = await imageOf(example);
  const [height, width] = run.size, zoom = Math.max(1, Math.floor(LONG_SIDE / Math.max(height, width)));
  panel.canvas.width = width * zoom; panel.canvas.height = height * zoom;
  const context = panel.canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = image.naturalWidth > panel.canvas.width;
  context.drawImage(image, 0, 0, panel.canvas.width, panel.canvas.height);
  // The image is gray so that all colors come from the map.
  if (state.gray && map.values) grayOut(context, panel.canvas);
  if (map.values) {
    const { x, y } = edges(run, panel.canvas);
    context.globalAlpha = state.opacity / 100;
    for (let p = 0; p < map.values.length; p++) {
      const row = Math.floor(p / run.grid[1]), column = p % run.grid[1];
      context.fillStyle = `rgb(${colorOf(map.values[p], scale).join(",")})`;
      context.fillRect(x(column), y(row), x(column + 1) - x(column), y(row + 1) - y(row));
    }
    context.globalAlpha = 1;
  }
}

function grayOut(context, canvas) {
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height), data = pixels.data;
  for (let i = 0; i < data.length; i += 4) data[i] = data[i + 1] = data[i + 2] = lightness(data.subarray(i, i + 3));
  context.putImageData(pixels, 0, 0);
}

function drawMarks(panel, side, map) {
  const { run, capture } = side, entry = run.captures[capture].examples[state.example];
  const [height, width] = run.size, svg = panel.marks;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  const outline = (kind, top, left, bottom, right) => {
    const place = { x: left, y: top, width: Math.max(0, right - left), height: Math.max(0, bottom - top) };
    svg.append(shape("rect", { ...place, class: kind + " under" }), shape("rect", { ...place, class: kind }));
  };
  const patch = (kind, p) => {
    const row = Math.floor(p / run.grid[1]), column = p % run.grid[1], [h, w] = run.patch;
    outline(kind, row * h, column * w, Math.min(height, (row + 1) * h), Math.min(width, (column + 1) * w));
  };
  for (const p of entry ? entry.artifacts : []) patch("artifact", p);
  if (state.boxes) {
    const boxes = (kind, found) => {
      for (const [top, left, bottom, right] of found) outline(kind, top * height, left * width, bottom * height, right * width);
    };
    boxes("truth", truthBoxes(run, entry));
    boxes("mark", [run.examples[state.example].mark].filter(isKnown));
  }
  const query = map.patch >= 0 ? map.patch : map.marked >= 0 ? map.marked : -1;
  if (query >= 0) patch("query", query);
}

// The boxes of the chosen word or label, else of the object that decides the label, else of all words.
function truthBoxes(run, entry) {
  const example = run.examples[state.example], words = example.words || [];
  if (state.query.kind === "word" && viewOf(run, state.view)?.words) return (words[state.query.index]?.[3] || []).filter(isKnown);
  if (example.label_boxes) return labelBoxes(run, example, entry).filter(isKnown);
  if (isKnown(example.box)) return [example.box];
  return words.flatMap((word) => word[3] || []).filter(isKnown);
}

function isKnown(box) {
  return box && box.every((v) => v !== null) && box[2] > box[0] && box[3] > box[1];
}

function drawScale(panel, map, scale) {
  panel.bar.parentElement.hidden = panel.what.hidden = !scale;
  if (!scale) return;
  drawBar(panel.bar, scale);
  panel.low.textContent = number(scale.bottom);
  panel.middle.textContent = number((scale.bottom + scale.top) / 2);
  panel.high.textContent = number(scale.top);
  const clipped = [...map.values].filter((v) => Math.abs(v) > scale.top * 1.0001).length;
  panel.what.textContent = UNITS[map.unit] + (clipped ? `; ${clipped} ${clipped > 1 ? "patches lie" : "patch lies"} above the top` : "");
}

function drawReadOut(panel, side, map, scale) {
  const rows = [];
  if (map.values) {
    const most = map.values.reduce((best, v, p) => (v > map.values[best] ? p : best), 0);
    const uniform = map.unit === "attention" ? `, ${number(map.values[most] / uniformOf(side.run))} x uniform` : "";
    rows.push(["Query", map.query], ["Direction", directionName(map)]);
    rows.push([map.unit === "cosine" ? "Mean" : "Shown mass",
      number(map.unit === "cosine" ? map.mass / map.values.length : map.mass)]);
    if (map.leftOut !== null && map.leftOut !== undefined) {
      rows.push(["Left out", `${map.direction === "by" ? number(map.leftOut) : percent(map.leftOut)} (${prefixTokens(side.run)})`]);
    }
    rows.push(["Maximum", `${number(map.values[most])} at ${placeName(side.run, most)}${uniform}`]);
    rows.push(["Top of the scale", `${number(scale.top)}, ${scale.what}`]);
  }
  panel.readout.replaceChildren(...rows.map(([name, value]) =>
    make("div", {}, make("dt", { text: name }), make("dd", { text: value }))));
}

function directionName(map) {
  if (map.unit === "cosine") return "similarity";
  if (map.unit === "relevance" || map.unit === "drop") return "counts for the target";
  if (map.direction === "words") return "attended by the words";
  return map.direction === "by" ? "attended by the patches" : "attends to the patches";
}

function prefixTokens(run) {
  if (run.pooling !== "cls") return run.prefix > 1 ? `${run.prefix} prefix tokens` : "prefix token";
  const registers = run.prefix - 1;
  return "class token" + (registers ? ` and ${registers} register${registers > 1 ? "s" : ""}` : "");
}
