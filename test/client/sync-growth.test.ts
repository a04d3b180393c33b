import t from 'tap'
import { growth } from '../protocol/growth.js'
import { createRig, setOp, turns, until } from './sync-rig.js'
import { ownHost } from './sync-hosts.js'
