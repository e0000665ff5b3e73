"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const unique = (values) => [...new Set(values)];
const fixed = (value, digits) => (Number(value.toFixed(digits)) + 0).toFixed(digits).replace("-", "−"); // no negative zero
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

// --- light and dark: the system's choice until the reader chooses -----------------------------------------------------
$("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// --- tabs: one panel at a time, all of them on paper and without scripts ----------------------------------------------
const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(tab, focus = false) {
  for (const other of tabs) {
    const on = other === tab;
    other.ariaSelected = on;
    other.tabIndex = on ? 0 : -1;
    $(other.getAttribute("aria-controls")).hidden = !on;
  }
  if (focus) tab.focus();
}
for (const tab of tabs) {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", (event) => {
    const place = tabs.indexOf(tab);
    const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    openTab(tabs[(to + tabs.length) % tabs.length], true);
  });
}
function openNamed() {
  const tab = tabs.find((one) => `#${one.getAttribute("aria-controls")}` === location.hash);
  if (tab) openTab(tab);
  if (tab) $("more").scrollIntoView();
}
addEventListener("hashchange", openNamed);
if (tabs.length) openTab(tabs[0]);
openNamed();

addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });

// Keys belong to the part of the page that the reader looks at.
function looksAt(part) {
  const box = part.getBoundingClientRect();
  return box.height > 0 && box.top < innerHeight / 2 && box.bottom > innerHeight / 2;
}

function onKeys(part, actions) {
  addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), select, summary, [role=tab]");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !looksAt(part)) return;
    const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || (event.key === " " && event.target.closest?.("button, a, input"))) return;
    event.preventDefault();
    action();
  });
}
