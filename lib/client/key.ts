const ITEM = /^(?:(.*)\/)?items\/([0-9a-f]{32})$/s

/** Throws unless `key` can stand in an operation: TypeError for no string, RangeError for a lone surrogate or a reserved key (§7.1). */
export function checkKey (key: unknown): string {
  if (typeof key !== 'string') throw new TypeError('a key is a string')
  if (key.startsWith('\0')) throw new RangeError('keys that start with U+0000 are reserved')
  if (/\p{Cs}/u.test(key)) throw new RangeError('a key must not hold a lone surrogate')
  return key
}

/** What the keys of a namespace start with (spec/client.md §6.1). */
export function prefixOf (namespace: string): string {
  checkKey(namespace)
  return namespace === '' || namespace.endsWith('/') ? namespace : `${namespace}/`
}

/** The map key that holds the content of a list's item. */
export function contentKey (list: string, item: string): string {
  return `${list}/items/${item}`
}

/** The list and the item whose content a map key holds, or null when it is a key like any other. */
export function itemOf (path: string): { list: string, item: string } | null {
  const match = ITEM.exec(path)
  return match === null || match[1] === undefined ? null : { list: match[1], item: match[2] }
}

/** Whether a key belongs to the machinery: the contents of lists and reserved keys. */
export function isHidden (path: string): boolean {
  return path.startsWith('\0') || itemOf(path) !== null
}
