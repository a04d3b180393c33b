import t from 'tap'
import { NodalmergeError } from '../../lib/errors.js'
import { createSigner, verifyOne } from '../../lib/crypto/ed25519.js'
import { checkCommand, forbidden, pathGrants, requiredCapability } from '../../lib/protocol/capability.js'
import { checkContinuity } from '../../lib/protocol/continuity.js'
import type { ByteGlob } from '../../lib/protocol/glob.js'
import { toHex } from '../../lib/protocol/hex.js'
import { type ProfileDefinition, createProfile } from '../../lib/protocol/profile.js'
import { type TokenContext, mintToken, tokenMessage, verifyToken } from '../../lib/protocol/token.js'
import { controlPlane, hex, published, seedOf, utf8 } from './vectors.js'

const room = createSigner(seedOf(1))
const peer = createSigner(seedOf(2)).publicKey
const context: TokenContext = { room: 'my-room', pubkey: toHex(peer), key: room.publicKey, now: 99, verify: verifyOne }
const claims = { room: 'my-room', peer, expiry: 100, caps: ['query.read'] }
const token = { ...mintToken(claims, room) }

/** The answer as the vectors write it: 'ok', or the text behind `auth: `. */
async function outcome (value: Record<string, unknown> | undefined, over: Partial<TokenContext> = {}): Promise<string> {
  const answer = await verifyToken(value, { ...context, ...over })
  if (!(answer instanceof NodalmergeError)) return 'ok'
  return answer.message.startsWith('auth: ') ? answer.message.slice(6) : `without prefix: ${answer.message}`
}

const code = async (value: Record<string, unknown> | undefined, over: Partial<TokenContext> = {}) => {
  const answer = await verifyToken(value, { ...context, ...over })
  return answer instanceof NodalmergeError ? answer.code : 'ok'
}

t.test('TK-1 the signed bytes and the signatures are those of the vectors', async (t) => {
  const all = [...controlPlane.room_token.vectors, controlPlane.jwt_bridge.expected_room_token]
  for (const vector of all) {
    const signer = createSigner(seedOf(vector.room_seed_byte))
    const claims = { room: vector.room_id, peer: hex(vector.peer_pubkey), expiry: BigInt(vector.expiry), caps: [...vector.caps_sorted].reverse() }
    t.equal(toHex(tokenMessage(claims)), vector.message_hex)
    t.equal(toHex(signer.publicKey), vector.room_pubkey)
    t.equal(toHex(signer.sign(tokenMessage(claims))), vector.sig)
    const minted = { peer_pubkey: vector.peer_pubkey, expiry: claims.expiry, caps: vector.caps_sorted, sig: vector.sig }
    t.equal(await outcome(minted, { room: vector.room_id, pubkey: vector.peer_pubkey, key: signer.publicKey, now: 0 }), 'ok')
    if (!Number.isSafeInteger(Number(vector.expiry))) continue
    t.same(mintToken({ ...claims, expiry: Number(vector.expiry) }, signer), { ...minted, expiry: Number(vector.expiry) })
  }
  for (const vector of published.derived.room_tokens) {
    const claims = { room: vector.room_id, peer: createSigner(hex(vector.peer_seed_hex)).publicKey, expiry: BigInt(vector.expiry_secs), caps: vector.caps_input }
    t.equal(toHex(tokenMessage(claims)), vector.message_hex)
    t.equal(toHex(createSigner(hex(vector.room_seed_hex)).sign(tokenMessage(claims))), vector.token.sig)
    t.equal(toHex(claims.peer), vector.token.peer_pubkey)
  }
})

t.test('TK-2 tokens behave as the vectors say', async (t) => {
  const texts: Record<string, string> = {
    ok: 'ok',
    Expired: 'token has expired',
    BadSignature: 'signature verification failed',
    PeerMismatch: 'token peer_pubkey does not match connecting peer'
  }
  for (const vector of published.reference.room_token_behaviour) {
    const signer = createSigner(seedOf(vector.room_seed_byte))
    const peer = createSigner(seedOf(vector.peer_seed_byte)).publicKey
    const expiry = BigInt(vector.expiry_secs)
    const sig = toHex(signer.sign(tokenMessage({ room: vector.room_id, peer, expiry, caps: vector.caps })))
    for (const { now, result, tampered_caps: tampered, connecting_peer_seed_byte: other, room_id: elsewhere } of vector.verify) {
      const pubkey = toHex(other === undefined ? peer : createSigner(seedOf(other)).publicKey)
      const value = { peer_pubkey: toHex(peer), expiry, caps: tampered ?? vector.caps, sig }
      t.equal(await outcome(value, { room: elsewhere ?? vector.room_id, pubkey, key: signer.publicKey, now: Number(now) }), texts[result], `${result} at ${now}`)
    }
  }
})

