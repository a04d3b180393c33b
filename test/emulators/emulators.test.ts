import t from 'tap'
import { loadBlake3 } from '../../lib/protocol/blake3.js'
import { miniArena } from './arena.js'
import { cases } from './cases.js'
import { IBF_KEYS } from './ibf32.js'
import { MST_KEYS } from './mst.js'

const blake3 = await loadBlake3([...IBF_KEYS, ...MST_KEYS])

cases(t, blake3, miniArena(blake3))
