const ZERO = /^0(\.0{0,3})?$/

/**
 * Whether an `Accept-Encoding` header names zstd without refusing it. Other weights and `*` do not matter
 * (spec/storage-and-operations.md §3.3).
 */
export function acceptsZstd (header: string | undefined): boolean {
  return (header ?? '').split(',').some((element) => {
    const [name, ...parameters] = element.split(';').map((part) => part.trim().toLowerCase())
    if (name !== 'zstd') return false
    return !parameters.some((parameter) => {
      const [key, value = ''] = parameter.split('=').map((part) => part.trim())
      return key === 'q' && ZERO.test(value)
    })
  })
}
