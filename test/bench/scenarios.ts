import type { Scenario } from './bench.js'
import { client } from './client.js'
import { fanout } from './fanout.js'
import { ingest } from './ingest.js'
import { join } from './join.js'
import { memory } from './memory.js'
import { rejoin } from './rejoin.js'
import { rooms } from './rooms.js'
import { text } from './text.js'

/** Every scenario by the name it is chosen by, in the order in which they run. */
export const SCENARIOS: Record<string, Scenario> = { ingest, fanout, rooms, join, rejoin, memory, text, client }
