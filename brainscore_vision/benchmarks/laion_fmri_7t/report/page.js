"use strict";
(() => {
  const tables = [...document.querySelectorAll("table.scores")];
  const models = document.getElementById("filter-models");
  const benchmarks = document.getElementById("filter-benchmarks");
  const shown = document.getElementById("shown");
  const count = document.getElementById("filter-count");

  const nameOf = (row) => row.cells[0].textContent;
  const keyOf = (cell) => cell.dataset.value ?? cell.dataset.key;
  const everyone = new Set(tables.flatMap((table) => [...table.tBodies[0].rows].map(nameOf)));
  // A model's name and properties, which stand in the first table alone.
  const wordsOfModel = new Map([...document.querySelectorAll("tr[data-words]")].map((row) => [nameOf(row), row.dataset.words]));

  // What has no value comes last, whichever way the others are sorted; equal ones stay in the order of the report.
  const places = new Map(tables.flatMap((table) => [...table.tBodies[0].rows].map((row, place) => [row, place])));
  function sortBy(table, column, isText, descending) {
    const key = (row) => (column === 0 ? nameOf(row) : keyOf(row.cells[column]));
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined) || places.get(a) - places.get(b);
      const order = isText ? x.localeCompare(y) : Number(x) - Number(y);
      return (descending ? -order : order) || places.get(a) - places.get(b);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  }

  for (const table of tables) {
    for (const button of table.querySelectorAll("thead button")) {
      button.addEventListener("click", () => {
        const head = button.closest("th");
        const column = Number(button.dataset.column);
        const isText = column === 0 || "text" in button.dataset;
        const [first, second] = isText ? ["ascending", "descending"] : ["descending", "ascending"];
        const order = head.getAttribute("aria-sort") === first ? second : first;
        for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        sortBy(table, column, isText, order === "descending");
        update();
      });
    }
  }

  // Every word has to be there.
  const fits = (text, words) => words.every((word) => text.toLowerCase().includes(word));
  const wordsOf = (input) => input.value.toLowerCase().split(/\s+/).filter(Boolean);

  // Which columns and which rows are seen: those that fit, and of them the first ones of the present order.
  function update() {
    const [wantedModels, wantedBenchmarks] = [wordsOf(models), wordsOf(benchmarks)];
    const fitting = new Set([...everyone].filter((name) => fits(wordsOfModel.get(name) ?? name, wantedModels)));
    const most = Number(shown?.value) || Infinity;
    for (const table of tables) {
      const heads = [...table.querySelectorAll("th[data-benchmark]")];
      const rows = [...table.tBodies[0].rows];
      for (const head of heads) {
        head.hidden = !fits(head.dataset.benchmark, wantedBenchmarks);
        const column = Number(head.querySelector("button").dataset.column);
        for (const row of rows) row.cells[column].hidden = head.hidden;
      }
      for (const group of table.querySelectorAll("th.group")) {
        const width = heads.filter((head) => head.dataset.group === group.dataset.group && !head.hidden).length;
        group.hidden = width === 0;
        if (width) group.colSpan = width;
      }
      let number = 0;
      for (const row of rows) {
        row.hidden = !fitting.has(nameOf(row)) || number >= most;
        if (!row.hidden) number += 1;
      }
      table.parentElement.hidden = number === 0 || heads.every((head) => head.hidden);
    }
    const first = most < fitting.size ? `the first ${most} of ` : "";
    const fit = fitting.size < everyone.size ? `${fitting.size} of ${everyone.size} models fit` : `${everyone.size} models`;
    count.textContent = first ? `Shown: ${first}${fit}.` : `${fit}.`;
    measure();
  }

  // The second row of heads sticks below the first, however many lines that has.
  function measure() {
    for (const table of tables) {
      const group = table.querySelector("th.group:not([hidden])");
      if (group) table.style.setProperty("--head", `${group.offsetHeight}px`);
    }
  }

  window.addEventListener("resize", measure);
  for (const details of document.querySelectorAll("details")) details.addEventListener("toggle", measure);
  for (const input of [models, benchmarks]) input.addEventListener("input", update);
  shown?.addEventListener("change", update);
  document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
  update();

  // What is folded on the screen is unfolded on paper.
  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not(.screen):not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => { for (const details of folded) details.open = false; });
})();
