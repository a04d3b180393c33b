import * as z from 'zod'

/** Why a profile cannot be used or does not cover a token (spec/control-plane.md §4.4). */
export type ProfileFault =
  | 'invalid_profile' | 'missing_profile_version' | 'profile_version_mismatch' | 'invalid_token' | 'duplicate_capability'
  | 'too_many_edges' | 'unknown_capability' | 'cycle' | 'depth_exceeded' | 'count_exceeded' | 'payload_exceeded'

export type Expansion = { ok: string[] } | { error: ProfileFault }

/** Capabilities that include others; every limit defaults on its own. */
const definition = z.object({
  profile_version: z.string(),
  supported_profile_versions: z.array(z.string()).default([]),
  nodes: z.array(z.object({ capability: z.string(), inherits: z.array(z.string()).default([]) })),
  limits: z.object({
    max_capability_count: z.number().default(128),
    max_capability_length: z.number().default(128),
    max_flattened_payload_bytes: z.number().default(8192),
    max_dag_depth: z.number().default(16),
    max_edges_per_node: z.number().default(64)
  }).prefault({})
})

/** A capability profile as it is written down. */
export type ProfileDefinition = z.input<typeof definition>
type Profile = z.output<typeof definition>
type Graph = ReadonlyMap<string, readonly string[]>

export interface CapabilityProfile {
  readonly version: string
  /** What is wrong with the profile itself, for the host to be told at start; null when nothing is. */
  readonly fault: ProfileFault | null
  /** Everything the assigned capabilities include, sorted. `claimed` is the profile version the token names. */
  expand (assigned: readonly string[], claimed: unknown): Expansion
}

/** Reads a profile. Throws TypeError when it has not the shape of one. */
export function createProfile (value: unknown): CapabilityProfile {
  const read = definition.safeParse(value)
  if (!read.success) throw new TypeError(`capability profile: ${z.prettifyError(read.error)}`)
  const profile = read.data
  const blank = [profile.profile_version, ...profile.supported_profile_versions].some((version) => trim(version) === '')
  const { graph, broken } = buildGraph(profile)
  return {
    version: profile.profile_version,
    fault: blank ? 'invalid_profile' : broken,
    expand (assigned, claimed) {
      const fault = checkVersion(profile, claimed) ?? broken
      return fault === null ? expand(profile, graph, assigned) : { error: fault }
    }
  }
}

function checkVersion (profile: Profile, claimed: unknown): ProfileFault | null {
  const version = typeof claimed === 'string' ? trim(claimed) : ''
  if (version === '') return 'missing_profile_version'
  const known = version === profile.profile_version || profile.supported_profile_versions.some((other) => trim(other) === version)
  return known ? null : 'profile_version_mismatch'
}

/** The graph up to the first fault in it. */
function buildGraph ({ nodes, limits }: Profile): { graph: Graph, broken: ProfileFault | null } {
  const graph = new Map<string, string[]>()
  const fault = (broken: ProfileFault) => ({ graph, broken })
  for (const { capability, inherits } of nodes) {
    const [name, ...included] = [capability, ...inherits].map((token) => normalise(token, limits.max_capability_length))
    if (name === null || included.includes(null)) return fault('invalid_token')
    if (inherits.length > limits.max_edges_per_node) return fault('too_many_edges')
    if (graph.has(name)) return fault('duplicate_capability')
    graph.set(name, included.filter((token) => token !== null))
  }
  const known = [...graph.values()].flat().every((token) => graph.has(token))
  return known ? { graph, broken: null } : fault('unknown_capability')
}

function expand ({ limits }: Profile, graph: Graph, assigned: readonly string[]): Expansion {
  const included = new Set<string>()
  for (const token of assigned) {
    const name = normalise(token, limits.max_capability_length)
    if (name === null) return { error: 'invalid_token' }
    const fault = include(name, { graph, included, path: new Set(), deepest: limits.max_dag_depth })
    if (fault !== null) return { error: fault }
  }
  if (included.size > limits.max_capability_count) return { error: 'count_exceeded' }
  const names = [...included].sort()
  return names.join(',').length > limits.max_flattened_payload_bytes ? { error: 'payload_exceeded' } : { ok: names }
}

interface Walk { graph: Graph, included: Set<string>, path: Set<string>, deepest: number }

/** Depth first; the path's length is the depth. */
function include (name: string, walk: Walk): ProfileFault | null {
  const inherits = walk.graph.get(name)
  if (inherits === undefined) return 'unknown_capability'
  if (walk.path.size > walk.deepest) return 'depth_exceeded'
  if (walk.path.has(name)) return 'cycle'
  if (walk.included.has(name)) return null
  walk.path.add(name)
  for (const next of inherits) {
    const fault = include(next, walk)
    if (fault !== null) return fault
  }
  walk.path.delete(name)
  walk.included.add(name)
  return null
}

/** A capability name in its one spelling, or null when it is none. Only A to Z are folded. */
function normalise (token: string, longest: number): string | null {
  const name = trim(token).replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  return name.length <= longest && /^[a-z0-9][a-z0-9._-]*$/.test(name) ? name : null
}

const WHITE = /\p{White_Space}/u

/** Without Unicode white space at both ends, which is not what `String.prototype.trim` takes for it. */
function trim (text: string): string {
  let start = 0
  let end = text.length
  while (start < end && WHITE.test(text[start])) start++
  while (end > start && WHITE.test(text[end - 1])) end--
  return text.slice(start, end)
}
