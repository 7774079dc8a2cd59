// Draws the text of the image: every word is a button, shaded by its share; the rest of the text is between them.
function drawWords(side, map) {
  const box = document.getElementById("words"), { run, capture } = side;
  const example = run.examples[state.example], words = example.words || [];
  box.hidden = !words.length && !example.text;
  if (box.hidden) return;
  const entry = run.captures[capture].examples[state.example];
  const [shares, what] = shading(side, map, entry);
  document.getElementById("words-what").textContent = what;
  const text = document.getElementById("text"), characters = Array.from(example.text);
  const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.word : undefined;
  const chosen = state.query.kind === "word" && viewOf(run, state.view)?.words ? state.query.index : -1;
  const top = shares ? Math.max(...shares, 1e-12) : 0;
  const parts = [];
  let at = 0;
  words.forEach(([name, start, end, boxes], w) => {
    parts.push(characters.slice(at, start).join(""));
    const button = make("button", { type: "button", class: "word" + (boxes ? " named" : ""), "data-word": w,
      "aria-pressed": String(w === chosen), title: shares ? `${name}: ${number(shares[w])}` : name,
      text: characters.slice(start, end).join("") || name });
    if (shares) {
      const share = Math.max(0, shares[w]) / top, color = colorOf(share, { top: 1, bottom: 0 });
      button.style.backgroundColor = `rgb(${color.join(",")})`;
      button.style.color = lightness(color) > 140 ? "#16181b" : "#ffffff";
      button.classList.add("shaded");
      button.append(make("small", { dir: "ltr", text: sharesText(shares[w], map) }));
    }
    parts.push(button);
    at = end;
  });
  parts.push(characters.slice(at).join(""));
  text.replaceChildren(...parts);
  if (focused !== undefined) text.querySelector(`[data-word="${focused}"]`)?.focus({ preventScroll: true });
}

const lightness = ([r, g, b]) => 0.299 * r + 0.587 * g + 0.114 * b;
const sharesText = (value, map) => (map.unit === "attention" && map.shares ? percent(value) : number(value));

// `[one number per word or null, their meaning]`.
function shading({ run }, map, entry) {
  const known = entry ? entry.shares : {};
  const hint = viewOf(run, state.view)?.words
    ? "Choose a word to see its patches, or a patch to see its words." : "Choose a word to see its patches.";
  if (map.shares) return [map.shares, map.shading + " " + hint];
  const method = ["relevance", "rollout"].includes(state.view) ? state.view : null;
  if (method && known[method]) return [known[method], `Words are shaded by their relevance (${METHOD_NAMES[method].toLowerCase()}). ${hint}`];
  if (known.pooling && state.query.kind !== "word") return [known.pooling, `Words are shaded by their share in the text's read-out. ${hint}`];
  const row = run.text?.predicts_next ? " A word shows the row that predicts it." : "";
  return [null, hint + row + (words_named(run) ? " Underlined words name an object whose box is known." : "")];
}

const words_named = (run) => (run.examples[state.example].words || []).some((word) => word[3]);
