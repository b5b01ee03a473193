"use strict";

// Tables: a click on a heading sorts by it, a second one the other way round.
for (const button of document.querySelectorAll("table.sorts th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const column = heading.cellIndex;
    const down = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = heading.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one), key(other)];
      if (a === "" || b === "") return (a === "") - (b === "");  // what is not known stands last either way
      const order = heading.classList.contains("text") ? a.localeCompare(b) : a - b;
      return down ? -order : order;
    });
    body.append(...rows);
  });
}

// Figures: plotly.js is packed in this file, so that it opens without a network.
const FIGURES = JSON.parse(document.getElementById("figures").textContent);
const PRINT = { ink: "#000000", grid: "#dddddd", width: 680 };  // px: A4 and Letter have room for it

function colours() {
  const style = getComputedStyle(document.documentElement);
  return { ink: style.getPropertyValue("--ink").trim(), grid: style.getPropertyValue("--line").trim() };
}

// The pictures' ink and paper are the page's, which may be dark.
function themed(figure, { ink, grid, width }) {
  const { data, layout } = JSON.parse(JSON.stringify(figure).replaceAll('"#222222"', JSON.stringify(ink)));
  Object.assign(layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", width, autosize: !width });
  layout.font = { ...layout.font, family: "system-ui, sans-serif", color: ink };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis/.test(name)) Object.assign(layout[name], { gridcolor: grid, linecolor: ink, zerolinecolor: grid });
  }
  return [data, layout];
}

function draw(colour) {
  const options = { responsive: true, displaylogo: false };
  return Promise.all(FIGURES.map(({ id, figure }) =>
    Plotly.react(document.getElementById(`figure-${id}`), ...themed(figure, colour), options)));
}

async function unpack() {
  const packed = document.getElementById("plotly").textContent.trim();
  const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.src = URL.createObjectURL(await new Response(stream).blob());
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = reject;
    document.head.append(script);
  });
  URL.revokeObjectURL(script.src);
}

if (FIGURES.length) {
  unpack().then(() => draw(colours())).then(() => {
    document.documentElement.dataset.drawn = "yes";
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(colours()));
    addEventListener("beforeprint", () => draw(PRINT));
    addEventListener("afterprint", () => draw(colours()));
  }).catch((error) => {
    for (const box of document.querySelectorAll(".plot")) {
      box.textContent = "This figure needs a browser of 2023 or newer; the tables hold its numbers.";
    }
    console.error(error);
  });
}
