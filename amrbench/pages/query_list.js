"use strict";
// Lists the queries of a page in an order, as far as they have the words that are searched for.
(() => {
  const PAGE = 20; // Queries that are listed at once.
  const find = (name) => document.getElementById(`query-${name}`);
  const values = (name) => JSON.parse(document.getElementById(name).textContent);
  const { systems, metrics, qids, values: scores, orders } = values("query-data");
  const { timelines } = values("timelines");
  const texts = timelines.map(({ query, vid }, row) => `${query} ${vid} ${qids[row]}`.toLowerCase());
  let rows = [];

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  const table = (row) => {
    const head = ["", ...metrics].map((name) => make(name ? "th" : "td", name ? { scope: "col" } : {}, name));
    const body = systems.map((name, system) => make("tr", {},
      make("th", { scope: "row" }, name),
      ...scores[system][row].map((value) => make("td", { class: "number" }, String(+value.toFixed(2))))));
    return make("table", { class: "query-values" },
      make("caption", {}, `id ${qids[row]}`),
      make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  };

  const more = () => {
    const list = find("list");
    for (const row of rows.slice(list.children.length, list.children.length + PAGE)) {
      const item = make("li", {}, make("div", { class: "timeline", "data-timeline": row }));
      if (systems.length) item.append(table(row));
      list.append(item);
    }
    const shown = list.children.length;
    find("more").hidden = shown === rows.length;
    find("count").textContent = rows.length
      ? `${rows.length} of ${qids.length} queries, the first ${shown} are shown.`
      : "No query has these words.";
    Timelines.watch(list);
  };

  const search = () => {
    const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const heard = find("sound")?.checked;
    rows = orders[+find("order").value].filter((row) =>
      words.every((word) => texts[row].includes(word)) && (!heard || timelines[row].audio !== null));
    find("list").replaceChildren();
    more();
  };

  find("form").addEventListener("input", search);
  find("form").addEventListener("submit", (event) => event.preventDefault());
  find("more").addEventListener("click", () => {
    const before = find("list").children.length;
    more();
    const next = find("list").children[before];
    next.tabIndex = -1;
    next.focus();
  });
  find("form").hidden = false;
  search();
})();
