"use strict";
(() => {
  const tables = [...document.querySelectorAll("table.scores")];
  const models = document.getElementById("filter-models");
  const benchmarks = document.getElementById("filter-benchmarks");
  const count = document.getElementById("filter-count");

  // Models without a score come last, whichever way the others are sorted.
  function sortBy(table, column, descending) {
    const rows = [...table.tBodies[0].rows];
    const key = (row) => (column === 0 ? row.cells[0].textContent : Number(row.cells[column].dataset.value ?? NaN));
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (column === 0) return descending ? y.localeCompare(x) : x.localeCompare(y);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return descending ? y - x : x - y;
    };
    table.tBodies[0].append(...rows.sort(compare));
  }

  for (const table of tables) {
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const column = Number(button.dataset.column);
        const first = column === 0 ? "ascending" : "descending";
        const second = column === 0 ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? second : first;
        for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        sortBy(table, column, order === "descending");
      });
    }
  }

  // Every word has to be in the name.
  const fits = (name, words) => words.every((word) => name.toLowerCase().includes(word));
  const wordsOf = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);

  function filter() {
    const [wantedModels, wantedBenchmarks] = [wordsOf(models), wordsOf(benchmarks)];
    const shown = new Set();
    for (const table of tables) {
      const heads = [...table.querySelectorAll("th[data-benchmark]")];
      const visible = heads.map((head) => fits(head.dataset.benchmark, wantedBenchmarks));
      heads.forEach((head, index) => { head.hidden = !visible[index]; });
      for (const group of table.querySelectorAll("th.group")) {
        const width = heads.filter((head) => head.dataset.group === group.dataset.group && !head.hidden).length;
        group.hidden = width === 0;
        if (width) group.colSpan = width;
      }
      for (const row of table.tBodies[0].rows) {
        row.hidden = !fits(row.cells[0].textContent, wantedModels);
        visible.forEach((show, index) => { row.cells[index + 1].hidden = !show; });
        if (!row.hidden) shown.add(row.cells[0].textContent);
      }
      table.parentElement.hidden = !visible.includes(true) || [...table.tBodies[0].rows].every((row) => row.hidden);
    }
    const total = new Set(tables.flatMap((table) => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent)));
    measure();
    count.textContent = `${shown.size} of ${total.size} models`;
  }

  // The second row of heads sticks below the first, however many lines that has.
  function measure() {
    for (const table of tables) {
      const group = table.querySelector("th.group:not([hidden])");
      if (group) table.style.setProperty("--head", `${group.offsetHeight}px`);
    }
  }

  window.addEventListener("resize", measure);
  models.addEventListener("input", filter);
  benchmarks.addEventListener("input", filter);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  filter();

  // What is folded on the screen is unfolded on paper.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not(.screen):not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
})();
