/** Remembers what was made for a key, for at most `limit` keys: who sends new keys all the time costs itself time, not us memory. */
export interface Recent<V> {
  get (key: Uint8Array): V
}

export function createRecent<V> (limit: number, make: (key: Uint8Array) => V): Recent<V> {
  let young = new Map<string, V>()
  let old = young
  return {
    get (key) {
      const name = String.fromCharCode(...key)
      const known = young.get(name)
      if (known !== undefined) return known
      const value = old.get(name) ?? make(key)
      if (young.size >= limit / 2) {
        old = young
        young = new Map()
      }
      young.set(name, value)
      return value
    }
  }
}
