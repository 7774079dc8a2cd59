// Draws the trust panel: the measurements of the method that is shown, and those of all others below.
const VERDICTS = {
  1: ["follows the model", "good", "Dropping patches in this map's order changes the answer faster than random orders do."],
  0: ["no better than random", "bad", "Random orders of patches do nearly as well, the whole interval is below +0.1: bright patches need not matter to the model."],
  [-1]: ["nothing to explain", "none", "Dropping patches hardly changes the prediction, so no map can show which patches matter."],
  [-2]: ["cannot tell", "none", ""],
};

// The method whose trust applies to the map shown, or null and the reason.
function measuredMethod({ run }, map) {
  const view = viewOf(run, state.view);
  if (!view) return [null, ""];
  if (view.words) return [null, "Trust is not measured for single words, but for the map of the whole answer: raw, rollout, relevance, leave one out."];
  const single = view.pointwise && isToken(run, view);
  if (view.key !== "layer") return single ? [null, "The row of a single patch does not explain an answer. Trust is measured for the read-out."] : [view.key, ""];
  const last = layerOf(run, "layer") === run.layers[run.layers.length - 1];
  if (last && state.head < 0 && !single && !run.text) return ["raw", ""];
  return [null, "Trust is measured for raw (mean of heads of the last layer, as the read-out reads it), rollout and relevance, not for single layers, heads or patches."];
}

// The report of this capture, or the nearest earlier one that has the method.
function reportOf({ run, capture }, method) {
  for (let c = capture; c >= 0; c--) {
    const report = run.captures[c].trust;
    if (report && (!method || report.fidelity[method])) return [report, c];
  }
  return [null, -1];
}

function drawTrust(sides, maps) {
  const box = document.getElementById("trust"), limits = gaugeLimits(sides, maps);
  box.replaceChildren(make("h2", { text: "Can this map be trusted?" }),
    make("div", { class: "sides" }, ...sides.map((side, i) => trustOf(side, maps[i], sides.length > 1 ? sideName(side, i, sides) : "", limits))));
}

// Both sides have the same limits, so that their gaps can be compared by eye.
function gaugeLimits(sides, maps) {
  const ends = [0, 0.02];
  sides.forEach((side, i) => {
    const [method] = measuredMethod(side, maps[i]), [report] = reportOf(side, method);
    const row = report && report.fidelity[method], reference = report && report.fidelity.leave_one_out;
    if (row) ends.push(row.gap_low, row.gap_high, row.gap, reference ? reference.gap : 0);
  });
  return [Math.min(...ends), Math.max(...ends)];
}

function trustOf(side, map, name, limits) {
  const [method, why] = measuredMethod(side, map);
  const [report, at] = reportOf(side, method);
  const box = make("div", { class: "trust-side" }, name && make("h3", { text: name }));
  if (why) box.append(make("p", { class: "muted", text: why }));
  if (!report) {
    box.append(make("p", { class: "chip none", text: "not measured at this capture" }));
    return box;
  }
  const step = side.run.captures[at].step;
  if (method) box.append(...detail(side, report, method, limits));
  box.append(methodTable(side, report, method));
  box.append(make("p", { class: "muted small", text:
    (at < side.capture ? `Not measured at this capture; these numbers are of step ${number(step)}, the nearest before it. ` : `Measured at step ${number(step)}, `) +
    `${at < side.capture ? "Measured " : ""}on ${report.source}. Dropping patches changes the answer in ${number(report.explainable)}. ${report.effort}.` }));
  return box;
}

function imageLine(side, report, method) {
  const probe = report.probes[method] && report.probes[method][state.example];
  const target = side.run.captures[side.capture].examples[state.example]?.target;
  if (method === "relevance" && side.run.multilabel && target !== labelName(side)) return ["This image", "-", `measured for "${target}" only`];
  if (!probe) return ["This image", "-", "not measured"];
  if (!probe.explainable) return ["This image", "-", "nothing to explain"];
  return ["This image", signed(probe.gap), `gap; deletion ${area(probe.deletion)}, insertion ${area(probe.insertion)}`];
}

const numbers = (lines) => make("table", { class: "numbers" }, make("tbody", {}, ...lines.map(([name, value, hint]) =>
  make("tr", {}, make("th", { scope: "row", text: name }), make("td", { text: value }), make("td", { class: "muted", text: hint })))));

const pValue = (p) => (p < 0.001 ? "p < 0.001" : `p ${number(p)}`);

// Describes a gap to another map, significant below 1 %; a report without another image has none.
function against(gap, p, question, no) {
  if (p === null || p === undefined) return question;
  return `${gap > 0 && p < 0.01 ? question : no}; ${pValue(p)}`;
}

