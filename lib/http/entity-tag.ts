/** The entity tag of a blob: its name. Both encodings share it (spec/storage-and-operations.md §3.3). */
export function tagOf (hash: string): string {
  return `"${hash}"`
}

/** Whether an `If-None-Match` header holds the tag or `*`; a weak tag counts (RFC 9110 §13.1.2). */
export function matchesTag (header: string | undefined, hash: string): boolean {
  return (header ?? '').split(',').some((element) => {
    const tag = element.trim()
    return tag === '*' || tag.replace(/^W\//, '') === tagOf(hash)
  })
}
