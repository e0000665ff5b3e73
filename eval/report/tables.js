// --- tables: sort by a click on a heading, filter by words ------------------------------------------------------------
function sortBy(header) {
  const table = header.closest("table");
  const place = [...header.parentNode.children].indexOf(header);
  const numeric = header.classList.contains("number");
  const first = numeric ? "descending" : "ascending";
  const order = header.ariaSort === first ? (numeric ? "ascending" : "descending") : first;
  for (const other of header.parentNode.children) other.ariaSort = "none";
  header.ariaSort = order;
  const value = (row) => row.children[place].dataset.value;
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (numeric) return x === "" || y === "" ? (x === "") - (y === "") : sign * (Number(x) - Number(y)); // none goes last
    return sign * x.localeCompare(y, "en", { numeric: true });
  });
  table.tBodies[0].append(...rows);
}
for (const header of document.querySelectorAll("thead th")) {
  header.querySelector("button").addEventListener("click", () => sortBy(header));
}

function filterRows() {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0, all = 0, controls = 0;
  for (const row of document.querySelectorAll("figure.table tbody tr")) {
    const text = [...row.children].filter((cell) => !cell.classList.contains("number")).map((c) => c.dataset.value);
    const fits = words.every((word) => text.join(" ").toLowerCase().includes(word));
    const folded = row.classList.contains("control") && !$("controls").checked;
    row.hidden = !fits || folded;
    if (!row.closest("#tables")) continue;
    all += 1;
    shown += !row.hidden;
    controls += folded && fits;
  }
  const said = words.length ? `${shown} of ${all} rows` : "";
  $("filtered").textContent = [said, controls ? `${controls} controls folded away` : ""].filter(Boolean).join(", ");
}
if ($("tables")) {
  $("filter").addEventListener("input", filterRows);
  $("controls").addEventListener("change", filterRows);
  $("intervals").addEventListener("change", () => $("main").classList.toggle("no-intervals", !$("intervals").checked));
  filterRows();
}
