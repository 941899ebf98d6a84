// The language of the page: that of the browser, until the user switches.

import { en, type Words } from "./languages/en";
import { zh } from "./languages/zh";
import { remember, remembered } from "./memory";

export let words: Words = chosen() === "zh" ? zh : en;

function chosen(): string {
  return remembered("language") ?? (navigator.languages.find((tag) => /^(en|zh)\b/i.test(tag)) ?? "en").slice(0, 2);
}

/** Writes the texts of the elements with an attribute `data-text`, and the labels of those with `data-label`. */
export function translatePage(): void {
  document.documentElement.lang = words.code;
  for (const element of document.querySelectorAll<HTMLElement>("[data-text], [data-label], [data-title]")) {
    const { text, label, title } = element.dataset;
    if (text) element.textContent = words[text as TextKey];
    if (label) element.setAttribute("aria-label", words[label as TextKey]);
    if (title) element.title = words[title as TextKey];
  }
}

type TextKey = { [K in keyof Words]: Words[K] extends string ? K : never }[keyof Words];

/** Switches to the other language. */
export function switchLanguage(): void {
  words = words === en ? zh : en;
  remember("language", words === zh ? "zh" : "en");
  translatePage();
}
