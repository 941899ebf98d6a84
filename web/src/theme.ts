// Light or dark: as the system has it, until the user switches.

import { remember, remembered } from "./memory";

const system = matchMedia("(prefers-color-scheme: dark)");

export function isDark(): boolean {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : system.matches;
}

/** Applies the remembered choice, and calls `changed` whenever the colors change. */
export function startTheme(changed: () => void): void {
  const choice = remembered("theme");
  if (choice === "dark" || choice === "light") document.documentElement.dataset.theme = choice;
  system.addEventListener("change", changed);
}

export function switchTheme(): void {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  remember("theme", theme);
}
