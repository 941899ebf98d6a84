// Remembers choices of the user where the browser allows it; pages opened from disk may have no storage.

export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`classicnets ${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`classicnets ${key}`, value);
  } catch {
    // the choice holds until the page is closed
  }
}
