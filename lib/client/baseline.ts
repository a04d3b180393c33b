import type { Clock } from '../clock.js'
import { cut } from '../dag/cut.js'
import { NONE, type Ranges } from '../dag/ranges.js'
import { equalBytes } from '../protocol/bytes.js'
import { fromHex, fromHexList } from '../protocol/hex.js'
import { type NodeView, ID_LENGTH, idOf } from '../protocol/node.js'
import { keyAt } from '../protocol/id-key.js'
import type { Replica } from './replica.js'
import { drive } from './slice.js'

/** What a `welcome` says of the server's nodes; an embedded host of the original project says neither root nor frontier. */
export interface Announced {
  root?: string | undefined
  frontier?: readonly unknown[] | undefined
  missing?: readonly unknown[] | undefined
}

/**
 * What the server of this session holds, as far as it matters for what it has to be sent (spec/client.md §11.2). Announced heads that
 * are held here tell it exactly; unknown ones are on their way, and with them everything is told. Nodes that come prove the rest.
 */
export interface Baseline {
  /** Everything announced has arrived. */
  readonly caughtUp: boolean
  /** A session begins. `literal`: `missing` lists what the server lacks, and an empty list means that it lacks nothing. */
  begin (announced: Announced, literal: boolean): void
  /** The server holds this node. */
  seen (node: NodeView): void
  /** A pack was worked off. */
  look (): void
  /** What is followed has arrived; heads of the rest will not come. */
  followed (): void
  end (): void
}

/** A catch-up that stands still for so long, in milliseconds, is not waited for: what was proven until then has to do. */
const QUIET_MS = 2000

/** `settled`: what the server lacks is known, or being looked up. */
interface Session { heads: Uint8Array[], proven: Map<string, Uint8Array>, settled: boolean, followed: boolean, cancel: () => void }

/** `ready` is told once a session which confirmed nodes the server lacks: too many when it did not say enough, never too few. */
export function createBaseline (replica: Replica, clock: Clock, ready: (lost: Ranges) => void): Baseline {
  const { dag } = replica
  let session: Session | null = null

  function begin (announced: Announced, literal: boolean): void {
    const root = fromHex(announced.root, ID_LENGTH)
    const heads = fromHexList(announced.frontier)
    const own: Session = { heads, proven: new Map(heads.map((head) => [keyAt(head), head])), settled: false, followed: false, cancel: () => {} }
    session = own
    const nothing = dag.size === 0 || (root !== null && equalBytes(root, dag.root())) || (literal && fromHexList(announced.missing).length === 0)
    if (nothing) finish(own, NONE)
    else if (root !== null && held(own)) compute(own)
    else wait(own)
  }

  const held = (own: Session): boolean => own.heads.every((head) => replica.has(head))

  function wait (own: Session): void {
    own.cancel()
    own.cancel = clock.after(QUIET_MS, () => { compute(own) })
  }

  function finish (own: Session, lost: Ranges): void {
    own.cancel()
    own.settled = true
    ready(lost)
  }

  async function compute (own: Session): Promise<void> {
    own.settled = true
    own.cancel()
    const lost = await drive(cut(dag, dag.size, [...own.proven.values()]))
    if (session === own) finish(own, lost)
  }

  return {
    get caughtUp () { return session !== null && (session.followed || held(session)) },
    begin,
    seen (node) {
      if (session === null || session.settled) return
      const { proven } = session
      for (let i = 0; i < node.parentCount; i++) proven.delete(keyAt(node.bytes, node.parents + ID_LENGTH * i))
      proven.set(keyAt(node.bytes, node.start), idOf(node).slice())
    },
    look () {
      if (session === null || session.settled) return
      if (session.heads.length > 0 && held(session)) compute(session)
      else wait(session)
    },
    followed () { if (session !== null) session.followed = true },
    end () {
      session?.cancel()
      session = null
    }
  }
}
