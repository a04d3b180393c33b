/** What is used of a message port; the types of Node.js know it by other names than browsers do. */
interface Port { onmessage: (() => void) | null, postMessage (message: null): void, close (): void }

/** Lets everything that waits run before it resolves: frames, input, timers. A timer of a browser would wait 4 ms, a message does not. */
export function breathe (): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel() as unknown as { port1: Port, port2: Port }
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}
