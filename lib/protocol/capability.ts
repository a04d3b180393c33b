import { NodalmergeError } from '../errors.js'
import { type ByteGlob, policyGlobBytes } from './glob.js'

/**
 * What a command needs (spec/control-plane.md §1.2, §3). Commands that are not named need nothing; `compact-room` is gated here and
 * not in the reference (design §5, row 8).
 */
const REQUIRED: ReadonlyMap<string, string> = new Map(Object.entries({
  'policy.admin': ['set-policy'],
  'room.admin': ['set-room-key', 'compact-room'],
  'tick.admin': ['start-tick', 'stop-tick'],
  'archive.read': ['archive.describe'],
  'archive.admin': ['archive.validate', 'archive.import', 'archive.export'],
  'query.read': ['projection.read', 'projection.list', 'replay.read-range'],
  'query.admin': [
    'query.register', 'projection.build', 'projection.invalidate',
    'graph.get-frontier', 'graph.get-causal-parents', 'graph.get-canonical-resolution', 'graph.compute-sync-diff'
  ],
  'topology.admin': [
    'topology.create-child', 'topology.describe-lineage', 'topology.list-children',
    'topology.propose-promotion', 'topology.validate-promotion', 'topology.apply-promotion'
  ]
}).flatMap(([capability, commands]) => commands.map((command) => [command, capability])))

/** The capability a command needs, or null when it is open to everybody. */
export function requiredCapability (command: string): string | null {
  return REQUIRED.get(command) ?? null
}

/** The refusal of a command; clients read capability and command out of this very text (spec/control-plane.md §2.2). */
export function forbidden (command: string, capability: string): NodalmergeError {
  return new NodalmergeError(
    'reject.control_plane_forbidden', `reject.control_plane_forbidden: command=${command} requires=${capability}`)
}

/** Null when the capabilities allow the command, else the refusal. Plain membership: `query.admin` does not include `query.read`. */
export function checkCommand (command: string, capabilities: ReadonlySet<string>): NodalmergeError | null {
  const needed = requiredCapability(command)
  return needed === null || capabilities.has(needed) ? null : forbidden(command, needed)
}

/** Which keys a session may read and write; null is every key. */
export interface PathGrants { read: ByteGlob | null, write: ByteGlob | null }

/**
 * The path grants among capabilities: `read:<glob>` and `write:<glob>`, in the dialect of write policies (spec/wire-format.md §13.4).
 * Without any the session may read and write everything; with one of either kind it may do only what is granted.
 */
export function pathGrants (capabilities: Iterable<string>): PathGrants {
  const list = [...capabilities]
  const read = granted(list, 'read:')
  const write = granted(list, 'write:')
  return read.length + write.length === 0 ? { read: null, write: null } : { read: anyOf(read), write: anyOf(write) }
}

function granted (capabilities: readonly string[], kind: string): ByteGlob[] {
  return capabilities.filter((entry) => entry.startsWith(kind)).map((entry) => policyGlobBytes(entry.slice(kind.length)))
}

function anyOf (globs: readonly ByteGlob[]): ByteGlob {
  return (bytes, start, end) => globs.some((matches) => matches(bytes, start, end))
}
