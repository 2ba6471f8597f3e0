"use strict";
// The page of an audit: shows the rows that meet a filter, and saves those as CSV.
//
// The page is whole without it, and it fetches nothing.  What it reads are texts of the page, and it writes nothing but
// texts, options and a file: words of others never become markup.  The page's policy names its digest, so it runs as it
// stands here or not at all.

(() => {
  // As appliance/formats/csv_table.py does it, which says why; a test compares both.
  const FORMULA = /(^|[;,|"'])( *)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])/g;
  const field = (text) => `"${text.replace(FORMULA, "$1$2'").replaceAll('"', '""')}"`;

  const number = (count) => count.toLocaleString("en");

  const valuesOf = (row, column) =>
    [...row.querySelectorAll(`[data-column="${column}"]`)].map((element) =>
      element instanceof HTMLDataElement ? element.value : element.textContent,
    );

  function csvOf(columns, rows) {
    const lines = rows.map((row) => columns.map((column) => valuesOf(row, column).join("; ")));
    return [columns, ...lines].map((line) => `${line.map(field).join(",")}\r\n`).join("");
  }

  function save(name, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  /** One choice for each value that a column has, in the order of the rows or by name. */
  function fill(select, rows) {
    const found = [...new Set(rows.flatMap((row) => row.values[select.name]))].filter(Boolean);
    for (const value of "ordered" in select.dataset ? found : found.sort()) {
      select.append(new Option(value, value));
    }
  }

  function start(form) {
    const table = document.getElementById(form.dataset.table);
    const selects = [...form.querySelectorAll("select")];
    const rows = [...table.tBodies[0].rows].map((element) => ({
      element,
      text: element.textContent.toLowerCase(),
      values: Object.fromEntries(selects.map((select) => [select.name, valuesOf(element, select.name)])),
    }));
    selects.forEach((select) => fill(select, rows));
    const filter = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = selects.filter((select) => select.value);
      let count = 0;
      for (const row of rows) {
        const meets =
          words.every((word) => row.text.includes(word)) &&
          chosen.every((select) => row.values[select.name].includes(select.value));
        row.element.hidden = !meets;
        count += meets;
      }
      const asked = [...chosen.map((select) => select.value), ...words].join(", ");
      form.querySelector("output").textContent = `${number(count)} of ${number(rows.length)} shown${asked && `: ${asked}`}`;
    };
    form.addEventListener("input", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(filter));
    form.querySelector("[data-save]").addEventListener("click", (event) => {
      const shown = rows.map((row) => row.element).filter((row) => !row.hidden);
      save(event.target.dataset.save, csvOf(table.dataset.columns.split(" "), shown));
    });
    form.hidden = false;
    form.reset();
  }

  document.querySelectorAll("form[data-table]").forEach(start);
  // A link to what is closed opens it.
  const open = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (target instanceof HTMLDetailsElement) target.open = true;
  };
  addEventListener("hashchange", open);
  open();
})();
