// Narrow screens show each row of a table as a card; with more than two columns, every cell learns its heading.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".bd-article table.table")) {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (heads.length < 2) continue;
    table.classList.add("as-cards");
    if (heads.length > 5) table.closest(".bd-article-container").classList.add("with-wide-table");
    for (const row of table.querySelectorAll("tbody tr")) {
      [...row.children].forEach((cell, i) => {
        if (i > 0 && heads.length > 2 && heads[i] && cell.textContent.trim()) cell.dataset.label = heads[i];
      });
    }
  }
});
