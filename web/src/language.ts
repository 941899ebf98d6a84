// The language of the page: that of its address (?lang=zh), else of the user's last choice, else of the browser.

import { en, type Words } from "./languages/en";
import { zh } from "./languages/zh";
import { remember, remembered } from "./memory";

export let words: Words = chosen() === "zh" ? zh : en;

function chosen(): string {
  const tags = [new URLSearchParams(location.search).get("lang"), remembered("language"), ...navigator.languages];
  return (tags.find((tag) => tag && /^(en|zh)\b/i.test(tag)) ?? "en").slice(0, 2).toLowerCase();
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

/** Switches to the other language, also in an address that names one. */
export function switchLanguage(): void {
  words = words === en ? zh : en;
  const language = words === zh ? "zh" : "en";
  remember("language", language);
  const address = new URL(location.href);
  if (address.searchParams.has("lang")) {
    address.searchParams.set("lang", language);
    try {
      history.replaceState(null, "", address);
    } catch {
      // a page opened from disk may not change its address
    }
  }
  translatePage();
}
