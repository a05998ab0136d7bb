// Search in `pages` (search-index.js): [title, address, words]. Every word typed must be there.
const box = document.querySelector("#search input");
const found = document.querySelector("#found");
const status = document.querySelector("#search-status");

function score(page, terms) {
  const title = page[0].toLowerCase();
  const words = page[2].toLowerCase();
  let total = 0;
  for (const term of terms) {
    const times = words.split(term).length - 1;
    if (!times && !title.includes(term)) return 0;
    total += Math.min(times, 20) + (title.includes(term) ? 100 : 0);
  }
  return total;
}

function excerpt(text, term) {
  const place = Math.max(0, text.toLowerCase().indexOf(term) - 60);
  return (place ? "... " : "") + text.slice(place, place + 160) + " ...";
}

let waiting;
box.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const terms = box.value.toLowerCase().split(/\s+/).filter((t) => t.length > 1);
    const hits = terms.length
      ? pages.map((p) => [score(p, terms), p]).filter((h) => h[0]).sort((a, b) => b[0] - a[0])
      : [];
    found.replaceChildren(...hits.slice(0, 12).map(([, page]) => {
      const item = document.createElement("li");
      const anchor = document.createElement("a");
      const said = document.createElement("small");
      anchor.href = page[1];
      anchor.textContent = page[0];
      said.textContent = excerpt(page[2], terms[0]);
      item.append(anchor, said);
      return item;
    }));
    status.textContent = terms.length ? `${hits.length} pages` : "";
  }, 150);
});
