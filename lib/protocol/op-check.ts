import type { Op } from './op.js'

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isNumber: Check = (value) => typeof value === 'number'
const isBytes: Check = (value) => value instanceof Uint8Array
const isId: Check = (value) => isObject(value) && isNumber(value.lamport) && isBytes(value.author)

/** The fields of each operation besides `type` and `key`. */
const FIELDS: Readonly<Record<Op['type'], Readonly<Record<string, Check>>>> = {
  'map-set': { value: isBytes },
  'map-delete': {},
  'map-set-blob': { hash: isBytes },
  'list-insert': { item: isBytes, position: isText },
  'list-delete': { item: isBytes },
  'list-move': { item: isBytes, position: isText },
  'text-insert': { after: (value) => value === null || isId(value), char: isText },
  'text-delete': { target: isId },
  'text-insert-range': { anchor: isAnchor, text: isText },
  'text-delete-range': { anchor: isAnchor, count: isNumber }
}

/**
 * Guards the public edge: throws TypeError unless `ops` is a list of operations, and RangeError for a type or an anchor that does not
 * exist. Whether the values fit the format is seen when they are written.
 */
export function checkOps (ops: unknown): asserts ops is readonly Op[] {
  if (!Array.isArray(ops)) throw new TypeError('operations are an array')
  for (const op of ops) checkOp(op)
}

function checkOp (op: unknown): void {
  if (!isObject(op) || typeof op.type !== 'string') throw new TypeError('an operation is an object with a type')
  if (!isType(op.type)) throw new RangeError(`there is no operation of type '${op.type}'`)
  if (!isText(op.key)) throw new TypeError('the key of an operation is a string')
  for (const [field, check] of Object.entries(FIELDS[op.type])) {
    if (!check(op[field])) throw new TypeError(`the field '${field}' of a ${op.type} has a wrong type`)
  }
}

function isType (type: string): type is Op['type'] {
  return Object.hasOwn(FIELDS, type)
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isAnchor (value: unknown): boolean {
  if (!isObject(value) || !isText(value.at)) return false
  if (value.at === 'after') return isId(value.id)
  if (value.at === 'offset') return isNumber(value.offset)
  if (value.at === 'start' || value.at === 'end') return true
  throw new RangeError('an anchor is at start, end, after or offset')
}