t.test('TK-3 checks are made in order, each with its text and code', async (t) => {
  const bad = { ...token, sig: 'no', peer_pubkey: 'no' }
  const rows: [string, string, Record<string, unknown> | undefined, Partial<TokenContext>?][] = [
    ['room is locked — include a capability token in hello', 'unauthorized.token_missing', undefined],
    ['missing token.peer_pubkey', 'unauthorized.token_invalid', {}],
    ['missing token.expiry', 'unauthorized.token_invalid', { peer_pubkey: 'no' }],
    ['missing token.sig', 'unauthorized.token_invalid', { peer_pubkey: 'no', expiry: 1 }],
    ['invalid peer pubkey in hello', 'unauthorized.token_invalid', bad, { pubkey: '' }],
    ['malformed token field: peer_pubkey', 'unauthorized.token_invalid', bad],
    ['malformed token field: sig', 'unauthorized.token_invalid', { ...bad, peer_pubkey: '00'.repeat(32) }],
    ['token peer_pubkey does not match connecting peer', 'unauthorized.token_peer_mismatch', { ...token, peer_pubkey: '00'.repeat(32) }, { now: 500 }],
    ['token has expired', 'unauthorized.token_expired', { ...token, sig: '00'.repeat(64) }, { now: 100 }],
    ['signature verification failed', 'unauthorized.token_invalid', { ...token, continuity: {} }, { room: 'other' }],
    ['signature verification failed', 'unauthorized.token_invalid', { ...token, caps: ['room.admin'] }],
    ['missing token.continuity.predecessor_peer_pubkey', 'unauthorized.token_invalid', { ...token, continuity: {} }],
    ['the room id is not usable', 'reject.room_invalid', token, { room: 'my\0room' }]
  ]
  for (const [text, expected, value, over] of rows) {
    t.equal(await outcome(value, over), text)
    t.equal(await code(value, over), expected, text)
  }
  t.equal(await outcome(token, { verify: async () => await Promise.resolve(true), room: 'other' }), 'ok', 'verification may be asynchronous')
  for (const { case: name, expiry, now, expect } of controlPlane.room_token.verification_rules.cases) {
    if (expiry === undefined) continue
    t.equal(await outcome({ ...mintToken({ ...claims, expiry }, room) }, { now }), expect, name)
  }
})

t.test('TK-4 both spellings of a token are read; wrong types are absent', async (t) => {
  const { peer_pubkey: peerHex, expiry, caps, sig } = token
  t.same(await verifyToken({ peer_pubkey_hex: peerHex.toUpperCase(), expiry_secs: expiry, capabilities: caps, sig_hex: sig }, context), { expiry: 100, caps })
  t.same(await verifyToken({ ...token, caps: [1, ...caps, null] }, context), { expiry: 100, caps })
  t.equal(await outcome({ ...token, peer_pubkey: 1, peer_pubkey_hex: peerHex, caps: 'query.read', capabilities: caps }), 'ok')
  for (const expiry of ['100', 100.5, -1, null, 2 ** 65]) t.equal(await outcome({ ...token, expiry }), 'missing token.expiry', String(expiry))
  const open = mintToken({ ...claims, caps: [] }, room)
  t.same(await verifyToken({ peer_pubkey: open.peer_pubkey, expiry: 100, sig: open.sig }, context), { expiry: 100, caps: [] })
})

t.test('TK-5 a token that never expires keeps its meaning although JSON rounds it', async (t) => {
  const sig = toHex(room.sign(tokenMessage({ ...claims, expiry: 2n ** 64n - 1n })))
  const received = JSON.parse(`{"peer_pubkey":"${token.peer_pubkey}","expiry":18446744073709551615,"caps":["query.read"],"sig":"${sig}"}`)
  t.same(await verifyToken(received, context), { expiry: 2 ** 64, caps: ['query.read'] })
})

