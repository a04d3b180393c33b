import type { Session } from './session.js'
import type { NodeView } from '../protocol/node.js'
import type { NodalmergeError } from '../errors.js'

/** Where nodes come from: a session, or the server itself. */
export interface Source {
  /** The `from` of the relay. */
  readonly label: string
  /** The session that is left out of the relay; null when nobody is. */
  readonly session: Session | null
  /** Charges new nodes and bytes to the source's limits; throws `reject.rate_limit_nodes` or `reject.rate_limit_bytes`. */
  charge (nodes: number, bytes: number): void
  /** Host and session rights beyond the room policy: null, or why the node may not be written. */
  objection (node: NodeView): Promise<NodalmergeError | null> | NodalmergeError | null
}
