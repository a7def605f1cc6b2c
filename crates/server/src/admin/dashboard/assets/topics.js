// Topics: who has most members, who has most traffic, and a search. None of it looks at all connections.

import { poll } from "./api.js";
import { bar, h, heading, section, setText, table } from "./dom.js";
import { connectionTable, disconnectButton } from "./connections.js";
import { count, format } from "./format.js";

const EVERY_MS = 2000;
const FROM = {
  census: (age) => `From the last whole look through the tables, a slice at a time${age}: members are exact as of then.`,
  sketch: (age) => `From a sketch that counts the busiest topics${age}: it never misses a topic with a large share, and small ones are estimates.`,
  search: () => "Looked up now, a slice of the tables at a time; the largest of each slice are shown.",
};

export function show(main, { argument, query }) {
  return argument === null ? list(main, query) : detail(main, argument);
}

function list(main, query) {
  const search = query.get("search") ?? "";
  const sort = query.get("sort") === "rate" ? "rate" : "members";
  const limit = query.get("limit") ?? "25";
  const field = h("input", { type: "search", id: "search", value: search, placeholder: "room:*", autocomplete: "off", spellcheck: "false" });
  const by = h("select", { id: "sort" }, h("option", { value: "members", selected: sort === "members" }, "most members"),
    h("option", { value: "rate", selected: sort === "rate" }, "most messages"));
  const most = h("select", { id: "limit" }, ["10", "25", "50", "100"].map((n) => h("option", { value: n, selected: n === limit }, n)));
  const go = (event) => {
    event?.preventDefault();
    const wanted = new URLSearchParams({ sort: by.value, limit: most.value });
    if (field.value.trim()) wanted.set("search", field.value.trim());
    location.hash = `#/topics?${wanted}`;
  };
  by.addEventListener("change", go);
  most.addEventListener("change", go);
  const form = h("form", { class: "row", role: "search", onsubmit: go },
    h("label", { for: "search" }, "Topic"), field, h("label", { for: "sort" }, "by"), by, h("label", { for: "limit" }, "show"), most,
    h("button", {}, "Search"));
  const source = h("p", { class: "meaning" }, "");
  const body = h("div", {}, h("p", { class: "none" }, "Waiting for the server."));
  const title = search ? `Topics that match ${search}` : sort === "rate" ? "Topics with most messages" : "Topics with most members";
  main.append(heading("Topics", "Which rooms are large and which are busy. A * at the end of a search stands for the rest."),
    h("section", { class: "card" }, h("h2", {}, title), form, source, body));
  const wanted = new URLSearchParams({ sort, limit });
  if (search) wanted.set("search", search);
  return poll(`/api/v1/topics?${wanted}`, EVERY_MS, (answer, error) => {
    if (error) {
      body.replaceChildren(h("p", { class: "none" }, `The topics are not to be had: ${error.message}.`));
      return;
    }
    setText(source, sourceWords(answer));
    body.replaceChildren(topicTable(answer.topics ?? [], sort, search));
  });
}

function sourceWords({ from, as_of_s: age, complete }) {
  const old = age === undefined || age === null ? "" : age < 1 ? ", of this second" : `, ${count(age)} s ago`;
  const words = FROM[from] ? FROM[from](old) : "";
  return complete === false ? `${words} There are more than are shown.` : words;
}

function topicTable(topics, sort, search) {
  const key = sort === "rate" ? "messages_per_s" : "members";
  const most = Math.max(...topics.map((topic) => topic[key] ?? 0), 1);
  const rows = topics.map((topic) => [
    h("a", { href: `#/topics/${encodeURIComponent(topic.topic)}` }, topic.topic),
    bar((topic[key] ?? 0) / most),
    maybe(topic.members, "count"),
    maybe(topic.messages_per_s, "rate", topic.error),
    maybe(topic.deliveries_per_s, "rate"),
  ]);
  return table("Topics", [{ label: "Topic" }, { label: "" }, { label: "Members", number: true },
    { label: "Messages", number: true }, { label: "Deliveries", number: true }], rows,
  search ? "No topic with members matches." : "No topic has members now.");
}

/** A number that may not be known, with how far it may be off where it is an estimate. */
function maybe(value, kind, error) {
  if (value === null || value === undefined) return "–";
  return error ? `${format(value, kind)} ± ${format(error, "rate")}` : format(value, kind);
}

function detail(main, topic) {
  const facts = h("dl", { class: "facts" });
  const members = h("div", {});
  const said = h("p", { role: "status", class: "said" });
  main.append(
    h("p", { class: "back" }, h("a", { href: "#/topics" }, "← All topics")),
    heading(topic, "One topic: its members are the connections that have joined it."),
    section("Now", "Members are counted on every shard at the moment; rates are of the last seconds.", facts,
      h("div", { class: "row" }, disconnectButton({ topic }, `every member of ${topic}`, said)), said),
    section("Members", "The first of them, in no order.", members));
  return poll(`/api/v1/topics/${encodeURIComponent(topic)}`, EVERY_MS, (answer, error) => {
    if (error) {
      facts.replaceChildren();
      members.replaceChildren(h("p", { class: "none" }, error.status === 404 ? `${topic} has no members now.` : `It is not to be had: ${error.message}.`));
      return;
    }
    const items = [["Members", maybe(answer.members, "count")], ["Messages", maybe(answer.messages_per_s, "rate")],
      ["Deliveries", maybe(answer.deliveries_per_s, "rate")]];
    facts.replaceChildren(...items.map(([term, text]) => h("div", {}, h("dt", {}, term), h("dd", {}, text))));
    const page = Array.isArray(answer.connections) ? answer.connections : answer.connections?.connections ?? [];
    members.replaceChildren(connectionTable(page, "It has no members now."));
  });
}