t.test('TK-6 what would make two tokens share their signed bytes is neither minted nor accepted', async (t) => {
  for (const cap of ['a\nb', 'a\0', '\u007f', '\u0085', '\ud800']) {
    t.throws(() => mintToken({ ...claims, caps: [cap] }, room), RangeError)
    t.equal(await outcome({ ...token, caps: [cap] }), 'malformed token field: caps')
  }
  const two = mintToken({ ...claims, caps: ['a', 'b'] }, room)
  t.equal(await outcome({ ...two, caps: ['a\nb'] }), 'malformed token field: caps', 'the newline that would forge one')
  for (const id of ['a\0b', '\udfff']) t.throws(() => tokenMessage({ ...claims, room: id }), RangeError)
  for (const expiry of [-1, 2n ** 64n]) t.throws(() => tokenMessage({ ...claims, expiry }), RangeError)
  t.throws(() => mintToken({ ...claims, expiry: 2 ** 60 }, room), RangeError)
  t.throws(() => tokenMessage({ ...claims, peer: new Uint8Array(31) }), RangeError)
})

t.test('TK-7 capabilities are sorted by their UTF-8 bytes', async (t) => {
  t.equal(Buffer.from(tokenMessage({ ...claims, caps: ['\u{1f600}', '\uffee', 'b'] })).toString().split('\0').at(-1), 'b\n\uffee\n\u{1f600}')
  t.same(mintToken({ ...claims, caps: ['\u{1f600}', '\uffee', 'b', 'B', 'a'] }, room).caps, ['B', 'a', 'b', '\uffee', '\u{1f600}'])
})

t.test('TK-8 continuity restricts as the vectors say', async (t) => {
  const current = hex(controlPlane.identity_continuity.current_peer_hex)
  for (const { continuity, now, expect, expect_error: error } of controlPlane.identity_continuity.cases) {
    t.equal(checkContinuity(continuity, current, now), error ?? null, error ?? expect)
  }
  const predecessor = 'ab'.repeat(32)
  const good = { predecessor_peer_pubkey: predecessor, overlap_not_after: 5 }
  const rows: [unknown, string | null][] = [
    [undefined, null],
    [good, null],
    [{ ...good, revoked_predecessors: ['00', 7] }, null],
    ['text', 'missing token.continuity.predecessor_peer_pubkey'],
    [{ ...good, predecessor_peer_pubkey: 'ab' }, 'invalid token.continuity.predecessor_peer_pubkey'],
    [{ ...good, predecessor_peer_pubkey: '22'.repeat(32) }, 'token continuity predecessor must differ from current peer'],
    [{ predecessor_peer_pubkey: predecessor }, 'missing token.continuity.overlap_not_after'],
    [{ ...good, overlap_not_after: -1 }, 'missing token.continuity.overlap_not_after'],
    [{ ...good, overlap_not_after: 1.5 }, 'missing token.continuity.overlap_not_after'],
    [{ ...good, overlap_not_after: 4 }, 'token continuity overlap window expired'],
    [{ ...good, revoked_predecessors: [` ${predecessor.toUpperCase()} `] }, 'token continuity predecessor is revoked']
  ]
  for (const [value, expected] of rows) t.equal(checkContinuity(value, current, 5), expected)
})

t.test('CP-1 every command needs the capability of the table, and the refusal is worded exactly', async (t) => {
  for (const { command, required_capability: capability } of controlPlane.capability_gate.rows) {
    const expected = command === 'compact-room' ? 'room.admin' : capability
    t.equal(requiredCapability(command), expected, command)
    if (expected === null) {
      t.equal(checkCommand(command, new Set()), null, `${command} is open`)
    } else {
      t.equal(checkCommand(command, new Set([expected])), null)
      t.match(checkCommand(command, new Set([`${expected}s`, 'query.reader'])), { code: 'reject.control_plane_forbidden', message: `reject.control_plane_forbidden: command=${command} requires=${expected}` })
    }
  }
  for (const [command, capability] of Object.entries(published.reference.control_plane_capabilities)) t.equal(requiredCapability(command), capability)
  t.match(checkCommand('projection.read', new Set(['query.admin'])), { code: 'reject.control_plane_forbidden' }, 'admin does not include read')
  t.ok(published.reference.rejection_strings.includes(forbidden('archive.validate', 'archive.admin').message))
})

