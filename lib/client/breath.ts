/** What is used of a message port; the types of Node.js know it by other names than browsers do. */
interface Port { onmessage: (() => void) | null, postMessage (message: null): void, close (): void }

/**
 * Lets everything that waits run before it resolves: frames, input, timers. A timer of a browser would wait 4 ms, a message does not.
 * Node.js works off a thousand messages before it looks at anything else, and has `setImmediate` for this.
 */
export function breathe (): Promise<void> {
  const { setImmediate }: { setImmediate?: (run: () => void) => unknown } = globalThis
  return new Promise((resolve) => {
    if (setImmediate !== undefined) {
      setImmediate(resolve)
      return
    }
    const { port1, port2 } = new MessageChannel() as unknown as { port1: Port, port2: Port }
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}
