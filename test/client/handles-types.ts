import type { Json } from '../../lib/client/json.js'
import type { Item } from '../../lib/client/list-read.js'
import { type ListHandle, createList } from '../../lib/client/list.js'
import { type MapHandle, createMap } from '../../lib/client/map.js'
import { createWorkspace } from '../../lib/client/workspace.js'
import { createMemoryCore } from './handles-core.js'

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false

const workspace = createWorkspace(createMemoryCore(1))
const settings = createMap<{ title: string, dark: boolean }>(workspace, 'settings')
const loose = createMap(workspace, 'loose')
const cards = createList<{ label: string }>(workspace, 'cards')
const title = settings.get('title')
const dark = settings.get('dark')
const any = loose.get('whatever')
const card = cards.at(0)

type Settings = MapHandle<{ title: string, dark: boolean }>
type Cards = ListHandle<{ label: string }>

/** Each line compiles only while its type is what it says. */
const said: [
  Same<typeof title, string | undefined>,
  Same<typeof dark, boolean | undefined>,
  Same<typeof any, Json | undefined>,
  Same<typeof card, Item<{ label: string }> | undefined>,
  Same<ReturnType<Settings['keys']>, ('title' | 'dark')[]>,
  Same<ReturnType<Settings['entries']>, (['title', string] | ['dark', boolean])[]>,
  Same<ReturnType<Settings['all']>, { title?: string, dark?: boolean }>,
  Same<Parameters<Settings['delete']>[0], 'title' | 'dark'>,
  Same<Parameters<Cards['push']>[0], { label: string }>,
  Same<Parameters<typeof settings.set<'dark'>>[1], boolean>
] = [true, true, true, true, true, true, true, true, true, true]

export const checks: readonly boolean[] = said
export const read = [title, dark, any, card]
