// Several labels per image: one button for each that is there or predicted, which shows what speaks for it.
const labelsOf = ({ run, capture }) => run.captures[capture].examples[state.example]?.labels || [];

// The place of the chosen label among those of this capture, the target of the other maps at first; -1 without a map.
const labelAt = (side) => (state.label === null ? 0 : labelsOf(side).findIndex(([name]) => name === state.label));

const labelName = (side) => (state.label === null ? labelsOf(side)[0]?.[0] : state.label);

function drawLabels(side) {
  const labels = viewOf(side.run, "relevance") ? labelsOf(side) : [], box = document.getElementById("labels");
  box.hidden = !labels.length;
  const focused = document.activeElement?.dataset?.label;
  document.getElementById("label-buttons").replaceChildren(...labels.map(([name, probability, present, predicted]) => {
    const outcome = present === null ? "" : present ? "there" : "not there";
    const button = make("button", { type: "button", class: "word label", "data-label": name, dir: "auto",
      "aria-pressed": String(state.view === "relevance" && name === labelName(side)), text: `${name} ` },
      make("small", { class: present === predicted ? "right" : present === null ? "" : "wrong", dir: "ltr",
        text: percent(probability) + (outcome && ", " + outcome) }));
    button.addEventListener("click", () => set({ view: "relevance", label: name, query: { kind: "read" } }));
    return button;
  }));
  if (focused !== undefined) document.querySelector(`[data-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

// The boxes of the chosen label, of the target of leave one out, and of all labels where the map is of none.
function labelBoxes(run, example, entry) {
  const boxes = example.label_boxes, name = state.view === "relevance" ? labelName({ run, capture: state.captures[0] }) : entry?.target;
  return ["relevance", "leave_one_out"].includes(state.view) ? boxes[name] || [] : Object.values(boxes).flat();
}
