/** 9999-12-31T23:59:59Z, the last second the format can say. */
const LAST_SECOND = 253_402_300_799

/** Seconds since 1970 as `YYYY-MM-DDTHH:MM:SSZ`, clamped (spec/storage-and-operations.md §3.5). What is no number never expires. */
export function expiryText (seconds: number): string {
  const shown = seconds <= LAST_SECOND ? Math.max(0, Math.floor(seconds)) : LAST_SECOND
  return new Date(shown * 1000).toISOString().replace('.000Z', 'Z')
}
