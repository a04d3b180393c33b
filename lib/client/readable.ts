/** A value that changes: made for `useSyncExternalStore` and its like, so the same object is answered until it changes. */
export interface Readable<Value> {
  get (): Value
  /** Calls `listen` after every change. Returns how to stop. */
  subscribe (listen: (value: Value) => void): () => void
}
