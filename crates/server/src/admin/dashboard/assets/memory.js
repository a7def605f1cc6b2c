// What the connections cost in memory, term by term, beside what is measured.

import { poll } from "./api.js";
import { bar, h, setText, table } from "./dom.js";
import { count, format } from "./format.js";

const EVERY_MS = 5000;
const PER = { connection: "each connection", shard: "each shard", once: "once", unread: "each unread message" };

export function memory(live) {
  const measured = h("p", { class: "summary" }, "");
  const body = h("div", {}, h("p", { class: "none" }, "Waiting for the server’s ledger."));
  const element = h("section", { class: "card" }, h("h2", {}, "Memory by ledger term"),
    h("p", { class: "meaning" },
      "The ledger is arithmetic: what each thing takes, times how many there are now. Measured is what the kernel says; page tables, code and free memory that malloc keeps make up the difference."),
    measured, body);
  const stop = poll("/api/v1/memory", EVERY_MS, (answer, error) => {
    if (error) {
      body.replaceChildren(h("p", { class: "none" }, `The ledger is not to be had: ${error.message}.`));
      return;
    }
    draw(body, answer);
    setText(measured, words(answer));
  });
  return {
    element,
    update(sample) {
      // What is in RAM is part of every sample, also where the ledger is not to be had.
      if (!measured.textContent) setText(measured, `Measured: ${format(sample.resident_bytes, "bytes")} of this process in RAM.`);
    },
    stop,
  };
}

function words(answer) {
  const { measured = {} } = answer;
  const parts = [];
  const add = (value, text) => value !== undefined && value !== null && parts.push(`${format(value, "bytes")} ${text}`);
  add(measured.resident_bytes ?? answer.resident_bytes, "of this process in RAM");
  add(measured.anonymous_bytes, "of that its own (anonymous)");
  add(measured.kernel_bytes ?? answer.kernel_bytes, "of the kernel for TCP");
  return parts.length ? `Measured: ${parts.join(", ")}.` : "";
}

function draw(body, answer) {
  const terms = (answer.terms ?? []).filter((term) => term.total_bytes > 0).sort((a, b) => b.total_bytes - a.total_bytes);
  const sum = terms.reduce((total, term) => total + term.total_bytes, 0);
  const rows = terms.map((term) => [
    h("span", {}, h("b", {}, term.name), h("span", { class: "meaning block" }, term.place === "kernel" ? "of the kernel" : "of the process")),
    bar(term.total_bytes / (terms[0]?.total_bytes || 1), term.place === "kernel" ? "soft" : ""),
    `${count(term.bytes)} B, ${PER[term.per] ?? term.per}`,
    format(term.total_bytes, "bytes"),
    format(term.total_bytes / sum, "share"),
  ]);
  body.replaceChildren(table("Memory by ledger term",
    [{ label: "Term" }, { label: "" }, { label: "Takes", number: true }, { label: "Together", number: true }, { label: "Share", number: true }],
    rows, "No memory is accounted for yet."),
    h("p", { class: "meaning" }, `Together ${format(sum, "bytes")} by the ledger.`));
}
