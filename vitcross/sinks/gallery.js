// Shows one capture at a time. The captures are in the page, newest first; without this script all of them are shown.
(() => {
  "use strict";
  const articles = [...document.querySelectorAll(".capture")].reverse();
  const pick = document.getElementById("pick");
  if (!pick || articles.length < 2) return;
  const earlier = document.getElementById("earlier");
  const later = document.getElementById("later");
  const picked = document.getElementById("picked");
  const show = (index) => {
    articles.forEach((article, i) => { article.hidden = i !== index; });
    pick.value = index;
    const step = articles[index].querySelector("h3").textContent;
    picked.textContent = step + " (" + (index + 1) + " of " + articles.length + ")";
    pick.setAttribute("aria-valuetext", step);
    earlier.disabled = index === 0;
    later.disabled = index === articles.length - 1;
  };
  pick.addEventListener("input", () => show(Number(pick.value)));
  earlier.addEventListener("click", () => show(Math.max(0, Number(pick.value) - 1)));
  later.addEventListener("click", () => show(Math.min(articles.length - 1, Number(pick.value) + 1)));
  document.querySelector(".slider").hidden = false;
  // A link to one capture: index.html#step-500
  const linked = articles.findIndex((article) => "#" + article.id === location.hash);
  show(linked >= 0 ? linked : articles.length - 1);
})();
