import { setImmediate as turn } from 'node:timers/promises'
import { type Doc, createDoc } from '../../lib/client/index.js'
import { folderStorage } from '../../lib/client/storage-folder.js'
import { watchPauses } from './client-pause.js'
import { at } from './sample.js'
import { traceOf } from './trace.js'
import type { Place } from './visitor.js'

export type ClientCommands = ReturnType<typeof commands>

/** A document of a room. With `folder` what it knows is kept there; `flushMs` is the client's own unless given. */
export interface Opening { place: Place, folder?: string, flushMs?: number, connect?: boolean }

/** The beginning of the sequential trace: so many edits, then a turn of the event loop, as an editor has one between keys. */
export interface Typing { edits: number, perTurn: number }

/** Milliseconds since the epoch, comparable between the processes of one machine. */
type Moment = number

/** `pause` is the longest stretch of work in which nothing else got its turn, in milliseconds. */
export interface Lasted { began: Moment, ended: Moment, pause: number }

/** What a local write takes until it shows, in microseconds; `slowest` is the 99th percentile of both. */
export interface Writes { map: number, key: number, slowest: number }

/** The text that the trace is typed into; the nodes that are made of it without a client name it so. */
export const KEY = 't'

const now = (): Moment => performance.timeOrigin + performance.now()

/** A client, in a process of its own as every page has one. */
export function commands () {
  let doc: Doc | null = null

  function open (): Doc {
    if (doc === null) throw new Error('no document is open')
    return doc
  }

  async function close (): Promise<void> {
    await doc?.close()
    doc = null
  }

  /** Resolves when the text shown has a length. */
  async function shows (length: number): Promise<void> {
    const text = open().text(KEY)
    if (text.length === length) return
    await new Promise<void>((resolve) => {
      const end = text.observe(() => {
        if (text.length !== length) return
        end()
        resolve()
      })
    })
  }

  return {
    /** Opens a document; ends once what is kept locally is there. */
    open: async ({ place: { port, room }, folder, ...options }: Opening): Promise<Lasted> => await lasting(async () => {
      const storage = folder === undefined ? {} : { storage: folderStorage({ path: folder }) }
      doc = await createDoc({ url: `ws://127.0.0.1:${port}`, room, ...options, ...storage })
    }),

    type: async ({ edits, perTurn }: Typing): Promise<Lasted> => {
      const { txns } = traceOf('sequential', edits)
      const text = open().text(KEY)
      return await lasting(async () => {
        for (let i = 0; i < txns.length; i++) {
          for (const [position, deleted, inserted] of txns[i].patches) text.replace(position, position + deleted, inserted)
          if (i % perTurn === perTurn - 1) await turn()
        }
      })
    },

    /** Ends when the server has everything durably. */
    flush: async (): Promise<Lasted> => await lasting(async () => await open().flush()),
    synced: async (): Promise<void> => await open().whenSynced(),
    /** Ends when everything is in local storage. */
    saved: async (): Promise<void> => await open().saved(),
    shows: async (length: number): Promise<Lasted> => await lasting(async () => await shows(length)),
    text: (): string => open().text(KEY).toString(),

    /** Writes `count` values and as many single characters, each a node at once. */
    async writes (count: number): Promise<Writes> {
      const map = open().map('bench')
      const text = open().text(KEY)
      const middle = Math.floor(text.length / 2)
      const [values, keys] = [new Float64Array(count), new Float64Array(count)]
      for (let i = 0; i < count; i++) {
        values[i] = taken(() => map.set(`k${i % 10}`, i))
        keys[i] = taken(() => {
          text.insert(middle, 'x')
          // An anchor names a character that has its id, so it makes a node of what was typed.
          text.anchor(middle)
        })
        await turn()
      }
      return { map: shareOf(values, 0.5), key: shareOf(keys, 0.5), slowest: shareOf(Float64Array.of(...values, ...keys), 0.99) }
    },

    /** Resident bytes, after a collection where Node was told to offer that. */
    usage (): number {
      globalThis.gc?.()
      return process.memoryUsage().rss
    },

    close,
    stop: close
  }
}

async function lasting (run: () => Promise<void>): Promise<Lasted> {
  const stop = watchPauses()
  const began = now()
  await run()
  const ended = now()
  await turn()
  return { began, ended, pause: stop() }
}

function taken (run: () => void): number {
  const start = performance.now()
  run()
  return (performance.now() - start) * 1000
}

function shareOf (values: Float64Array, share: number): number {
  return at(values.sort(), share)
}
