"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));

  // Theme: kept where the browser keeps anything for local files.
  const theme = document.getElementById("theme");
  const show = (name) => {
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
  };
  try { theme.value = localStorage.getItem("hashlab-theme") || ""; } catch { /* no storage here */ }
  show(theme.value);
  theme.addEventListener("change", () => {
    show(theme.value);
    try { localStorage.setItem("hashlab-theme", theme.value); } catch { /* no storage here */ }
  });

  // Sorting: numbers from the greatest, words from A, what has no value last.
  const words = new Intl.Collator("en", { numeric: true });
  const value = (row, column) => row.cells[column].textContent.trim();
  const number = (text) => (/^[(*+]*-?[\d.]/.test(text) ? parseFloat(text.replace(/^[(*+]+/, "")) : NaN);
  const sort = (head) => {
    const body = head.closest("table").tBodies[0];
    const column = head.cellIndex;
    const rows = Array.from(body.rows, (row) => {
      const text = value(row, column);
      return { row, text, number: number(text) };
    });
    const numeric = rows.some(({ number }) => !isNaN(number)) && column > 0;
    const first = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const order = head.ariaSort === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const has = (entry) => (numeric ? !isNaN(entry.number) : entry.text !== "");
    rows.sort((a, b) => {
      if (has(a) !== has(b)) return has(a) ? -1 : 1;
      if (!has(a)) return 0;
      return sign * (numeric ? a.number - b.number : words.compare(a.text, b.text));
    });
    for (const sibling of head.parentElement.cells) sibling.ariaSort = "none";
    head.ariaSort = order;
    body.append(...rows.map(({ row }) => row));
  };
  for (const button of all(".table thead th[aria-sort] button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }

  // Filtering: every word must occur in a row.
  const filter = (table) => {
    const input = table.querySelector("input[type=search]");
    const states = table.querySelector("select[data-states]");
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = Array.from(table.querySelector("tbody").rows);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const visible = wanted.every((word) => text.includes(word)) && (!states?.value || row.dataset.state === states.value);
      if (row.hidden === visible) row.hidden = !visible;
      shown += visible;
    }
    table.querySelector(".count").textContent = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
  };
  for (const control of all(".table input[type=search], .table select[data-states]")) {
    control.addEventListener("input", () => filter(control.closest(".table")));
  }

  // Copying.
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(`copy-${button.dataset.copy}`).content.textContent;
      const done = await copy(text);
      button.focus();
      document.getElementById("copied").textContent = done ? `${button.dataset.copy} copied` : "the browser refused";
    });
  }

  // Figures: one choice at a time.
  for (const select of all(".panel select")) {
    const choices = all(".choice", select.closest(".panel"));
    const choose = () => choices.forEach((choice, i) => { choice.hidden = i !== select.selectedIndex; });
    select.addEventListener("change", choose);
    choose();
  }
  for (const button of all("[data-save]")) {
    button.addEventListener("click", () => {
      const svg = document.querySelector(`#${button.dataset.save} .choice:not([hidden]) svg`);
      const link = document.createElement("a");
      link.href = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg.outerHTML)}`;
      link.download = `${button.dataset.save}.svg`;
      link.click();
    });
  }

  // The drawer of a run.
  const drawer = document.getElementById("drawer");
  document.addEventListener("click", (event) => {
    const run = event.target.closest?.("[data-run]")?.dataset.run;
    if (!run) return;
    drawer.lastElementChild.replaceChildren(document.getElementById(`run-${run}`).content.cloneNode(true));
    drawer.showModal();
    drawer.scrollTop = 0;
  });
  drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });

  // A page that a server shows loads itself anew when the sweep has got further, unless somebody reads a drawer or filters.
  const live = document.documentElement.dataset.live;
  if (live) {
    const status = document.getElementById("live");
    const busy = () => drawer.open || all("input[type=search]").some((input) => input.value);
    const look = async () => {
      try {
        const answer = await fetch("/state");
        if ((await answer.text()).trim() === live) {
          status.textContent = "live";
        } else if (busy()) {
          status.textContent = "live; new results come when the filter is empty and the drawer closed";
        } else {
          return location.reload();
        }
      } catch {
        status.textContent = "no longer live: the program that shows this page has ended";
      }
      setTimeout(look, 2000);
    };
    setTimeout(look, 2000);
  }
})();
