// Shows one capture at a time, in all sections alike. The captures are in the page, newest first; without this script
// all of them are shown and every link works.
// A jump to a section leaves the address to the picked capture, so that reloading keeps both.
for (const link of document.querySelectorAll("header nav a")) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector(link.hash).scrollIntoView();
  });
}
const articles = [...document.querySelectorAll(".capture")];
const steps = [...new Set(articles.map((article) => Number(article.dataset.step)))].sort((a, b) => a - b);
if (steps.length < 2) return;
const pick = document.getElementById("pick");
const earlier = document.getElementById("earlier");
const later = document.getElementById("later");
const picked = document.getElementById("picked");
const frames = [...document.querySelectorAll(".strip a")];
const last = steps.length - 1;
const show = (index) => {
  const step = steps[index];
  for (const article of articles) article.hidden = Number(article.dataset.step) !== step;
  for (const frame of frames) {
    if (Number(frame.dataset.step) === step) frame.setAttribute("aria-current", "true");
    else frame.removeAttribute("aria-current");
  }
  const words = articles.find((article) => !article.hidden).querySelector("h3").textContent;
  pick.value = index;
  picked.textContent = words + " (" + (index + 1) + " of " + steps.length + ")";
  pick.setAttribute("aria-valuetext", words);
  earlier.disabled = index === 0;
  later.disabled = index === last;
};
const go = (index) => {
  index = Math.min(last, Math.max(0, index));
  show(index);
  // Reloading keeps a capture that was picked; who looks at the newest one sees the newest one then, too.
  history.replaceState(null, "", index === last ? location.pathname + location.search : "#step-" + steps[index]);
};
pick.addEventListener("input", () => go(Number(pick.value)));
earlier.addEventListener("click", () => go(Number(pick.value) - 1));
later.addEventListener("click", () => go(Number(pick.value) + 1));
for (const frame of frames) {
  frame.addEventListener("click", (event) => {
    event.preventDefault();
    go(steps.indexOf(Number(frame.dataset.step)));
  });
}
document.querySelector(".slider").hidden = false;
// A link to one capture: index.html#step-500
const linked = steps.findIndex((step) => location.hash.split("-text")[0] === "#step-" + step);
show(linked >= 0 ? linked : last);
