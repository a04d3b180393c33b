type Column = Uint8Array | Uint16Array | Uint32Array | Int32Array | Float64Array

/** The same column with room for at least `needed` entries; doubles, so that appending is O(1) amortised. */
export function grown<T extends Column> (column: T, needed: number): T {
  if (needed <= column.length) return column
  const bigger = new (column.constructor as new (length: number) => T)(Math.max(needed, column.length * 2))
  bigger.set(column)
  return bigger
}
