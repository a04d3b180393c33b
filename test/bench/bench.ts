import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClientCommands } from './client-doc.js'
import type { EngineCommands } from './engine.js'
import type { LoadCommands } from './load.js'
import { type Commands, type Remote, type Role, attach, launch } from './process.js'
import { type Figures, type Row, rowOf } from './sample.js'
import type { ServerCommands, Start } from './server.js'
import type { Place } from './visitor.js'

/** What a scenario works with. */
export interface Bench {
  /** The first figure, or the second one when only the bench itself is tested. */
  size (full: number, tiny: number): number
  /** How often a short measurement is repeated. */
  readonly runs: number
  server (start: Start, node?: readonly string[]): Promise<Host>
  load (): Promise<Remote<LoadCommands>>
  engine (): Promise<Remote<EngineCommands>>
  /** A process that holds a document; `node` are options of Node. */
  client (node?: readonly string[]): Promise<Remote<ClientCommands>>
  /** A folder that is removed at the end. */
  folder (): Promise<string>
  /** Makes something that several scenarios need once. */
  once<Thing> (name: string, make: () => Promise<Thing>): Promise<Thing>
  report (what: string, unit: string, figures: Figures): void
}

/** A running server and how to reach its rooms. */
export interface Host extends Remote<ServerCommands> {
  place (room: string): Place
  /** Runs something and answers its result with the server's processor seconds meanwhile. */
  costOf<Result> (work: () => Promise<Result>): Promise<{ result: Result, cpu: number }>
}

export type Scenario = (bench: Bench) => Promise<void>

export interface BenchOptions {
  /** Everything at a size at which nothing is measured, in this process: proves that the scenarios run. */
  tiny: boolean
  /** Where processor profiles of the servers under test go. */
  profiles?: string | undefined
  /** Hears of every row as it comes. */
  progress (row: Row): void
}

/** The settings of one run of the bench; `close` ends what a failed scenario left behind. */
export function createBench ({ tiny, profiles, progress }: BenchOptions): { rows: Row[], during (name: string, scenario: Scenario): Promise<void>, close (): Promise<void> } {
  const rows: Row[] = []
  const folders: string[] = []
  const made = new Map<string, Promise<unknown>>()
  let open = new Set<Remote<Commands>>()

  async function process<Known extends Commands> (role: Role, node: readonly string[] = []): Promise<Remote<Known>> {
    const remote = tiny ? await attach<Known>(role) : launch<Known>(role, node)
    open.add(remote as unknown as Remote<Commands>)
    return {
      ask: remote.ask,
      async end () {
        open.delete(remote as unknown as Remote<Commands>)
        await remote.end()
      }
    }
  }

  async function server (start: Start, node: readonly string[] = []): Promise<Host> {
    const profile = profiles === undefined || start.kind === 'plain' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`]
    const remote = await process<ServerCommands>('server', [...node, ...profile])
    const port = await remote.ask('start', tiny ? { ...start, threads: 1 } : start)
    return {
      ...remote,
      place: (room) => ({ port, room, plain: start.kind === 'plain' }),
      async costOf (work) {
        const before = await remote.ask('usage', false)
        const result = await work()
        const { cpu } = await remote.ask('usage', false)
        return { result, cpu: cpu - before.cpu }
      }
    }
  }

  async function close (): Promise<void> {
    const left = [...open]
    open = new Set()
    for (const remote of left) await remote.end()
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  }

  const benchOf = (name: string): Bench => ({
    size: (full, small) => tiny ? small : full,
    runs: tiny ? 1 : 3,
    server,
    load: async () => await process<LoadCommands>('load'),
    engine: async () => await process<EngineCommands>('engine'),
    client: async (node) => await process<ClientCommands>('client-doc', node),
    async folder () {
      const folder = await mkdtemp(join(tmpdir(), 'nodalmerge-bench-'))
      folders.push(folder)
      return folder
    },
    async once<Thing> (key: string, make: () => Promise<Thing>) {
      const thing = made.get(key) ?? make()
      made.set(key, thing)
      return await (thing as Promise<Thing>)
    },
    report (what, unit, figures) {
      const row = rowOf(name, what, unit, figures)
      rows.push(row)
      progress(row)
    }
  })

  return { rows, close, during: async (name, scenario) => await scenario(benchOf(name)) }
}

/** Does something `runs` times for ours and for the rival in turn, so that both meet the same weather. */
export async function inTurn<Result> (runs: number, ours: (run: number) => Promise<Result>, plain: (run: number) => Promise<Result>):
Promise<{ ours: Result[], plain: Result[] }> {
  const results: { ours: Result[], plain: Result[] } = { ours: [], plain: [] }
  for (let run = 0; run < runs; run++) {
    results.ours.push(await ours(run))
    results.plain.push(await plain(run))
  }
  return results
}
