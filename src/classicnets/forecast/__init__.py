"""Tool: estimates time, memory and disk use of a run from a few measured steps (`classicnets train --dry-run`)."""
