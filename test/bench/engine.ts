import { createVerifier } from '../../lib/crypto/verifier.js'
import { loadBlake3 } from '../../lib/protocol/blake3.js'
import { authorOf, idOf, scanNode, signatureOf } from '../../lib/protocol/node.js'
import { cursor } from '../../lib/protocol/postcard.js'
import { nodeAt, signedChains } from './corpus.js'

export type EngineCommands = ReturnType<typeof commands>

/** Jobs of one call, as many as a busy server hands over in one turn of its event loop. */
const JOBS_PER_CALL = 64

/** Work that needs no server: what this machine can do at all. */
export function commands () {
  return {
    /** Signatures verified per second on two worker threads with `flight` of them under way, `count` in all. */
    async verify ({ count, flight }: { count: number, flight: number }): Promise<number> {
      const corpus = await signedChains('keystroke', 1, count, await loadBlake3())
      const jobs = Array.from({ length: count }, (_, i) => {
        const node = scanNode(cursor(nodeAt(corpus, i)))
        return { author: authorOf(node), id: idOf(node), signature: signatureOf(node) }
      })
      const verifier = createVerifier({ threads: 2 })
      await verifier.verify(jobs.slice(0, 2 * JOBS_PER_CALL))
      let next = 0
      const start = performance.now()
      const lane = async (): Promise<void> => {
        while (next < count) {
          const part = jobs.slice(next, next += JOBS_PER_CALL)
          if ((await verifier.verify(part)).includes(false)) throw new Error('a good signature was refused')
        }
      }
      await Promise.all(Array.from({ length: Math.ceil(flight / JOBS_PER_CALL) }, lane))
      const seconds = (performance.now() - start) / 1000
      await verifier.close()
      return count / seconds
    },

    stop (): void {}
  }
}
