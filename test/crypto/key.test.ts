import t from 'tap'
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSigner } from '../../lib/crypto/ed25519.js'
import { KEY_FILE, loadSeed } from '../../lib/crypto/key.js'
import { toHex } from '../../lib/protocol/hex.js'
import { hex, storage } from '../protocol/vectors.js'

t.test('ED-11 a key file is 32 raw seed bytes', async (t) => {
  for (const { seed_hex: seed, file_bytes: length, pubkey_hex: key } of storage.server_key_file) {
    const folder = t.testdir({ [KEY_FILE]: Buffer.from(hex(seed)) })
    t.equal((await stat(join(folder, KEY_FILE))).size, length)
    const read = await loadSeed(folder)
    t.equal(toHex(read), seed)
    t.equal(toHex(createSigner(read).publicKey), key)
  }
})

t.test('ED-12 a missing key is made once, for the owner only, and kept', async (t) => {
  const folder = join(t.testdir(), 'new', 'folder')
  const seeds = await Promise.all(Array.from({ length: 8 }, async () => await loadSeed(folder)))
  t.equal(new Set(seeds.map(toHex)).size, 1, 'everybody who starts at once has the same key')
  t.equal((await stat(join(folder, KEY_FILE))).mode & 0o777, 0o600)
  t.same(await readdir(folder), [KEY_FILE], 'nothing else is left')
  t.same(await loadSeed(folder), seeds[0])
  t.same(new Uint8Array(await readFile(join(folder, KEY_FILE))), seeds[0])
})

t.test('ED-13 a key file that cannot be used stops the start and is never replaced', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(31), Buffer.alloc(33), Buffer.from('00'.repeat(32))]) {
    const folder = t.testdir({ [KEY_FILE]: bytes })
    await t.rejects(loadSeed(folder), { code: 'plugin.key_invalid', message: /server\.key/ })
    t.same(await readFile(join(folder, KEY_FILE)), bytes)
  }
  const folder = t.testdir({ file: 'not a folder' })
  await mkdir(join(folder, 'a', KEY_FILE), { recursive: true })
  await t.rejects(loadSeed(join(folder, 'a')), { code: 'plugin.key_invalid', cause: { code: 'EISDIR' } }, 'a folder in its place')
  await t.rejects(loadSeed(join(folder, 'file')), { code: 'plugin.key_invalid' }, 'below a file')
  await mkdir(join(folder, 'b'))
  await symlink(join(folder, 'nowhere'), join(folder, 'b', KEY_FILE))
  await t.rejects(loadSeed(join(folder, 'b')), { code: 'plugin.key_invalid', cause: { message: 'the key file vanished' } }, 'a link to nowhere')
  await mkdir(join(folder, 'c'))
  await writeFile(join(folder, 'c', 'x'), '')
  await chmod(join(folder, 'c'), 0o500)
  const refused = await writeFile(join(folder, 'c', 'y'), '').then(() => false, () => true)
  if (refused) await t.rejects(loadSeed(join(folder, 'c')), { code: 'plugin.key_invalid', cause: { code: 'EACCES' } }, 'a folder nobody may write')
})

t.test('ED-13 a file system that cannot link refuses instead of guessing', async (t) => {
  const { loadSeed: load } = await t.mockImport<typeof import('../../lib/crypto/key.js')>('../../lib/crypto/key.js', {
    'node:fs/promises': { ...await import('node:fs/promises'), link: async () => { throw Object.assign(new Error('no links'), { code: 'EPERM' }) } }
  })
  const folder = t.testdir()
  await t.rejects(load(folder), { code: 'plugin.key_invalid', cause: { code: 'EPERM' } })
  t.same(await readdir(folder), [])
})