function detail(side, report, method, limits) {
  const row = report.fidelity[method], [words, kind, meaning] = VERDICTS[row.verdict];
  const grounding = report.grounding[method], mark = (report.grounding_mark || {})[method], sanity = report.sanity[method];
  const lines = [
    ["Deletion", area(row.deletion), `random ${area(report.random_deletion)}; lower is better`],
    ["Insertion", area(row.insertion), `random ${area(report.random_insertion)}; higher is better`],
    ["Gap to random", signed(row.gap), `${row.gap_low === null ? "" : `99 %: ${signed(row.gap_low)} to ${signed(row.gap_high)}; `}${pValue(row.p_value)}${row.verdict === 0 && row.gap > 0 ? ", not below 0.01" : ""}`],
    ["to another image's map", signed(row.gap_other), against(row.gap_other, row.p_other,
      "is it about this image?", "not clearly: it may show what is typical of such images, not of this one")],
    ["to the center", signed(row.gap_center), against(row.gap_center, row.p_center,
      "is it more than a bright middle?", "not clearly more than a bright middle")],
    ["Share of leave one out", row.gap_share === null ? "-" : percent(row.gap_share), row.gap_share === null ? "leave one out has no positive gap" : "100 %: as good as dropping each patch"],
    imageLine(side, report, method),
  ];
  if (grounding) {
    lines.push(["Pointing game", percent(grounding.pointing), `chance ${percent(grounding.chance)}; the brightest patch lies on the boxes of what is explained, known of ${number(report.grounded)} examples`]);
    lines.push(["Energy on the boxes", percent(grounding.energy), `lift ${number(grounding.lift)}; 1 is chance`]);
  } else lines.push(["Grounding", "-", "no box is known that covers half of a patch"]);
  if (mark) lines.push(["On the planted mark", percent(mark.pointing), `chance ${percent(mark.chance)}; the brightest patch; lift ${number(mark.lift)}`]);
  lines.push(["Sanity", area(sanity), sanity === undefined ? "not measured" : "similarity to an untrained model's map; near 1: it shows nothing learned"]);
  return [
    make("p", { class: "chip " + kind, text: `${METHOD_NAMES[method]}: ${words}` }), make("p", { class: "muted", text: meaning || `${row.reason[0].toUpperCase()}${row.reason.slice(1)}.` }),
    gauge(row, report.fidelity.leave_one_out, limits),
    numbers(lines),
  ];
}

// Draws the gap on a line, with random orders at 0, its interval, and leave one out as the reference.
function gauge(row, reference, [low, high]) {
  const top = reference ? reference.gap : row.gap;
  const x = (value) => 4 + 292 * (value - low) / (high - low);
  const svg = shape("svg", { viewBox: "0 0 300 34", class: "gauge", role: "img", "aria-label":
    `Gap ${signed(row.gap)}, random 0${reference ? `, leave one out ${signed(reference.gap)}` : ""}` });
  svg.append(shape("line", { x1: 4, x2: 296, y1: 17, y2: 17, class: "axis" }));
  if (row.gap_low !== null) svg.append(shape("rect", { x: x(row.gap_low), y: 11, width: Math.max(2, x(row.gap_high) - x(row.gap_low)), height: 12, rx: 3, class: "interval" }));
  svg.append(shape("line", { x1: x(0), x2: x(0), y1: 6, y2: 28, class: "zero" }));
  if (reference) svg.append(shape("path", { d: `M${x(top)} 24l-5 8h10z`, class: "reference" }));
  svg.append(shape("circle", { cx: x(row.gap), cy: 17, r: 5.5, class: "gap" }));
  const legend = make("p", { class: "muted small legend" }, make("span", { class: "mark zero", text: "random" }),
    make("span", { class: "mark gap", text: "gap" }), row.gap_low !== null && make("span", { class: "mark interval", text: "99 %" }),
    reference && make("span", { class: "mark reference", text: "leave one out" }));
  return make("div", {}, svg, legend);
}

function methodTable(side, report, chosen) {
  const methods = Object.keys(METHOD_NAMES).filter((method) => report.fidelity[method]);
  const head = make("tr", {}, ...["All methods", "gap", "verdict"].map((text) => make("th", { scope: "col", text })));
  return make("table", { class: "methods" }, make("thead", {}, head), make("tbody", {}, ...methods.map((method) => {
    const row = report.fidelity[method], [words, kind] = VERDICTS[row.verdict];
    const thumb = make("canvas", { class: "thumb", "aria-hidden": "true" });
    const button = make("button", { type: "button", class: "link" }, thumb, make("span", { text: METHOD_NAMES[method] }));
    button.addEventListener("click", () => chooseMethod(method));
    readSigned(side.run, side.capture, state.example, "map/" + method).then((map) => drawThumb(thumb, side.run, map, map ? Math.max(...map.values) : 0));
    return make("tr", { class: method === chosen ? "chosen" : "" }, make("th", { scope: "row" }, button),
      make("td", { text: signed(row.gap) }), make("td", { class: kind, text: words }));
  })));
}
