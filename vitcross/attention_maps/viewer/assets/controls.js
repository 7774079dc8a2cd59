// Fills the controls and enables those that apply to the current view.
const control = (id) => document.getElementById(id);

function fill(select, options, value) {
  const wanted = JSON.stringify(options);
  if (select.dataset.options !== wanted) {
    select.dataset.options = wanted;
    select.replaceChildren(...options.map(([key, name]) => make("option", { value: key, text: name })));
  }
  select.value = String(value);
}

function drawControls() {
  const run = page.runs[0], view = viewOf(run, state.view), layered = ["layer", "cross"].includes(state.view);
  fill(control("view"), viewsOf(run).map(({ key, name }) => [key, name]), state.view);
  control("layer-field").hidden = control("head-field").hidden = !layered;
  if (layered) {
    const layers = state.view === "cross" ? run.cross : run.layers, last = layers.length - 1;
    fill(control("layer"), layers.map(({ name }, i) => [i, name.replace("cross-attention ", "") + (i === last && last > 0 ? " (last)" : "")]), state[state.view]);
    const heads = Array.from({ length: layers[state[state.view]].heads }, (_, h) => [h, `head ${h}`]);
    fill(control("head"), [[-1, "mean of heads"], ...heads], state.head);
  }
  fill(control("token"), queriesOf(run, view), queryKey());
  control("direction-field").disabled = !view.pointwise;
  for (const name of ["direction", "scale"]) {
    for (const input of document.querySelectorAll(`[name=${name}]`)) input.checked = input.value === state[name];
  }
  control("top-field").hidden = state.scale !== "absolute";
  control("scale-hint").textContent = {
    map: "Each map reaches its own top: shapes are easy to see, strength is not.",
    shared: sharedHint(),
    absolute: "A fixed top: images and layers can be compared too.",
  }[state.scale];
  control("opacity").value = state.opacity;
  control("opacity-value").textContent = `${state.opacity} %`;
  control("boxes").checked = state.boxes;
  control("boxes").disabled = !run.examples.some((e) => e.box || e.label_boxes || (e.words || []).some((w) => w[3]));
  control("gray").checked = state.gray;
  control("compare").checked = state.compare;
  control("compare-field").hidden = page.runs.length > 1 || run.captures.length < 2;
}

// The queries that are not patches: the read-out, prefix tokens, words.
function queriesOf(run, view) {
  const options = [["read", view.words ? (view.key === "similarity" ? "the whole text" : "mean over all words") : "read-out"]];
  if (view.pointwise) {
    for (let k = run.pooling === "cls" && view.key === "layer" ? 1 : 0; k < run.prefix; k++) options.push([`prefix ${k}`, prefixName(run, k)]);
  }
  if (view.words) wordsOf(run).forEach(([name], w) => options.push([`word ${w}`, `${w + 1}. ${name}`]));
  if (state.query.kind === "patch") options.push(["patch", patchName(run, patchOf(run))]);
  return options;
}

function queryKey() {
  const { kind, index } = state.query, options = [...queriesOf(page.runs[0], viewOf(page.runs[0], state.view))].map(([key]) => key);
  const key = kind === "patch" ? "patch" : kind === "read" ? "read" : `${kind} ${index}`;
  return options.includes(key) ? key : "read";
}

function drawExamples() {
  const run = page.runs[0], capture = run.captures[state.captures[0]];
  const buttons = run.examples.map((example, e) => {
    const entry = capture.examples[e], [text, truth, correct] = entry ? entry.prediction : ["", "", null];
    const image = make("img", { src: example.image, alt: "", width: run.size[1], height: run.size[0] });
    const outcome = correct === null ? "" : correct ? " right" : " wrong";
    const button = make("button", { type: "button", "aria-pressed": String(e === state.example), title: [example.name, text, truth].filter(Boolean).join("; "),
      "aria-label": `Image ${e + 1}: ${example.name ? example.name + ", " : ""}${text}${correct === null ? "" : correct ? ", right" : ", wrong"}` }, image,
      make("span", { class: "prediction" + outcome, text: `${e + 1}. ${text.replaceAll(" %", "\u00a0%")}`, dir: "auto" }),
      example.name && make("span", { class: "file", text: example.name, dir: "auto" }));
    button.addEventListener("click", () => set({ example: e, query: { kind: "read" } }));
    return button;
  });
  const nav = document.getElementById("examples"), at = [...nav.children].indexOf(document.activeElement);
  nav.replaceChildren(...buttons);
  if (at >= 0) buttons[at]?.focus({ preventScroll: true });
}

// The prediction for the image, and the place of the capture among all captures.
function drawHeading(panel, side, index, sides, map) {
  const { run, capture } = side, entry = run.captures[capture].examples[state.example];
  panel.title.textContent = (sides.length > 1 ? sideName(side, index, sides) + ": " : "") + (map.title || "");
  panel.step.replaceChildren();
  if (entry) {
    const [text, truth, correct] = entry.prediction;
    panel.step.append(make("b", { class: correct === null ? "" : correct ? "right" : "wrong", text, dir: "auto" }));
    if (truth) panel.step.append(make("span", { text: ` ${truth}`, dir: "auto" }));
    const { name } = run.examples[state.example];
    if (name) panel.step.append(make("span", { class: "muted", text: ` ${name}`, dir: "auto" }));
  }
  const last = run.captures.length - 1, slider = panel.slider;
  slider.input.hidden = slider.play.hidden = last === 0;
  slider.input.max = last; slider.input.value = capture;
  const words = `step ${number(run.captures[capture].step)}`;
  slider.input.setAttribute("aria-valuetext", words);
  slider.output.textContent = last ? `${words} (${capture + 1} of ${last + 1})` : `${words}, the only one`;
}

function sideName(side, index, sides) {
  const step = `step ${number(side.run.captures[side.capture].step)}`;
  return page.runs.length > 1 ? `${side.run.name}, ${step}` : `${"AB"[index]}, ${step}`;
}