t.test('CP-2 path grants restrict reading and writing as soon as there is one', async (t) => {
  const allows = (grant: ByteGlob | null, key: string) => grant === null || grant(utf8(key), 0, utf8(key).length)
  const both = (caps: string[], key: string) => { const { read, write } = pathGrants(new Set(caps)); return [allows(read, key), allows(write, key)] }
  t.same(pathGrants([]), { read: null, write: null })
  t.same(pathGrants(['tick.admin', 'readonly', 'write']), { read: null, write: null })
  t.same(both(['read:world/**', 'write:intent/**'], 'world/a'), [true, false])
  t.same(both(['read:world/**', 'write:intent/**'], 'intent/a'), [false, true])
  t.same(both(['read:**', 'read:a', 'tick.admin'], 'x'), [true, false], 'what is not granted is not allowed')
  t.same(both(['write:a', 'write:b/*'], 'b/c'), [false, true])
  t.same(both(['read:'], 'b'), [false, false])
})

interface ProfileVector {
  id: string
  mode: string
  profile?: ProfileDefinition
  assigned: string[]
  claimed_profile_version?: string | null
  expect: { ok?: string[], error?: string }
}

t.test('CP-3 capability profiles expand as the vectors say', async (t) => {
  for (const vectors of [published.reference.capability_composition.vectors, controlPlane.capability_profile_expansion.vectors] as ProfileVector[][]) {
    t.equal(vectors.length, 33)
    for (const { id, mode, profile, assigned, claimed_profile_version: claimed, expect } of vectors) {
      if (mode === 'passthrough') {
        const minted = mintToken({ ...claims, caps: assigned }, room)
        t.match(await verifyToken({ ...minted }, context), { caps: minted.caps }, id)
      } else {
        t.same(createProfile(profile).expand(assigned, claimed), expect, id)
      }
    }
  }
})

t.test('CP-4 a token is expanded through the profile, which refuses what it does not know', async (t) => {
  const profile = createProfile({ profile_version: 'v2', supported_profile_versions: [' v1 '], nodes: [{ capability: 'ops', inherits: ['query.read'] }, { capability: 'query.read' }] })
  const minted = mintToken({ ...claims, caps: ['ops'], profileVersion: 'v1' }, room)
  t.same(await verifyToken({ ...minted }, { ...context, profile }), { expiry: 100, caps: ['ops', 'query.read'] })
  const { capability_profile_version: version, ...bare } = minted
  t.equal(version, 'v1')
  t.same(await verifyToken({ ...bare, capability_profile_version: 7, profile_version: 'v2' }, { ...context, profile }), { expiry: 100, caps: ['ops', 'query.read'] })
  t.equal(await outcome(bare, { profile }), 'missing token.capability_profile_version while capability composition is enabled')
  t.equal(await outcome({ ...minted, capability_profile_version: 'v3' }, { profile }), "unknown token.capability_profile_version 'v3' (expected 'v2' or configured compatibility versions)")
  const other = mintToken({ ...claims, caps: ['read:world/**'], profileVersion: 'v2' }, room)
  t.equal(await outcome({ ...other }, { profile }), 'capability profile expansion failed: invalid_token')
  t.equal(await code({ ...other }, { profile }), 'unauthorized.capability_mismatch')
})

t.test('CP-5 a faulty profile is told when it is read', async (t) => {
  t.equal(createProfile({ profile_version: 'v', nodes: [] }).fault, null)
  t.equal(createProfile({ profile_version: ' ', nodes: [] }).fault, 'invalid_profile')
  t.equal(createProfile({ profile_version: 'v', supported_profile_versions: [''], nodes: [] }).fault, 'invalid_profile')
  t.equal(createProfile({ profile_version: 'v', nodes: [{ capability: '-' }] }).fault, 'invalid_token')
  t.equal(createProfile({ profile_version: 'v', nodes: [{ capability: 'a', inherits: ['?'] }] }).fault, 'invalid_token')
  t.equal(createProfile({ profile_version: 'v', nodes: [{ capability: 'a', inherits: ['b'] }] }).fault, 'unknown_capability')
  for (const shape of [null, {}, { profile_version: 1, nodes: [] }, { profile_version: 'v', nodes: [{}] }]) t.throws(() => createProfile(shape), TypeError)
  t.same(createProfile({ profile_version: 'v', nodes: [{ capability: 'a' }] }).expand(['\u2003a\u0085'], '\u0085v'), { ok: ['a'] }, 'all Unicode white space is trimmed')
})
