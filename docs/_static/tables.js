// Every cell of a table with more than two columns learns its heading, which narrow screens show beside it.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".bd-article table.table")) {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (heads.length < 3) continue;
    table.classList.add("as-cards");
    if (heads.length > 5) table.closest(".bd-article-container").classList.add("with-wide-table");
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, i) => {
        if (i > 0 && heads[i] && cell.textContent.trim()) cell.dataset.label = heads[i];
      });
    }
  }
});
